"""How a request ended, in words and fields."""

import pytest

from processors.explain.endings import Ending

SENT = Ending(7, "Heart", "", 1, "placed", "sent", 1, "2026-03-02 08:55", "2026-03-02 08:55", None, [], None, ["9.8"])


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (SENT, "was sent on 2026-03-02 08:55"),
        (SENT._replace(errors=["3"]), "was sent on 2026-03-02 08:55, with pixels masked"),
        (SENT._replace(sends=2, sent_at="2026-03-03 09:00"), "was sent 2 times, the last time on 2026-03-03 09:00"),
        (SENT._replace(state="closed", sent_at=None), "was sent"),
        (SENT._replace(reported="failed", sends=0, failure="no files"), "could not be sent (no files)"),
        (SENT._replace(reported="failed"), "could not be sent; before that it was sent on 2026-03-02 08:55"),
        (SENT._replace(reported="possibly sent"), "may have been sent: the sender may hold a copy of it"),
        (SENT._replace(reported="awaited", sends=0), "stands in REDCap and is not sent yet"),
        (SENT._replace(reported="awaited", state="withdrawn"), "was withdrawn, and was not sent"),
        (SENT._replace(reported="awaited", state="requested"), "waits to be written to REDCap"),
    ],
)
def test_how_a_request_ended_is_said(ending: Ending, words: str) -> None:
    assert ending.words == f"The request [7] for Heart {words}."
    assert ending.as_data()["words"] == ending.words
    assert ending.as_data()["masked"] is ("masked" in words)

"""What was known of a study at a moment gone by, and what was said of it then."""

from datetime import datetime, timedelta

from processors.explain.past import PastExplanation, explain_then
from tests.explain.conftest import Explained

STUDY = "1.2.3"
A_DAY = 24 * 60 * 60


def then(explained: Explained, end: datetime) -> PastExplanation:
    with explained.opened() as work:
        return explain_then(work, STUDY, end, explained.matching)


def test_the_verdict_of_each_day_is_that_of_its_events_and_of_the_rules_in_force_then(explained: Explained) -> None:
    site = explained.site
    days = [site.clock.now]

    def a_day_goes_by() -> None:
        site.clock.advance(A_DAY)
        site.run()
        days.append(site.clock.now + timedelta(hours=1))

    site.rule("7", patient_id="OTHER")
    site.series(STUDY, PatientID="HRT-1")
    a_day_goes_by()
    site.rule("7", patient_id="HRT-[0-9]+", event="baseline")
    site.entry(study=STUDY, record="3")
    a_day_goes_by()
    site.sender_sends(STUDY, 1)
    a_day_goes_by()
    site.remove_entry("3")
    a_day_goes_by()
    a_day_goes_by()

    before, first, second, third, _, last = (then(explained, day) for day in days)
    assert (before.verdict, before.timeline, before.origins) == ((), [], [])
    (nothing,) = first.verdict
    assert nothing == (
        "Nothing is requested: routing rule 7 has its AE title, but neither PatientID nor PatientName is accepted, and "
        "no usable coupling entry names it."
    )
    assert [account.standing for account in first.origins[0].rules] == ["same AE title"]
    assert first.entries == []
    (requested,) = second.verdict
    assert requested.startswith("Requested for Heart Study, because of coupling entry 3 [")
    assert requested.endswith("it stands in REDCap as instance 1.")
    assert [account.standing for account in second.origins[0].rules] == ["matches"]
    assert [account.standing for account in second.entries] == ["matches"]
    assert "is not sent yet" in second.endings[0].words
    assert third.verdict[0].endswith("it stands in REDCap as instance 1, and has been sent.")
    assert "was sent on" in third.endings[0].words
    assert last.entries == [], "the entry is gone"
    now = explained.explain(STUDY)
    assert last.endings == now.endings
    assert [moment.words for moment in last.timeline] == [moment.words for moment in now.timeline]

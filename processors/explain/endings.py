"""How each request of a study ended: sent, how often and how, failed, or not sent yet."""

from typing import NamedTuple

from sqlalchemy import text

from processors.explain.sentences import destination
from processors.gateway import Work
from processors.requests import ReportState, State
from processors.stored_requests import IS_MISSING

MASKED = "3"
"""The code of transfer_error with which the sender says that it masked pixels, and sent."""


class Ending(NamedTuple):
    """A request of ours, and what the sender has made of it as far as REDCap tells.

    `sends` counts how often it was sent, last at `sent_at`; `mapped_uids` are the study UIDs under which it was.
    `tried_at` is when the last attempt failed. `is_missing`: people have deleted or changed its row.
    """

    request: int
    project: str
    event_name: str
    instance: int | None
    state: State
    reported: ReportState
    sends: int
    first_sent_at: str | None
    sent_at: str | None
    tried_at: str | None
    errors: list[str]
    failure: str | None
    mapped_uids: list[str]
    is_missing: bool = False

    @property
    def masked(self) -> bool:
        """Whether pixels were masked on the way."""
        return MASKED in self.errors

    @property
    def words(self) -> str:
        """How it ended, as a sentence."""
        return f"The request [{self.request}] for {destination(self.project, self.event_name)} {self._fate}."

    @property
    def _fate(self) -> str:
        match self.reported:
            case "sent":
                often = f"was sent {self.sends} times, the last time" if self.sends > 1 else "was sent"
                return f"{often}{_on(self.sent_at)}{', with pixels masked' if self.masked else ''}"
            case "failed":
                before = f"; before that it was sent{_on(self.sent_at)}" if self.sends else ""
                return f"could not be sent{f' ({self.failure})' if self.failure else ''}{before}"
            case "possibly sent":
                return "may have been sent: the sender may hold a copy of it"
            case _ if self.is_missing and self.state == "placed":
                return "has no row in REDCap any more that says so: somebody has deleted or changed it"
            case _ if self.sends and self.state in _UNSENT_SINCE:
                return f"was sent{_on(self.sent_at)}, and {_UNSENT_SINCE[self.state]}"
            case _:
                return _UNSENT[self.state]

    def as_data(self) -> dict[str, object]:
        """For a program to read."""
        return self._asdict() | {"masked": self.masked, "words": self.words}


_UNSENT: dict[State, str] = {
    "requested": "waits to be written to REDCap",
    "placed": "stands in REDCap and is not sent yet",
    "contested": "waits, as a person asked for another name",
    "ending": "is being withdrawn, and is not known to have been sent",
    "withdrawn": "was withdrawn, and was not sent",
    "closed": "was ended, and is not known to have been sent",
}
_UNSENT_SINCE: dict[State, str] = {
    "placed": "is to be sent again: the sender's date was taken away",
    "ending": "is being withdrawn",
    "closed": "was ended then",
}
_ENDINGS = text(f"""
    select transfer.position as request, transfer.project, transfer.event_name, transfer.instance, transfer.state,
           coalesce(outcome.state, 'awaited') as reported, coalesce(outcome.sends, 0) as sends,
           nullif(outcome.first_sent_at, '') as first_sent_at,
           nullif(outcome.sent_dates[cardinality(outcome.sent_dates)], '') as sent_at,
           case when outcome.state = 'failed' then nullif(outcome.sent_at, '') end as tried_at,
           coalesce(outcome.errors, '{{}}') as errors, outcome.failure,
           coalesce(outcome.mapped_uids, '{{}}') as mapped_uids,
           {IS_MISSING} as is_missing
      from gateway.transfer
      left join gateway.outcome on outcome.request = transfer.position and outcome.ours
     where transfer.study = :study order by transfer.position
""")


def endings(work: Work, study: str) -> list[Ending]:
    """Those of all requests of the study, the oldest first."""
    return [Ending(**row) for row in work.execute(_ENDINGS, {"study": study}).mappings()]


def _on(moment: str | None) -> str:
    return f" on {moment}" if moment else ""

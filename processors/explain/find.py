"""Studies by what is known of them, and how far each of their requests has come."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

from sqlalchemy import TextClause, text

from processors.explain.search import studies_with_accession
from processors.gateway import Work
from processors.stored_requests import IS_MISSING
from processors.text import without_padding

Stage = Literal[
    "nothing",
    "held",
    "conflict",
    "waiting",
    "placed",
    "missing",
    "sent",
    "failed",
    "possibly sent",
    "withdrawn",
    "closed",
]
"""How far it has come: nothing asks for it; held; in conflict, also with what a person asked for; waits to be decided,
written or withdrawn in REDCap; placed, and not sent yet, or again; its row deleted or changed by people; sent; failed;
may have been sent; withdrawn unsent; ended otherwise."""
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

DELETED: Final = "row deleted or changed in REDCap"
TWO_PATIENTS: Final = "two patients in one study"
"""As what needs a person they have the same names."""

LEFT_OPEN: Final = "what it depends on is missing from REDCap or cannot be used"
"""Of a study that waits for a rule or an entry."""

UNDECIDED: Final = "no run has decided about it yet"
"""Of a study that has just arrived, or whose site's runs do not get through."""

_AT_ONCE: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Sought:
    """What is looked for: None where it makes no difference. `until` is the first moment that is not meant.

    `before` is a study, with its arrival, that stands in the list before the first one that is meant.
    """

    study: str | None = None
    accession: str | None = None
    project: str | None = None
    stages: Collection[Stage] = STAGES
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, str] | None = None


class _Study(NamedTuple):
    """A study, as far as it is listed."""

    study: str
    arrived_at: datetime
    site: str
    on_disk: bool
    series: int
    undecided: bool


class Found(NamedTuple):
    """A study and one of the places that it was asked for; blank where nothing asks for it, or it is not known yet.

    `details` are the reason for which it is held, the sender's for which it failed, that people have deleted or changed
    the row, or that others requested it. `sends` is how often it was sent, whatever has become of it since.
    """

    study: str
    arrived_at: datetime
    site: str
    on_disk: bool
    series: int
    project: str
    event_name: str
    stage: Stage
    details: str
    sends: int

    @property
    def is_sent_before(self) -> bool:
        """Whether it was sent, though that is not how far it has come: a later attempt has failed, say."""
        return self.sends > 0 and self.stage != "sent"


def find(work: Work, sought: Sought) -> Iterator[Found]:
    """What is found, the studies that arrived last first; read as far as it is taken.

    What was sent is found as such, whatever has become of it since.
    """
    named = [] if sought.study is None else [sought.study.strip()]
    if sought.accession is not None:
        named += studies_with_accession(work, without_padding(sought.accession))
    at, study = sought.before or (None, "")
    before = {"since": sought.since, "until": sought.until, "at": at, "study": study}
    any_study = sought.study is None and sought.accession is None
    while True:
        parameters = {"any": any_study, "named": named, "most": _AT_ONCE, **before}
        studies = [_Study(*row) for row in work.execute(_STUDIES, parameters)]
        asked: dict[str, list[tuple[str, str, Stage, str, int]]] = {each.study: [] for each in studies}
        for row in work.execute(_ASKED, {"studies": list(asked)}):
            asked[row.study].append((row.project, row.event_name, row.stage, row.details, row.sends))
        for each in studies:
            for request in asked[each.study] or [_UNASKED[each.undecided]]:
                found = Found(*each[:-1], *request)
                is_meant = found.stage in sought.stages or (found.is_sent_before and "sent" in sought.stages)
                if is_meant and sought.project in (None, found.project):
                    yield found
        if len(studies) < _AT_ONCE:
            return
        before |= {"at": studies[-1].arrived_at, "study": studies[-1].study}


_UNASKED: Final[Mapping[bool, tuple[str, str, Stage, str, int]]] = {
    False: ("", "", "nothing", "", 0),
    True: ("", "", "waiting", UNDECIDED, 0),
}
"""Of a study that nothing asks for, as far as is known: by whether it is undecided."""
_STUDIES = text("""
    select study, arrived_at, site, on_disk,
           told.series, coalesce(decision.position, 0) < told.routed as undecided
      from gateway.study
     cross join lateral (select count(*) as series, max(routed_position) as routed
                           from gateway.series where series.study = study.study) as told
      left join gateway.decision using (site)
     where (:any or study = any(:named))
       and (cast(:since as timestamptz) is null or arrived_at >= :since)
       and (cast(:until as timestamptz) is null or arrived_at < :until)
       and (cast(:at as timestamptz) is null or (arrived_at, study) < (:at, :study))
     order by arrived_at desc, study desc limit :most
""")


STAGE_REPORTED: Final = """
    case when transfer.state not in ('withdrawn', 'closed') and outcome.state in ('sent', 'failed') then outcome.state
         when transfer.state in ('withdrawn', 'closed') and outcome.sends > 0 then 'sent'
         when outcome.state = 'possibly sent' then outcome.state end
"""
"""How far a request has come by what the sender reports. An attempt that fails after its end has no say."""


def asked(condition: str) -> TextClause:
    """The statement that gives what was asked for, by whomever, for the studies or projects that the condition lets in.

    Of others' requests, those of studies that arrived here. What has ended after it was sent is sent, though a later
    attempt has failed.
    """
    return text(f"""
    select transfer.study, transfer.project, transfer.event_name,
           case when {STAGE_REPORTED} is not null then {STAGE_REPORTED}
                when transfer.state in ('requested', 'ending') then 'waiting'
                when transfer.state = 'contested' then 'conflict'
                when is_missing then 'missing'
                else transfer.state end as stage,
           coalesce(case when {STAGE_REPORTED} = 'failed' then outcome.failure end,
                    case when transfer.state = 'contested' then 'person' when is_missing then '{DELETED}' end,
                    '') as details, transfer.position, transfer.cause_kind, transfer.cause_record,
           coalesce(outcome.sends, 0) as sends,
           coalesce(outcome.sent_dates[cardinality(outcome.sent_dates)], '') as sent_at
      from gateway.transfer
      left join gateway.outcome on outcome.request = transfer.position and outcome.ours
     cross join lateral (select transfer.state = 'placed' and {IS_MISSING}) as what (is_missing)
     where transfer.{condition}
     union all
    select study, project, event_name,
           case when failed then 'failed' when sends > 0 then 'sent' else 'placed' end,
           concat_ws('; ', 'requested by others', failure), position, '', '', sends, coalesce(sent_at, '')
      from audit.request_of_others as theirs
     where {condition} and exists (select from gateway.study where study.study = theirs.study)
     union all
    select study, project, event_name, 'held', kind, position, cause_kind, cause_record, 0, ''
      from gateway.held_request where {condition}
     union all
    select study, project, '', 'held', reason, position, '', '', 0, '' from gateway.held_study where {condition}
     union all
    -- Nobody knows which projects would ask for it. That one which draws IDs would, the branch above tells.
    select study, project, '', 'held', '{TWO_PATIENTS}', position, '', '', 0, ''
      from (select study, '' as project, position from gateway.mixed_study where over_position is null) as mixed
     where {condition}
       and not exists (select from gateway.held_study as held
                        where held.study = mixed.study and held.reason = '{TWO_PATIENTS}')
     union all
    select study, project, event_name, 'conflict', kind, position, '', '', 0, '' from gateway.conflict
     where {condition}
       and not exists (select from gateway.transfer as contested
                        where contested.state = 'contested'
                          and (contested.study, contested.project, contested.event_name)
                            = (conflict.study, conflict.project, conflict.event_name))
     union all
    select study, project, event_name, 'waiting', '{LEFT_OPEN}', position, '', '', 0, ''
      from gateway.deferred_decision as left_open
     where {condition}
       and not exists (select from gateway.transfer
                        where state in ('requested', 'placed', 'contested', 'ending')
                          and (transfer.study, transfer.project, transfer.event_name)
                            = (left_open.study, left_open.project, left_open.event_name))
     order by position
    """)


_ASKED = asked("study = any(:studies)")

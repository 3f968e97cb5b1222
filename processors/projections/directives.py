"""Projection of what people direct in REDCap: gateway.rule, coupling_entry, and expected_study."""

from collections.abc import Sequence

from sqlalchemy import text

from ledger.events import Told
from ledger.projector import Changes
from processors.events.rules import (
    CouplingEntryChanged,
    CouplingEntryDoubted,
    CouplingEntryFact,
    CouplingEntryRemoved,
    CouplingEntryReturned,
    ExpectedStudyArrived,
    ExpectedStudyDismissed,
    ExpectedStudyFact,
    ExpectedStudyMissing,
    ExpectedStudyNeverCame,
    RoutingRuleChanged,
    RoutingRuleDoubted,
    RoutingRuleFact,
    RoutingRuleRemoved,
    RoutingRuleReturned,
)
from processors.projections.rows import Again, Parameters, Rules, Statement, on
from processors.projections.statements import Table


class Directives:
    """One row for each routing rule and coupling entry that REDCap holds, or held: then it is doubted, or removed.

    And one for each study that an entry asks for and that is not here.
    """

    name = "directives"
    code_version = 3
    tables: Sequence[str] = ("gateway.rule", "gateway.coupling_entry", "gateway.expected_study")

    def __init__(self) -> None:
        self._rules = Rules(
            on(RoutingRuleChanged, (_UPSERT_RULE, _changed)),
            on(RoutingRuleDoubted, (_SET_DOUBT_OF_RULE, _record)),
            on(RoutingRuleReturned, (_SET_DOUBT_OF_RULE, _no_doubt)),
            on(RoutingRuleRemoved, (_REMOVE_RULE, _record)),
            on(CouplingEntryChanged, (_UPSERT_ENTRY, _entry)),
            on(CouplingEntryDoubted, (_SET_DOUBT_OF_ENTRY, _record)),
            on(CouplingEntryReturned, (_SET_DOUBT_OF_ENTRY, _no_doubt)),
            on(CouplingEntryRemoved, (_REMOVE_ENTRY, _record)),
            on(ExpectedStudyMissing, (_UPSERT_EXPECTED, _missing)),
            on(ExpectedStudyNeverCame, (_UPSERT_EXPECTED, _missing)),
            on(ExpectedStudyArrived, (_DELETE_EXPECTED, _asked)),
            on(ExpectedStudyDismissed, (_DELETE_EXPECTED, _asked)),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


_RULES = Table(
    name="rule",
    key=("record_id",),
    columns={
        "record_id": "text",
        "position": "bigint",
        "fingerprint": "text",
        "problems": "text[]",
    },
)
# A rule that cannot be used goes on to be known by what it said before.
_UPSERT_RULE = Statement(
    "rule",
    ("record_id",),
    text("""
        insert into gateway.rule (record_id, position, fingerprint, problems, usable_position, unusable_since)
        select record_id, position, fingerprint, problems, case when problems = '{}' then position end,
               case when problems <> '{}' then position end
          from json_to_recordset(cast(:rows as json)) as r (
               record_id text, position bigint, fingerprint text, problems text[])
        on conflict (record_id) do update
           set position = excluded.position, fingerprint = excluded.fingerprint, problems = excluded.problems,
               removed = false, doubted_position = null,
               usable_position = case when excluded.problems = '{}' or rule.removed then excluded.usable_position
                                      else rule.usable_position end,
               unusable_since = case when rule.problems = '{}' or rule.removed then excluded.unusable_since
                                     else rule.unusable_since end
    """),
    Again.BOTH_COUNT,
)
_SET_DOUBT_OF_RULE = _RULES.set_doubt()
_REMOVE_RULE = _RULES.mark_removed()
# An entry that comes back as it was has only been out of sight: an export that failed to show it must
# not make strangers of its requests. With another content, REDCap has given its record id away.
_UPSERT_ENTRY = Statement(
    "coupling_entry",
    ("record_id",),
    text("""
        insert into gateway.coupling_entry (record_id, position, life_position, asks_position, asked_at, fingerprint,
                                            asks_fingerprint, accession, study, project, problems)
        select record_id, position, position, position, recorded_at, fingerprint, asks_fingerprint, accession, study,
               project, problems
          from json_to_recordset(cast(:rows as json)) as r (
               record_id text, position bigint, recorded_at timestamptz, fingerprint text, asks_fingerprint text,
               accession text, study text, project text, problems text[])
        on conflict (record_id) do update
           set position = excluded.position, fingerprint = excluded.fingerprint, problems = excluded.problems,
               removed = false, doubted_position = null, asks_fingerprint = excluded.asks_fingerprint,
               accession = excluded.accession, study = excluded.study, project = excluded.project,
               asks_position = case when coupling_entry.asks_fingerprint <> excluded.asks_fingerprint
                                    then excluded.position
                                    else coupling_entry.asks_position end,
               asked_at = case when coupling_entry.asks_fingerprint <> excluded.asks_fingerprint
                               then excluded.asked_at
                               else coupling_entry.asked_at end,
               life_position = case when coupling_entry.removed
                                         and coupling_entry.asks_fingerprint <> excluded.asks_fingerprint
                                    then excluded.position
                                    else coupling_entry.life_position end
    """),
    Again.BOTH_COUNT,
)
_ENTRIES = Table(
    name="coupling_entry",
    key=("record_id",),
    columns={
        "record_id": "text",
        "position": "bigint",
        "fingerprint": "text",
        "problems": "text[]",
    },
)
_SET_DOUBT_OF_ENTRY = _ENTRIES.set_doubt()
_REMOVE_ENTRY = _ENTRIES.mark_removed()
_EXPECTED = Table(
    name="expected_study",
    key=("asked",),
    columns={"asked": "bigint", "record_id": "text", "position": "bigint", "near": "json", "removed": "boolean"},
)
_UPSERT_EXPECTED = _EXPECTED.upsert()
_DELETE_EXPECTED = _EXPECTED.delete()


def _changed(directive: RoutingRuleChanged | CouplingEntryChanged, event: Told) -> list[Parameters]:
    return [
        {
            "record_id": directive.record_id,
            "position": event.position,
            "fingerprint": directive.fingerprint,
            "problems": directive.problems,
        }
    ]


def _entry(entry: CouplingEntryChanged, event: Told) -> list[Parameters]:
    (directive,) = _changed(entry, event)
    asks: Parameters = {"accession": entry.accession, "study": entry.study, "project": entry.project}
    return [directive | asks | {"asks_fingerprint": entry.asks_fingerprint, "recorded_at": event.recorded_at}]


def _record(directive: RoutingRuleFact | CouplingEntryFact, event: Told) -> list[Parameters]:
    return [{"record_id": directive.record_id, "position": event.position}]


def _no_doubt(directive: RoutingRuleFact | CouplingEntryFact, _: Told) -> list[Parameters]:
    return [{"record_id": directive.record_id, "position": None}]


def _missing(study: ExpectedStudyMissing | ExpectedStudyNeverCame, event: Told) -> list[Parameters]:
    (entry_key,) = _asked(study, event)
    content: Parameters = {"record_id": study.record_id, "position": event.position, "near": study.near}
    return [entry_key | content | {"removed": isinstance(study, ExpectedStudyNeverCame)}]


def _asked(study: ExpectedStudyFact, _: Told) -> list[Parameters]:
    return [{"asked": study.asked}]

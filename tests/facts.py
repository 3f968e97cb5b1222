"""Facts of many fields that tests begin with: each names what its test is about, the rest says nothing."""

from typing import Any
from uuid import UUID

from msgspec.structs import asdict, replace

from ledger.events import NewEvent
from processors.events.fact import Cause, Fact
from processors.events.rules import CouplingEntryChanged, RoutingRuleChanged
from processors.events.series import SeriesDiscovered, SeriesRevised
from processors.events.transfers import TransferRequested

_SERIES = SeriesDiscovered(
    StudyInstanceUID="1.2",
    SeriesInstanceUID="1.2.1",
    StudyDescription="",
    StudyDate="",
    StudyTime="",
    InstitutionName="",
    SeriesDescription="",
    SeriesDate="",
    SeriesTime="",
    SequenceName="",
    NumFiles=1,
    ClassifyType=(),
    AETitleCaller="CT1",
    AETitleCalled="FIONA",
    CallerIP="10.0.0.1",
    accession="",
    fingerprint="0" * 32,
    study_fingerprint="0" * 32,
    identity_fingerprint="0" * 32,
)
_RULE = RoutingRuleChanged(
    record_id="1",
    active=True,
    project="",
    called="",
    calling="",
    patient_id_pattern="",
    patient_name_pattern="",
    event_name="",
    problems=(),
    fingerprint="0" * 32,
)
_ENTRY = CouplingEntryChanged(
    record_id="1",
    accession="",
    study="",
    project="",
    event_name="",
    date="",
    problems=(),
    fingerprint="0" * 32,
    asks_fingerprint="0" * 32,
)


def a_series(study: str, series: str, **changes: Any) -> SeriesDiscovered:
    """A series of one file has arrived. Its accession number stands for itself where nothing is sealed."""
    changes = {"accession": changes.get("AccessionNumber", "").strip()} | changes
    return replace(_SERIES, StudyInstanceUID=study, SeriesInstanceUID=series, **changes)


def revised(series: SeriesDiscovered, **changes: Any) -> SeriesRevised:
    """The series' summary says something else now."""
    return SeriesRevised(**asdict(series) | changes)


def a_rule(record_id: str, project: str, **changes: Any) -> RoutingRuleChanged:
    """A routing rule is new, without conditions."""
    return replace(_RULE, record_id=record_id, project=project, **changes)


def an_entry(record_id: str, project: str, **changes: Any) -> CouplingEntryChanged:
    """A coupling entry is new, for no study yet."""
    return replace(_ENTRY, record_id=record_id, project=project, **changes)


def a_request(study: str, project: str, cause: Cause, **changes: Any) -> TransferRequested:
    """The study is to go to the project, in nothing else's place."""
    requested = TransferRequested(
        study=study, project=project, event_name="", cause=cause, whole_match=True, replaces=()
    )
    return replace(requested, **changes)


def in_plain(fact: Fact, *, subject: UUID | None = None, sealed: bytes | None = None) -> NewEvent:
    """The fact as a new event, for a ledger without a vault: nothing of it sealed, or bytes that are as good."""
    return NewEvent(stream=fact.stream, type=type(fact).__name__, data=fact.data, subject=subject, sealed=sealed)

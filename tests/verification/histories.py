"""Random histories of the gateway: any events of any of its types that could stand in a ledger.

Studies, projects and records come from small pools, so that events meet. What refers to an earlier
event refers to one that is there, if there is one of the kind.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st
from msgspec.structs import fields

from ledger.events import NewEvent
from processors.events import FACTS
from processors.events.fact import Cause, Fact
from processors.events.pseudonyms import IdFact
from tests.facts import in_plain

STUDIES = st.sampled_from(["1.2.1", "1.2.2", "1.2.3"])
PROJECTS = st.sampled_from(["Heart", "Brain"])
RECORDS = st.sampled_from(["1", "2"])
KINDS = st.sampled_from(["study", "series", "transfer"])
WORDS = st.sampled_from(["", "one", "two 'quoted'", "å^ä: %s"])
POSITIONS = st.integers(1, 30)
INSTANCES = st.integers(1, 4)
# What never stood in REDCap cannot have been sent.
FATES = st.fixed_dictionaries({"instance": st.none() | INSTANCES, "fate": st.just("unsent")}) | st.fixed_dictionaries(
    {"instance": INSTANCES, "fate": st.sampled_from(["possibly sent", "sent"])}
)

Draw = Callable[[st.SearchStrategy[Any]], Any]
Values = st.SearchStrategy[Any]


class So(NamedTuple):
    """The history so far: the next event's position, and the positions of the requests."""

    position: int
    requests: list[int]
    ids: dict[tuple[str, str], int | None]
    """Whose each ID is: the position with which its subject came; None: reserved."""

    @property
    def a_request(self) -> Values:
        return st.sampled_from(self.requests) if self.requests else POSITIONS

    @property
    def some_requests(self) -> Values:
        some = st.lists(st.sampled_from(self.requests), unique=True, max_size=2) if self.requests else st.just([])
        return some.map(tuple)


CAUSES = st.builds(Cause, st.sampled_from(["rule", "coupling", "autoid"]), RECORDS, POSITIONS)
SERIES = st.sampled_from(["1.2.1.1", "1.2.1.2", "1.2.2.1", "1.2.3.1"])
ROWS = st.fixed_dictionaries({"instance": INSTANCES, "position": POSITIONS})

OF_ANY_TYPE: Mapping[str, Values] = {
    **dict.fromkeys(("study", "StudyInstanceUID"), STUDIES),
    **dict.fromkeys(("record_id", "path", "key"), RECORDS),
    **dict.fromkeys(("position", "row_position", "project_position", "asked", "withdrawal"), POSITIONS),
    **dict.fromkeys(("studies", "series", "transfers", "ids", "records", "subjects"), st.integers(0, 3)),
    **dict.fromkeys(("tried_at", "requested", "since", "until", "failure"), st.none() | WORDS),
    **dict.fromkeys(("errors", "fields", "changed", "ClassifyType"), st.lists(RECORDS, max_size=2).map(tuple)),
    **dict.fromkeys(("active", "wanted", "whole_match", "found", "sent", "include_vanished"), st.booleans()),
    "SeriesInstanceUID": SERIES,
    "AccessionNumber": st.sampled_from(["", " A1 "]),
    "NumFiles": st.none() | st.integers(0, 9),
    "project": PROJECTS,
    "site": st.sampled_from(["north", "south"]),
    "problems": st.lists(st.sampled_from(["too long", "no {such} 'project'"]), max_size=2).map(tuple),
    "cause": CAUSES,
    "causes": st.tuples(CAUSES),
    "instance": INSTANCES,
    "kind": KINDS,
    "kinds": st.lists(st.sampled_from(["study", "series", "transfer"]), unique=True).map(tuple),
    "redcap_project": st.sampled_from(["incoming", "transfers"]),
    "forgotten": st.none(),
    "patients": st.lists(st.lists(RECORDS, max_size=2).map(tuple), max_size=2).map(tuple),
    "mapped_uids": st.lists(STUDIES, max_size=2).map(tuple),
}

PATIENTS = [f"00000000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3)]
A_MOMENT = "2026-03-02T09:00:00+01:00"
OTHERS = st.lists(STUDIES, max_size=2).map(tuple)
A_PATIENT = st.none() | st.sampled_from(PATIENTS)
RESERVED = st.builds("RESERVED-{}".format, st.integers(1, 4))
THEIR_NAMES = st.sampled_from(["theirs 1", "theirs 2"])

OF_ONE_TYPE: Mapping[tuple[str, str], Values] = {
    ("StudyDelivered", "row"): st.none() | POSITIONS,
    ("LedgerDoubted", "since"): st.just(A_MOMENT),
    ("LedgerAccepted", "ended"): st.integers(0, 3),
    ("BackupTried", "rows"): st.just({"studies": 1}),
    **dict.fromkeys((("TransferPlaced", "since"), ("TransferAmended", "since")), st.none() | st.just(A_MOMENT)),
    **{("ParticipantWithdrew", field): OTHERS for field in ("patients", "pseudonyms", "unmet", "doubted")},
    ("ParticipantWithdrew", "project"): st.none() | PROJECTS,
    ("ParticipantWithdrew", "follows"): st.none() | POSITIONS,
    **dict.fromkeys(
        (("ExpectedStudyMissing", "near"), ("ExpectedStudyNeverCame", "near")),
        st.dictionaries(STUDIES, st.just("one digit off"), max_size=1),
    ),
    ("StudyDelivered", "series"): st.dictionaries(SERIES, ROWS, max_size=2),
    ("StudyAdopted", "series"): st.dictionaries(SERIES, INSTANCES, max_size=2),
    ("LostUpdateFound", "series"): st.none() | SERIES,
    ("ConflictFound", "kind"): st.sampled_from(["equals", "person", "coupling stands"]),
    ("DecidedByHand", "event_name"): st.none() | WORDS,
    ("SubjectForgotten", "subjects"): st.just({}) | st.sampled_from(PATIENTS).map(lambda one: {"patient": [one]}),
    ("ParticipantReported", "subjects"): st.lists(st.sampled_from(PATIENTS), max_size=2).map(tuple),
    ("RequestHeld", "studies"): OTHERS,
    ("RequestHeld", "patient"): A_PATIENT,
    ("RequestQuestioned", "studies"): OTHERS,
    ("TwoNamesFound", "studies"): OTHERS,
    **{(type_, "fingerprint"): RESERVED for type_ in ("IdAdopted", "IdReserved", "IdMissing", "ContradictionFound")},
    ("TransferObserved", "name_fingerprint"): st.none() | THEIR_NAMES,
    ("TransferAdopted", "name_fingerprint"): st.none() | THEIR_NAMES,
    ("PatientRecognised", "name_fingerprint"): THEIR_NAMES,
    ("PatientRecognised", "patient"): A_PATIENT,
    ("PatientRecognised", "requested_for"): A_PATIENT,
    ("PatientsJoined", "patient"): st.just(PATIENTS[2]),
    ("PatientsJoined", "counts_as"): st.sampled_from(PATIENTS[:2]),
}


def values_of(type_: str, field: str, so: So) -> Values:
    """What a field may hold: what refers to something refers to the history so far."""
    match type_, field:
        case (
            "TransferSent" | "TransferFailed" | "TransferReopened" | "ConflictFound" | "LostUpdateFound",
            "request",
        ) | ("PatientRecognised", "request"):
            return st.none() | so.a_request
        case _, "request" | "replaced":
            return so.a_request
        case _, "replaces":
            return so.some_requests
        case "TransferWithdrawn", "by":
            return st.none() | st.just(so.position)
        case "IdGenerated", "fingerprint":
            return st.just(f"ID-{so.position}")
        case "IdDelivered", "fingerprint":
            return st.sampled_from(sorted({value for _, value in so.ids} or {"ID-1"}))
    return OF_ONE_TYPE.get((type_, field), OF_ANY_TYPE.get(field, WORDS))


def a_fact(draw: Draw, type_: type[Fact], so: So) -> Fact:
    """One of this type, in what of it stands in plain."""
    name = type_.__name__
    plain = [field.name for field in fields(type_) if field.name not in type_.SEALED]
    values = {field: draw(values_of(name, field, so)) for field in plain}
    if name == "TransferWithdrawn":
        values |= draw(FATES)
    if name == "TransferRequested":
        values |= _named(draw)
    if name == "IdAdopted":
        values |= _adopted(draw, so)
    if issubclass(type_, IdFact):
        owned = name in _OF_A_PATIENT - {"ContradictionFound"}
        key = values["project"], values["fingerprint"]
        so.ids[key] = so.position if owned else so.ids.get(key)
    return type_(**values)


def _named(draw: Draw) -> dict[str, Any]:
    """A pseudonym of one patient's alone: no two of ours ever share one."""
    patient = draw(A_PATIENT)
    return {"patient": patient, "name_fingerprint": None if patient is None else f"ours {patient}"}


def _adopted(draw: Draw, so: So) -> dict[str, Any]:
    """An ID of its own, or one there is: reserved, or of a patient who was forgotten and has come back."""
    if not so.ids or draw(st.booleans()):
        return {"value": f"ID-{so.position}"}
    project, value = draw(st.sampled_from(sorted(so.ids)))
    owner = so.ids[project, value]
    return {"project": project, "value": value, "forgotten": None if owner is None else str(UUID(int=owner))}


_OF_A_PATIENT = {"IdGenerated", "IdAdopted", "ContradictionFound"}


@st.composite
def histories(draw: Draw, max_size: int = 30, types: Collection[str] = tuple(FACTS)) -> list[list[NewEvent]]:
    """Events of these types in the portions in which they are appended."""
    portions: list[list[NewEvent]] = [[]]
    requests: list[int] = []
    ids: dict[tuple[str, str], int | None] = {}
    for position in range(1, draw(st.integers(0, max_size)) + 1):
        name = draw(st.sampled_from(sorted(types)))
        fact = a_fact(draw, FACTS[name], So(position, requests, ids))
        if name == "TransferRequested":
            requests.append(position)
        portions[-1].append(in_plain(fact, subject=UUID(int=position) if name in _OF_A_PATIENT else None))
        if draw(st.integers(0, 3)) == 0:
            portions.append([])
    return [portion for portion in portions if portion]

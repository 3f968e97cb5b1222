"""Which studies wait for an ID by what the ledger holds of them, one condition at a time, without a run."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec import structs

from ledger.database import Database
from ledger.events import Event
from processors.autoid.candidates import (
    Candidate,
    Waiting,
    WantingProject,
    candidates,
    settled_otherwise,
    wanting_projects,
)
from processors.events.fact import Cause, CauseKind, Fact
from processors.events.holds import RequestHeld, RequestReleased
from processors.events.operations import StudyAdopted
from processors.events.patients import Consequence, StudyChangeFound, TwoPatientsFound, TwoPatientsResolved
from processors.events.pseudonyms import (
    AutoidProjectChanged,
    AutoidProjectDoubted,
    AutoidProjectRemoved,
    AutoidProjectReturned,
    StudyHeld,
)
from processors.events.rules import DecidedByHand
from processors.events.series import SeriesReturned, SeriesVanished, StudyReturned, StudyVanished
from processors.events.transfers import TransferAdopted, TransferObserved, TransferPlaced, TransferWithdrawn
from processors.gateway import Gateway, patient_subject
from processors.placeholders import USUAL_PLACEHOLDERS
from processors.requests import MINUTE
from processors.routing.patient_keys import padded_key, patient_key
from tests.conftest import SettableClock
from tests.facts import a_request, a_series, in_plain, revised

HEART = AutoidProjectChanged(
    record_id="1", project="HEART", pattern="H-[0-9]{3}", aetitle="HEART", wanted=True, problems=(), fingerprint=""
)
WINDOW = timedelta(days=14)
LASTING = "no PatientID"
PASSING = "its generator failed"


class Ledger:
    """What is recorded, and which studies wait for an ID by it."""

    def __init__(self, gateway: Gateway, clock: SettableClock) -> None:
        self._gateway = gateway
        self._clock = clock

    def at(self, site: str) -> "Ledger":
        """The same ledger as another site writes and reads it."""
        known = self._gateway
        other = Gateway(database=known.database, vault=known.vault, site=site, clock=self._clock, run=uuid4())
        return Ledger(other, self._clock)

    def record(self, *facts: Fact) -> list[int]:
        """The positions of their events."""
        with self._gateway.begin() as work:
            return [event.position for event in work.record([in_plain(fact) for fact in facts])]

    def arrives(self, study: str, patient: str = "PID-1", *, series: str = "1", called: str = "HEART") -> Event:
        """A series of the study, and of the patient."""
        return self._sealed(a_series(study, f"{study}.{series}", AETitleCalled=called, PatientID=patient), patient)

    def revises(self, study: str, patient: str = "PID-1", **changes: Any) -> Event:
        """What the study's first series says is another thing now."""
        known = a_series(study, f"{study}.1", AETitleCalled="HEART", PatientID=patient)
        return self._sealed(revised(known, **changes), patient)

    def _sealed(self, series: Any, patient: str) -> Event:
        with self._gateway.begin() as work:
            (event,) = work.record(
                [work.seal(structs.replace(series, PatientName=""), patient_subject("1.2.1", patient))]
            )
        return event

    def forgets(self, event: Event) -> None:
        """The key of whom the event is about is destroyed."""
        assert event.subject is not None
        with self._gateway.begin() as work:
            self._gateway.vault.forget(work.connection, [event.subject])

    def requests(
        self, study: str, project: str = "HEART", *, kind: CauseKind = "autoid", fate: Any = None, placed: bool = True
    ) -> int:
        """A request of ours, ended where its fate is given."""
        (request,) = self.record(a_request(study, project, Cause(kind, "1", 1)))
        if placed:
            self.record(TransferPlaced(study=study, request=request, instance=1, found=False))
        if fate is not None:
            self.ends(study, request, fate)
        return request

    def requests_for(self, study: str, patient: str, kind: CauseKind) -> int:
        """A request of ours that was placed, sealed for the patient."""
        fact = a_request(study, "HEART", Cause(kind, "1", 1))
        with self._gateway.begin() as work:
            (request,) = work.record([work.seal(fact, patient_subject("1.2.1", patient))])
        self.record(TransferPlaced(study=study, request=request.position, instance=1, found=False))
        return request.position

    def ends(self, study: str, request: int, fate: Any) -> None:
        self.record(TransferWithdrawn(study=study, project="HEART", request=request, instance=1, by=None, fate=fate))

    def passes(self, **time: float) -> None:
        self._clock.now += timedelta(**time)

    @property
    def project(self) -> WantingProject:
        """The only project that wants IDs."""
        with self._gateway.begin() as work:
            (project,) = wanting_projects(work)
        return project

    def candidates(
        self,
        project: WantingProject | None = None,
        *,
        retry: bool = False,
        lasting: Collection[str] = (LASTING, "gone from disk"),
    ) -> list[Candidate]:
        project = project or self.project
        with self._gateway.begin() as work:
            return candidates(work, project, since=self._clock.now - WINDOW, lasting=lasting, retry=retry)

    def waiting(self, project: WantingProject | None = None, *, retry: bool = False) -> list[str]:
        """The studies that may get an ID."""
        return [candidate.study for candidate in self.candidates(project, retry=retry)]

    def settled(self) -> list[str]:
        """The held studies that wait no longer."""
        with self._gateway.begin() as work:
            return [study for study, _, _ in settled_otherwise(work)]


@pytest.fixture
def database(passing_database: Database) -> Database:
    return passing_database


@pytest.fixture
def ledger(gateway: Gateway, clock: SettableClock) -> Ledger:
    """One with a project that wants IDs, and a study that was sent to its AE title."""
    made = Ledger(gateway, clock)
    made.record(HEART)
    made.arrives("1.2.1")
    return made


def held(study: str = "1.2.1", project: str = "HEART", reason: str = LASTING) -> StudyHeld:
    return StudyHeld(study=study, project=project, reason=reason)


def observed(study: str) -> TransferObserved:
    return TransferObserved(study=study, project="BRAIN", event_name="", instance=1, fingerprint="")


def adopted(study: str) -> TransferAdopted:
    return TransferAdopted(study=study, project="BRAIN", event_name="", instance=1, sent=False, requested=None)


def by_hand(study: str, project: str = "HEART") -> DecidedByHand:
    return DecidedByHand(study=study, project=project, event_name=None, action="retract", by="kari", reason="asked")


# Projects


def test_projects_that_want_ids_take_part_in_the_order_of_their_records(ledger: Ledger, gateway: Gateway) -> None:
    unusable = structs.replace(HEART, record_id="0", project="LUNG", problems=("naming_pattern is wrong.",))
    ledger.record(unusable, structs.replace(HEART, record_id="2", wanted=False), structs.replace(HEART, record_id="3"))
    ledger.record(AutoidProjectRemoved(record_id="3"))
    with gateway.begin() as work:
        first, second = wanting_projects(work)
    assert first.problems == ("naming_pattern is wrong.",)
    assert second == WantingProject(
        record_id="1", project="HEART", pattern="H-[0-9]{3}", aetitle="HEART", position=1, problems=()
    )


def test_a_project_missing_from_an_export_is_doubted_and_that_time_remembered(
    ledger: Ledger, clock: SettableClock
) -> None:
    since = clock.now
    ledger.record(AutoidProjectDoubted(record_id="1"))
    assert (ledger.project.doubted, ledger.project.missed) == (True, None)
    ledger.passes(hours=1)
    ledger.record(AutoidProjectReturned(record_id="1"))
    assert (ledger.project.doubted, ledger.project.missed) == (False, (since, clock.now))


# Whose the studies are, and where they were sent


def test_a_candidate_is_told_with_its_patient_and_where_it_stands(ledger: Ledger) -> None:
    second = ledger.arrives("1.2.2", "PID-2")
    ledger.record(StudyVanished(StudyInstanceUID="1.2.2"))
    assert second.subject is not None
    assert ledger.candidates()[1] == Candidate(
        study="1.2.2", key=patient_key("PID-2", USUAL_PLACEHOLDERS), subject=second.subject, on_disk=False, changed=True
    )


def test_a_padded_patient_id_is_told_with_the_key_that_the_scripts_have_given_it(ledger: Ledger) -> None:
    ledger.arrives("1.2.2", "PID-2 ")
    plain, padded = ledger.candidates()
    assert (plain.padded_key, padded.key) == (None, patient_key("PID-2", USUAL_PLACEHOLDERS))
    assert padded.padded_key == padded_key("PID-2 ", USUAL_PLACEHOLDERS) != padded.key
    # Of a study of two patients, neither counts.
    ledger.arrives("1.2.2", "PID-3 ", series="2")
    assert ledger.candidates()[1].padded_key is None


def test_candidates_come_in_the_order_of_their_arrival(ledger: Ledger) -> None:
    ledger.arrives("1.2.0")
    ledger.passes(seconds=1)
    ledger.arrives("1.1.9")
    assert ledger.waiting() == ["1.2.0", "1.2.1", "1.1.9"]


def test_the_patients_that_wait_are_each_named_once_in_the_order_of_their_studies(
    ledger: Ledger, gateway: Gateway
) -> None:
    for number, patient in enumerate(("PID-2", "PID-1", "", "PID-2")):
        ledger.arrives(f"1.2.{number}", patient)
    with gateway.begin() as work:
        (project,) = wanting_projects(work)
        waiting = Waiting(project=project, studies=candidates(work, project, since=None, lasting=[], retry=False))
    assert waiting.patients() == [patient_key(patient, USUAL_PLACEHOLDERS) for patient in ("PID-2", "PID-1")]


def test_each_site_gives_ids_to_its_own_studies(ledger: Ledger) -> None:
    north = ledger.at("north")
    north.arrives("1.2.2")
    assert (ledger.waiting(), north.waiting()) == (["1.2.1"], ["1.2.2"])


def test_only_what_was_sent_to_the_project_s_ae_title_waits(ledger: Ledger) -> None:
    ledger.arrives("1.2.2", called="OTHER")
    assert ledger.waiting() == ["1.2.1"]
    ledger.record(held("1.2.2", "BRAIN"))
    ledger.arrives("1.2.2", series="2", called="OTHER")
    assert ledger.waiting() == ["1.2.1"]


def test_a_study_without_a_patientid_has_no_patient(ledger: Ledger) -> None:
    ledger.revises("1.2.1")
    blank = ledger.arrives("1.2.2", "")
    first, second = ledger.candidates()
    assert (first.key, second.key, second.subject) == (patient_key("PID-1", USUAL_PLACEHOLDERS), None, blank.subject)
    assert not second.of_two_patients


def test_a_study_of_two_patients_has_no_patient_that_an_id_could_be_for(ledger: Ledger) -> None:
    ledger.arrives("1.2.1", "PID-2", series="2")
    (found,) = ledger.candidates()
    assert (found.key, found.of_two_patients) == (None, True)


def test_a_study_is_its_patient_s_whichever_series_says_so(ledger: Ledger) -> None:
    """Its leading series' row may be older than what tells the PatientID."""
    ledger.arrives("1.2.2", "")
    told = ledger.arrives("1.2.2", "PID-2", series="2")
    found = ledger.candidates()[1]
    assert (found.key, found.subject) == (patient_key("PID-2", USUAL_PLACEHOLDERS), told.subject)


def test_a_study_of_a_forgotten_patient_waits_for_nothing(ledger: Ledger) -> None:
    ledger.forgets(ledger.arrives("1.2.2", "PID-2"))
    assert ledger.waiting() == ["1.2.1"]


# The window


@pytest.mark.parametrize(("beyond", "expected"), [(0, ["1.2.1"]), (1, [])])
def test_the_window_begins_where_it_is_said_to(ledger: Ledger, beyond: int, expected: list[str]) -> None:
    ledger.passes(days=14, seconds=beyond)
    assert ledger.waiting() == expected


@pytest.mark.parametrize(("minutes", "expected"), [(None, []), (-1, []), (0, ["1.2.1"]), (1, ["1.2.1"])])
def test_what_others_entered_before_the_window_waits_for_no_id_unless_there_is_no_window(
    ledger: Ledger, gateway: Gateway, clock: SettableClock, minutes: int | None, expected: list[str]
) -> None:
    """A server without that field does not say when."""
    begins = gateway.local(clock.now - WINDOW)
    arrived = None if minutes is None else (begins + timedelta(minutes=minutes)).strftime(MINUTE)
    ledger.arrives("1.2.0", called="OTHER")
    ledger.record(StudyAdopted(study="1.2.0", series={}, arrived=None))
    assert ledger.waiting() == ["1.2.1"]
    ledger.record(StudyAdopted(study="1.2.1", series={}, arrived=arrived))
    assert ledger.waiting() == expected
    with gateway.begin() as work:
        (project,) = wanting_projects(work)
        ever = candidates(work, project, since=None, lasting=[], retry=False)
    assert [candidate.study for candidate in ever] == ["1.2.1"]


@pytest.mark.parametrize(
    ("arrival", "expected"),
    [("before the longer window", []), ("at its beginning", ["1.2.1"]), ("when it was missed", ["1.2.1"])],
)
def test_the_time_for_which_a_project_was_missing_does_not_count_against_what_was_there_before(
    ledger: Ledger, clock: SettableClock, arrival: str, expected: list[str]
) -> None:
    arrived = clock.now
    day = timedelta(days=1)
    if arrival == "when it was missed":
        missed, now = (arrived, arrived + 3 * day), arrived + 15 * day
    else:
        missed = (arrived + day, arrived + 4 * day)
        now = arrived + 17 * day + timedelta(seconds=arrival == "before the longer window")
    clock.now = now
    assert ledger.waiting(replace(ledger.project, missed=missed)) == expected


def test_what_arrived_while_a_project_was_missing_gets_no_longer_window(ledger: Ledger, clock: SettableClock) -> None:
    day = timedelta(days=1)
    missed = (clock.now - timedelta(seconds=1), clock.now + 3 * day)
    clock.now += 15 * day
    assert ledger.waiting(replace(ledger.project, missed=missed)) == []


def test_a_study_held_in_time_waits_on_beyond_the_window(ledger: Ledger) -> None:
    ledger.record(held())
    ledger.passes(days=30)
    ledger.record(HEART)
    assert ledger.waiting() == ["1.2.1"]


@pytest.mark.parametrize(
    ("project", "kind", "expected"),
    [("HEART", "autoid", ["1.2.1"]), ("BRAIN", "autoid", []), ("HEART", "rule", []), ("HEART", "coupling", [])],
)
def test_a_study_that_had_an_id_of_the_project_waits_on_beyond_the_window(
    ledger: Ledger, project: str, kind: CauseKind, expected: list[str]
) -> None:
    ledger.arrives("1.2.2", called="OTHER")
    ledger.requests("1.2.1", project, kind=kind, fate="unsent")
    ledger.passes(days=15)
    assert ledger.waiting() == expected


def test_an_id_of_another_study_does_not_lengthen_the_window(ledger: Ledger) -> None:
    ledger.requests("1.2.9")
    ledger.passes(days=15)
    assert ledger.waiting() == []


# Held studies


def test_a_held_study_is_not_looked_at_before_something_changes(ledger: Ledger) -> None:
    ledger.record(held())
    ledger.arrives("1.2.2")
    assert ledger.waiting() == ["1.2.2"]


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger: ledger.record(HEART),
        lambda ledger: ledger.revises("1.2.1", study_fingerprint="other", fingerprint="other"),
        lambda ledger: ledger.record(StudyVanished(StudyInstanceUID="1.2.1"), StudyReturned(StudyInstanceUID="1.2.1")),
        lambda ledger: ledger.arrives("1.2.1", series="2"),
        lambda ledger: ledger.record(
            SeriesVanished(StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.1.1"),
            SeriesReturned(StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.1.1"),
        ),
    ],
    ids=["its project", "its row", "it came back", "another series", "a series came back"],
)
def test_a_held_study_is_looked_at_again_when_it_or_its_project_has_changed(
    ledger: Ledger, change: Callable[[Ledger], object]
) -> None:
    ledger.record(held())
    assert ledger.waiting() == []
    change(ledger)
    (found,) = ledger.candidates()
    assert (found.study, found.changed) == ("1.2.1", True)


def test_another_study_s_series_do_not_make_a_held_one_be_looked_at(ledger: Ledger) -> None:
    ledger.record(held())
    ledger.arrives("1.2.9", called="OTHER")
    assert ledger.waiting() == []


def test_what_may_pass_by_itself_is_tried_again_and_what_lasts_is_not(ledger: Ledger) -> None:
    ledger.arrives("1.2.2")
    ledger.arrives("1.2.3")
    ledger.record(held("1.2.1", reason=LASTING), held("1.2.2", reason=PASSING), held("1.2.3", reason="gone from disk"))
    assert ledger.waiting() == []
    (found,) = ledger.candidates(retry=True)
    assert (found.study, found.changed) == ("1.2.2", False)


# Studies that somebody asks for


def asked_for(ledger: Ledger, study: str, by: str) -> None:
    match by:
        case "a request":
            ledger.requests(study, "BRAIN", kind="rule", placed=False)
        case "what was sent and closed":
            ledger.requests(study, "BRAIN", kind="rule", fate="sent")
        case "a person":
            ledger.record(observed(study))
        case "what was there before":
            ledger.record(adopted(study))


ASKING = ("a request", "what was sent and closed", "a person", "what was there before")


@pytest.mark.parametrize("by", ASKING)
def test_what_is_asked_for_gets_no_id_and_others_do(ledger: Ledger, by: str) -> None:
    ledger.arrives("1.2.2")
    asked_for(ledger, "1.2.1", by)
    assert ledger.waiting() == ["1.2.2"]


@pytest.mark.parametrize("by", ASKING)
def test_a_held_study_that_is_asked_for_waits_no_longer_and_others_do(ledger: Ledger, by: str) -> None:
    ledger.arrives("1.2.2")
    ledger.record(held("1.2.1"), held("1.2.2"))
    assert ledger.settled() == []
    asked_for(ledger, "1.2.1", by)
    assert ledger.settled() == ["1.2.1"]


def test_what_is_asked_for_and_held_gets_no_id_until_it_is_released(ledger: Ledger) -> None:
    ledger.arrives("1.2.2")
    asked = RequestHeld(
        study="1.2.1",
        project="BRAIN",
        event_name="",
        cause=Cause("rule", "7", 1),
        whole_match=True,
        kind="project is closed",
        details="",
    )
    ledger.record(asked)
    assert ledger.waiting() == ["1.2.2"]
    ledger.record(RequestReleased(study="1.2.1", project="BRAIN", event_name=""))
    assert ledger.waiting() == ["1.2.1", "1.2.2"]


def test_what_was_withdrawn_unsent_asks_for_nothing_any_more(ledger: Ledger) -> None:
    ledger.requests("1.2.1", "BRAIN", kind="rule", fate="unsent")
    assert ledger.waiting() == ["1.2.1"]
    ledger.record(held())
    assert ledger.settled() == []


def test_what_was_closed_while_its_study_was_of_two_patients_leaves_the_id_to_what_follows(ledger: Ledger) -> None:
    mixed = TwoPatientsFound(study="1.2.1", patients=(("1.2.1.1",), ("1.2.1.2",)))
    over = TwoPatientsResolved(study="1.2.1")
    request = ledger.requests("1.2.1")
    ledger.record(mixed)
    ledger.ends("1.2.1", request, "sent")
    assert ledger.waiting() == []
    ledger.record(over)
    assert ledger.waiting() == ["1.2.1"]
    ledger.record(held())
    assert ledger.settled() == []


@pytest.mark.parametrize("closed", ["before", "after", "while another study was"])
def test_what_was_closed_at_any_other_time_keeps_the_study_from_an_id(ledger: Ledger, closed: str) -> None:
    study = "1.2.9" if closed == "while another study was" else "1.2.1"
    mixed = TwoPatientsFound(study=study, patients=(("1.2.1.1",), ("1.2.1.2",)))
    over = TwoPatientsResolved(study=study)
    request = ledger.requests("1.2.1")
    if closed == "before":
        ledger.ends("1.2.1", request, "sent")
    ledger.record(mixed)
    if closed == "while another study was":
        ledger.ends("1.2.1", request, "sent")
    ledger.record(over)
    if closed == "after":
        ledger.ends("1.2.1", request, "sent")
    assert ledger.waiting() == []
    ledger.record(held())
    assert ledger.settled() == ["1.2.1"]


def given_up(
    ledger: Ledger,
    *,
    kind: CauseKind = "autoid",
    consequence: Consequence = "withdrawn",
    about: int = 0,
    ended: bool = True,
    of: str = "PID-1",
) -> None:
    """A request of patient PID-1 that may have been sent is given up, as the study is said to be somebody else's."""
    request = ledger.requests_for("1.2.1", "PID-1", kind)
    ledger.arrives("1.2.9", "PID-1", called="ELSEWHERE")
    ledger.record(
        StudyChangeFound(
            study="1.2.1", project="HEART", request=request + about, changed=("PatientID",), consequence=consequence
        )
    )
    ledger.revises("1.2.1", "PID-2", NumFiles=2, study_fingerprint="of PID-2")
    if ended:
        ledger.ends("1.2.1", request, "possibly sent")
    assert ledger.waiting() == []
    ledger.revises("1.2.1", of, NumFiles=3, study_fingerprint=f"of {of}")


def test_what_was_given_up_while_its_study_was_said_to_be_another_s_leaves_the_id_to_its_patient(
    ledger: Ledger,
) -> None:
    given_up(ledger)
    assert ledger.waiting() == ["1.2.1"]
    ledger.record(held())
    assert ledger.settled() == []


@pytest.mark.parametrize(
    "otherwise",
    [{"kind": "rule"}, {"consequence": "stands"}, {"about": 1}, {"ended": False}, {"of": "PID-3"}],
)
def test_what_was_given_up_for_another_reason_keeps_the_study_from_an_id(
    ledger: Ledger, otherwise: dict[str, Any]
) -> None:
    given_up(ledger, **otherwise)
    assert ledger.waiting() == []
    ledger.record(held())
    assert ledger.settled() == ["1.2.1"]


@pytest.mark.parametrize(
    ("study", "project", "expected"),
    [("1.2.1", "HEART", []), ("1.2.1", "BRAIN", ["1.2.1"]), ("1.2.9", "HEART", ["1.2.1"])],
)
def test_what_an_operator_decided_is_not_asked_for_again(
    ledger: Ledger, study: str, project: str, expected: list[str]
) -> None:
    ledger.record(by_hand(study, project))
    assert ledger.waiting() == expected


# Held studies that wait for nothing


def test_held_studies_of_another_site_are_left_to_it(ledger: Ledger) -> None:
    north = ledger.at("north")
    north.arrives("1.2.2")
    ledger.record(held("1.2.2"), observed("1.2.2"))
    assert (ledger.settled(), north.settled()) == ([], ["1.2.2"])


def test_what_is_settled_is_told_with_its_project_and_reason_in_the_order_of_holding(
    ledger: Ledger, gateway: Gateway
) -> None:
    ledger.arrives("1.2.2")
    ledger.record(held("1.2.2", reason=PASSING), held("1.2.1"), observed("1.2.1"), observed("1.2.2"))
    with gateway.begin() as work:
        assert settled_otherwise(work) == [("1.2.2", "HEART", PASSING), ("1.2.1", "HEART", LASTING)]


@pytest.mark.parametrize(
    "change",
    [
        AutoidProjectRemoved(record_id="1"),
        structs.replace(HEART, wanted=False),
        structs.replace(HEART, aetitle="OTHER"),
        structs.replace(HEART, project="LUNG"),
    ],
    ids=["removed", "unwanted", "another AE title", "another name"],
)
def test_a_held_study_that_no_project_claims_any_more_waits_no_longer(ledger: Ledger, change: Fact) -> None:
    ledger.record(held())
    assert ledger.settled() == []
    ledger.record(change)
    assert ledger.settled() == ["1.2.1"]


def test_a_held_study_whose_patient_was_forgotten_waits_no_longer(ledger: Ledger) -> None:
    second = ledger.arrives("1.2.2", "PID-2")
    ledger.record(held("1.2.1"), held("1.2.2"))
    ledger.forgets(second)
    assert ledger.settled() == ["1.2.2"]

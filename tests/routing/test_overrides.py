"""What is recorded where an operator amends a study's requests by hand, before anything is delivered."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from ledger.database import Database
from ledger.vault import SubjectName
from processors.errors import ConfigurationError
from processors.events.fact import Cause, Fact
from processors.events.holds import RequestHeld, RequestReleased
from processors.events.pseudonyms import StudyHeld, StudyReleased
from processors.events.rules import ConflictFound, ConflictKind, ConflictResolved, DecidedByHand
from processors.events.transfers import (
    TransferFailed,
    TransferPlaced,
    TransferRequested,
    TransferRetracted,
    TransferSent,
    TransferWithdrawn,
)
from processors.gateway import Gateway
from processors.redcap import NoRateLimit, Redcap
from processors.requests import Key
from processors.routing.decisions import Obstacle
from processors.routing.overrides import Amendment, amend, end_all, keep_from, retract_all, rows_there
from processors.stored_requests import requests_of
from tests.conftest import SettableClock
from tests.facts import a_request, a_series, in_plain
from tests.flow.harness import standard_simulator

STUDY = "1.2"
RULE = Cause("rule", "7", 1)
RETRACT = Amendment(study=STUDY, project="HEART", event_name=None, pseudonym=None, by="kari", reason="ticket 4711")
REASSIGN = replace(RETRACT, pseudonym="H-017")


class Ledger:
    """What is recorded, and what an operator's amendment adds to it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.record(a_series(STUDY, "1.2.1"))

    def record(self, fact: Fact) -> int:
        """The position of its event."""
        with self._gateway.begin() as work:
            ((event),) = work.record([in_plain(fact)])
        return event.position

    def request(self, project: str = "HEART", name: str = "P1", event: str = "", *, study: str = STUDY) -> int:
        """The position of a request under this pseudonym."""
        fact = a_request(study, project, RULE, event_name=event, pseudonym=name)
        with self._gateway.begin() as work:
            ((stored),) = work.record([work.seal(fact, SubjectName("patient", "", "PID-1"))])
        return stored.position

    def added(self, amendment: Amendment) -> list[tuple[str, dict[str, Any]]]:
        """The events that the amendment leads to: their types, and what they say in plain and sealed."""
        head = self.head
        amend(self._gateway, amendment)
        return self.since(head)

    def since(self, head: int) -> list[tuple[str, dict[str, Any]]]:
        """The events after this one: their types, and what they say in plain and sealed."""
        with self._gateway.begin() as work:
            found = work.identities(range(head + 1, self.head + 1))
        return [(event.type, event.data | sealed) for _, (event, sealed) in sorted(found.items())]

    def arrives(self, study: str, patient: str) -> None:
        """A series of the study, sealed for its patient."""
        with self._gateway.begin() as work:
            series = a_series(study, f"{study}.9", PatientID=patient)
            work.record([work.seal(series, SubjectName("patient", "", patient))])

    def used(self, study: str, patient: str, pseudonym: str) -> None:
        """A request of the study by which the patient uses the pseudonym."""
        subject = str(self.subject("patient", patient))
        fact = a_request(study, "HEART", Cause("coupling", "1", 1), pseudonym=pseudonym, patient=subject)
        fact = structs.replace(fact, name_fingerprint=self.name_fingerprint("HEART", pseudonym))
        with self._gateway.begin() as work:
            work.record([work.seal(fact, SubjectName("study", "", study))])

    def said(self, amendment: Amendment) -> str:
        """The words in which the amendment is refused; nothing is recorded then."""
        head = self.head
        with pytest.raises(ConfigurationError) as refused:
            amend(self._gateway, amendment)
        assert self.head == head
        return str(refused.value)

    @property
    def head(self) -> int:
        """The position of the newest event."""
        with self._gateway.begin() as work:
            return int(work.connection.exec_driver_sql("select position from ledger.head").scalar_one())

    def name_fingerprint(self, project: str, pseudonym: str) -> str | None:
        """The keyed hash by which the pseudonym's users are found."""
        with self._gateway.begin() as work:
            return work.name_fingerprint(project, pseudonym)

    def sealed_for(self, position: int) -> Any:
        """The subject of an event."""
        with self._gateway.begin() as work:
            return work.identities([position])[position][0].subject

    def subject(self, kind: str, name: str) -> Any:
        """The subject of a study or patient."""
        with self._gateway.begin() as work:
            asked = SubjectName(kind, "", name)
            return work.vault.subjects(work.connection, [asked])[asked]


@pytest.fixture
def database(passing_database: Database) -> Database:
    return passing_database


@pytest.fixture
def ledger(gateway: Gateway) -> Ledger:
    return Ledger(gateway)


def told(fact: Fact) -> tuple[str, dict[str, Any]]:
    """The event of the fact, as `added` gives it."""
    return type(fact).__name__, fact.data | fact.payload


def decided(amendment: Amendment, event: str | None) -> DecidedByHand:
    return DecidedByHand(
        study=STUDY,
        project="HEART",
        event_name=event,
        action=amendment.action,
        by="kari",
        reason="ticket 4711",
    )


def retracted(request: int, cause: int) -> TransferRetracted:
    return TransferRetracted(
        study=STUDY, project="HEART", request=request, reason="by hand", cause=Cause("operator", "kari", cause)
    )


def contested(study: str = STUDY, project: str = "HEART", event: str = "", kind: ConflictKind = "equals") -> Fact:
    return ConflictFound(study=study, project=project, event_name=event, kind=kind, causes=(RULE,))


def test_a_withdrawal_is_recorded_with_who_decided_it_and_why(ledger: Ledger) -> None:
    request = ledger.request()
    assert ledger.added(RETRACT) == [told(decided(RETRACT, None)), told(retracted(request, cause=request + 1))]


def test_a_withdrawal_is_of_all_the_project_s_events_and_of_nothing_else(ledger: Ledger) -> None:
    first, second = ledger.request(event="visit_1"), ledger.request(event="visit_2")
    ledger.request("BRAIN")
    ledger.request(study="1.3")
    cause = ledger.head + 1
    assert ledger.added(RETRACT) == [
        told(decided(RETRACT, None)),
        told(retracted(first, cause)),
        told(retracted(second, cause)),
    ]


def test_a_withdrawal_from_one_event_leaves_the_others(ledger: Ledger) -> None:
    ledger.request(event="visit_1")
    second = ledger.request(event="visit_2")
    one = replace(RETRACT, event_name="visit_2")
    assert ledger.added(one) == [told(decided(one, "visit_2")), told(retracted(second, cause=second + 1))]


def test_another_pseudonym_is_a_request_in_the_old_one_s_place_and_sealed_for_the_study_alone(
    ledger: Ledger,
) -> None:
    """It may be anybody's: forgetting the patient does not have to reach it, forgetting the study does."""
    request = ledger.request(event="visit_1")
    expected = TransferRequested(
        study=STUDY,
        project="HEART",
        event_name="visit_1",
        cause=Cause("operator", "kari", request + 1),
        whole_match=True,
        replaces=(request,),
        name_fingerprint=ledger.name_fingerprint("HEART", "H-017"),
        pseudonym="H-017",
    )
    assert ledger.added(REASSIGN) == [told(decided(REASSIGN, "visit_1")), told(expected)]
    assert ledger.sealed_for(ledger.head) == ledger.subject("study", STUDY)


def test_what_was_decided_is_told_with_the_requests_that_it_is_about(ledger: Ledger, gateway: Gateway) -> None:
    first, second = ledger.request(event="visit_1"), ledger.request(event="visit_2")
    assert [request.position for request in amend(gateway, RETRACT).requests] == [first, second]


@pytest.mark.parametrize("kind", ["equals", "coupling stands"])
def test_a_conflict_about_the_request_is_over_with_it(ledger: Ledger, kind: ConflictKind) -> None:
    request = ledger.request()
    ledger.record(contested(kind=kind))
    cause = ledger.head + 1
    assert ledger.added(RETRACT) == [
        told(decided(RETRACT, None)),
        told(retracted(request, cause)),
        told(ConflictResolved(study=STUDY, project="HEART", event_name="")),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "person"},
        {"study": "1.3"},
        {"project": "BRAIN"},
        {"event": "visit_1"},
    ],
)
def test_a_person_s_request_and_conflicts_about_something_else_are_left(ledger: Ledger, other: dict[str, Any]) -> None:
    request = ledger.request()
    ledger.record(contested(**other))
    cause = ledger.head + 1
    assert ledger.added(RETRACT) == [told(decided(RETRACT, None)), told(retracted(request, cause))]


def test_a_pseudonym_that_another_patient_uses_is_held_with_the_reason_and_the_request_ends(
    ledger: Ledger, gateway: Gateway
) -> None:
    for study, patient in ((STUDY, "PID-1"), ("1.3", "PID-2")):
        ledger.arrives(study, patient)
    request = ledger.request()
    ledger.used("1.3", "PID-2", "H-017")
    amended = amend(gateway, REASSIGN)
    assert amended.held == Obstacle("two patients, one pseudonym", "", ("1.3",))
    with gateway.begin() as work:
        held, ended = work.identities([ledger.head - 1, ledger.head]).values()
    assert (held[0].type, ended[0].type, ended[0].data["request"]) == ("RequestHeld", "TransferRetracted", request)
    assert ended[0].data["reason"] == "what is asked for now is held (two patients, one pseudonym)"
    assert (held[0].sealed is None, ended[0].sealed is None) == (False, True)


def test_a_second_pseudonym_of_the_patient_is_requested_and_questioned_unless_it_is_to_be_held(
    ledger: Ledger, gateway: Gateway
) -> None:
    for study in (STUDY, "1.3"):
        ledger.arrives(study, "PID-1")
    ledger.request()
    ledger.used("1.3", "PID-1", "H-001")
    assert amend(gateway, REASSIGN).held is None
    held = amend(gateway, replace(REASSIGN, pseudonym="H-018"), holds_split=True).held
    assert held is not None
    assert held.kind == "one patient, two pseudonyms"


def test_what_is_held_is_given_up_with_a_withdrawal_and_what_is_ending_is_not_ended_again(ledger: Ledger) -> None:
    request = ledger.request()
    ledger.record(retracted(request, cause=1))
    ledger.record(
        RequestHeld(
            study=STUDY,
            project="HEART",
            event_name="a",
            cause=RULE,
            whole_match=True,
            kind="project is closed",
            details="",
        )
    )
    assert ledger.added(RETRACT) == [
        told(decided(RETRACT, None)),
        told(RequestReleased(study=STUDY, project="HEART", event_name="a")),
    ]


def test_another_pseudonym_is_for_what_is_in_force_and_not_for_what_has_ended(ledger: Ledger) -> None:
    ended = ledger.request(event="visit_1")
    ledger.record(retracted(ended, cause=1))
    assert ledger.said(REASSIGN).startswith(
        f"Expected a request of this system for study {STUDY} in project 'HEART' that is in force; found events: none; "
        "one that ended waits to be taken back. "
    )
    request = ledger.request(event="visit_2")
    _, (_, requested) = ledger.added(REASSIGN)
    assert requested["replaces"] == [request]


def test_all_that_was_requested_or_held_of_studies_ends_and_stays_so(ledger: Ledger, gateway: Gateway) -> None:
    requests = [ledger.request(event="visit_1"), ledger.request("BRAIN"), ledger.request(study="1.3")]
    ledger.request(study="1.4")
    # What has ended before does not end again, but may be to be taken back still.
    before = ledger.request("KIDNEY")
    ledger.record(retracted(before, cause=1))
    held = RequestHeld(
        study="1.3", project="LUNG", event_name="a", cause=RULE, whole_match=True, kind="project is closed", details=""
    )
    ledger.record(held)
    ledger.record(contested(project="BRAIN"))
    head = ledger.head
    with gateway.begin() as work:
        ended = end_all(work, [STUDY, "1.3"], by="kari", reason="ticket 4711")
    assert [request.position for request in ended] == [*requests[:2], before, requests[2]]

    def by_hand(study: str, project: str) -> Fact:
        return structs.replace(decided(RETRACT, None), study=study, project=project)

    def forgotten(study: str, project: str, request: int, decision: int) -> Fact:
        return structs.replace(
            retracted(request, head + decision), study=study, project=project, reason="the patient was forgotten"
        )

    assert ledger.since(head) == [
        told(by_hand(STUDY, "BRAIN")),
        told(by_hand(STUDY, "HEART")),
        told(by_hand("1.3", "HEART")),
        told(by_hand("1.3", "LUNG")),
        told(RequestReleased(study="1.3", project="LUNG", event_name="a")),
        told(forgotten(STUDY, "HEART", requests[0], 2)),
        told(forgotten(STUDY, "BRAIN", requests[1], 1)),
        told(ConflictResolved(study=STUDY, project="BRAIN", event_name="")),
        told(forgotten("1.3", "HEART", requests[2], 3)),
    ]


def test_requests_end_each_for_its_own_project_and_event_and_others_go_on(ledger: Ledger, gateway: Gateway) -> None:
    ledger.request(event="visit_1")
    first, second = ledger.request(event="visit_2"), ledger.request("BRAIN", study="1.3")
    ledger.record(contested(event="visit_1"))
    ledger.record(contested(study="1.3", project="BRAIN"))
    head = ledger.head
    with gateway.begin() as work:
        requests = [requests_of(work, [STUDY])[STUDY][1], *requests_of(work, ["1.3"])["1.3"]]
        retract_all(work, requests, by="kari", reason="ticket 4711")
    about_second: dict[str, Any] = {"study": "1.3", "project": "BRAIN"}
    assert ledger.since(head) == [
        told(decided(RETRACT, "visit_2")),
        told(retracted(first, cause=head + 1)),
        told(structs.replace(decided(RETRACT, ""), **about_second)),
        told(structs.replace(retracted(second, cause=head + 3), **about_second)),
        told(ConflictResolved(**about_second, event_name="")),
    ]


def test_a_study_is_kept_from_the_whole_project(ledger: Ledger, gateway: Gateway) -> None:
    head = ledger.head
    with gateway.begin() as work:
        keep_from(work, STUDY, "HEART", by="kari", reason="ticket 4711")
    assert ledger.since(head) == [told(decided(RETRACT, None))]


# What is refused


def test_where_nothing_is_in_force_that_is_said_with_where_to_look(ledger: Ledger) -> None:
    ended = ledger.request()
    ledger.record(TransferWithdrawn(study=STUDY, project="HEART", request=ended, instance=None, by=None, fate="unsent"))
    assert ledger.said(RETRACT) == (
        "Expected a request of this system for study 1.2 in project 'HEART' that is in force; found events: none. "
        "`fiona-ledger audit transfer --study 1.2` lists all that was ever requested. What people requested in "
        "REDCap is theirs to change there."
    )
    assert "found events: none" in ledger.said(replace(RETRACT, study="9.9"))


def test_where_another_event_is_named_those_in_force_are_listed(ledger: Ledger) -> None:
    ledger.request(event="visit_1")
    ledger.request(event="visit_2")
    assert "found events: 'visit_1', 'visit_2'. " in ledger.said(replace(RETRACT, event_name="visit_3"))


def test_where_several_events_have_the_study_the_one_to_be_reassigned_must_be_named(ledger: Ledger) -> None:
    ledger.request(event="visit_1")
    ledger.request(event="visit_2")
    assert ledger.said(REASSIGN) == (
        "--event: study 1.2 in project 'HEART' is requested for the events 'visit_1', 'visit_2'. Name the one that "
        "is meant."
    )
    assert [type_ for type_, _ in ledger.added(replace(REASSIGN, event_name="visit_2"))][1] == "TransferRequested"


def test_the_pseudonym_that_a_study_has_already_is_no_other(ledger: Ledger) -> None:
    ledger.request(name="H-017")
    assert ledger.said(REASSIGN) == (
        "--to-subject: expected another pseudonym than the one that study 1.2 has in 'HEART' already."
    )


def test_that_it_has_it_already_does_not_hide_that_the_one_before_waits_to_be_taken_back(ledger: Ledger) -> None:
    ledger.record(retracted(ledger.request(name="H-016"), cause=1))
    ledger.request(name="H-017")
    assert ledger.said(REASSIGN) == (
        "--to-subject: expected another pseudonym than the one that study 1.2 has in 'HEART' already; one that ended "
        "waits to be taken back."
    )


def test_a_study_that_waits_for_an_id_is_given_up(ledger: Ledger, gateway: Gateway) -> None:
    """Once its files were cleared, nothing took it off the list."""
    ledger.record(StudyHeld(study=STUDY, project="HEART", reason="no PatientID"))
    assert "in force" in ledger.said(replace(RETRACT, project="BRAIN"))
    assert "in force" in ledger.said(REASSIGN)
    head = ledger.head
    assert amend(gateway, RETRACT).given_up == [Key("HEART", "")]
    decided, released = ledger.since(head)
    assert decided[0] == "DecidedByHand"
    assert released == told(StudyReleased(study=STUDY, project="HEART", reason="no PatientID"))
    assert "in force" in ledger.said(RETRACT)


# What went out before


def test_what_was_sent_under_the_requests_is_told_by_redcap_s_own_rows(
    ledger: Ledger, gateway: Gateway, clock: SettableClock
) -> None:
    """Not what was sent for other requests or people, nor what stands there unsent."""
    asked = {event: ledger.request(event=event) for event in ("sent", "unsent", "another's", "nowhere")}
    for instance, event in enumerate(("sent", "unsent"), 1):
        ledger.record(TransferPlaced(study=STUDY, request=asked[event], instance=instance, found=False))
    with standard_simulator(clock) as simulator:
        incoming = simulator.projects["incoming"]
        for instance, event, sent_at in (
            (1, "sent", "2026-03-02 08:55"),
            (2, "unsent", ""),
            (3, "another's", "2026-03-02 08:56"),
        ):
            row = {
                "study_instance_uid": STUDY,
                "redcap_repeat_instrument": "transfers",
                "redcap_repeat_instance": str(instance),
                "transfer_project_name": "HEART",
                "transfer_event_name": event,
                "transfer_name": "P1",
                "transfer_date": sent_at,
            }
            incoming.put([row])
        requests = amend(gateway, RETRACT).requests
        tokens = {name: project.token for name, project in simulator.projects.items()}
        with Redcap(url=simulator.url, tokens=tokens, rate_limit=NoRateLimit()) as redcap:
            there = rows_there(gateway, redcap, RETRACT, requests)
            assert [(row.instance, row.report.sent_at) for row in there.sent] == [(1, "2026-03-02 08:55")]
            assert [row.instance for row in there.of_others] == [3]
            named = rows_there(gateway, redcap, replace(RETRACT, event_name="sent"), requests)
            assert named.of_others == []
            assert rows_there(gateway, redcap, replace(RETRACT, project="BRAIN"), requests).of_others == []
            assert rows_there(gateway, redcap, replace(RETRACT, pseudonym="P2"), requests).of_others == []
            incoming.delete(STUDY)
            assert rows_there(gateway, redcap, RETRACT, requests) == ([], [])


def test_what_the_sender_told_of_a_row_that_is_gone_since_is_told_once(
    ledger: Ledger, gateway: Gateway, clock: SettableClock
) -> None:
    request = ledger.request(event="visit 1")
    ledger.record(TransferPlaced(study=STUDY, request=request, instance=3, found=False))
    sent = TransferSent(
        study=STUDY,
        project="HEART",
        event_name="visit 1",
        request=request,
        instance=3,
        sent_at="2026-03-02 08:55",
        mapped_uids=("9.8.7.6",),
    )
    ledger.record(sent)
    failed = TransferFailed(
        study=STUDY,
        project="HEART",
        event_name="visit 1",
        request=request,
        instance=3,
        tried_at="2026-03-02 09:00",
        errors=("1",),
        failure="timeout",
    )
    ledger.record(failed)
    ledger.request("BRAIN")
    requests = amend(gateway, RETRACT).requests
    with standard_simulator(clock) as simulator:
        tokens = {name: project.token for name, project in simulator.projects.items()}
        with Redcap(url=simulator.url, tokens=tokens, rate_limit=NoRateLimit()) as redcap:
            (gone,) = rows_there(gateway, redcap, RETRACT, requests).sent
            row = {
                "study_instance_uid": STUDY,
                "redcap_repeat_instrument": "transfers",
                "redcap_repeat_instance": "3",
                "transfer_date": "2026-03-02 08:56",
            }
            simulator.projects["incoming"].put([row])
            (there,) = rows_there(gateway, redcap, RETRACT, requests).sent
            simulator.projects["incoming"].put([row | {"transfer_project_name": "BRAIN", "transfer_name": "B-1"}])
            (ours,) = rows_there(gateway, redcap, RETRACT, requests).sent
    assert ours == gone  # in whose archive the study does not lie, the number being a person's by now
    assert (gone.study, gone.instance, gone.key, gone.is_sendable) == (STUDY, 3, Key("HEART", "visit 1"), False)
    assert (gone.requested, gone.report.sent_at, gone.report.mapped_uids) == (
        requests[0].minute,
        "2026-03-02 08:55",
        ("9.8.7.6",),
    )
    assert there.report.sent_at == "2026-03-02 08:56"

"""The database itself refuses what must never be, whatever a program appends."""

from collections.abc import Callable

import pytest
from sqlalchemy import exc, text

from ledger.events import NewEvent
from processors.autoid.patient_keys import link_subject
from processors.autoid.registry import reserved_event, sealed_for_link
from processors.events.types import EventType
from processors.gateway import Gateway, Work
from tests.autoid.sites import PATTERN, key_of
from tests.flow.harness import HEART

Append = Callable[..., None]


@pytest.fixture
def append(gateway: Gateway) -> Append:
    """Appends an event about an ID, past all of the program's own checks."""

    def append(type_: EventType, patient: str, value: str, *, project: str = HEART) -> None:
        with gateway.begin() as work:
            work.record([about_id(work, type_, patient, value, project)])

    return append


def about_id(work: Work, type_: EventType, patient: str, value: str, project: str) -> NewEvent:
    name = link_subject(project, key_of(patient))
    subject = work.vault.subjects(work.connection, [name])[name]
    told: dict[str, str | int] = {"value": value, "pattern": PATTERN, "project_position": 1}
    if type_ is EventType.ID_ADOPTED:
        told = {"value": value, "record_id": "1"}
    return sealed_for_link(work, type_, project, key_of(patient), subject, told)


def adopt_together(gateway: Gateway, patients: list[str], value: str) -> None:
    with gateway.begin() as work:
        found = [about_id(work, EventType.ID_ADOPTED, patient, value, HEART) for patient in patients]
        work.record(found)


def owners(gateway: Gateway) -> list[tuple[str, str, str]]:
    with gateway.begin() as work:
        rows = work.execute(text("select project, value, kind from gateway.used_id order by project, value"))
        return [tuple(row) for row in rows]


GIVEN = [EventType.ID_GENERATED, EventType.ID_ADOPTED]


@pytest.mark.parametrize("second", GIVEN)
@pytest.mark.parametrize("first", GIVEN)
def test_an_id_of_one_patient_is_never_anothers(
    append: Append, gateway: Gateway, first: EventType, second: EventType
) -> None:
    append(first, "PID-1", "H-0001")
    before = owners(gateway)
    with pytest.raises(exc.IntegrityError, match=r"used_id_(pkey|check)"):
        append(second, "PID-2", "H-0001")
    assert owners(gateway) == before


@pytest.mark.parametrize("second", GIVEN)
@pytest.mark.parametrize("first", GIVEN)
def test_a_patient_with_an_id_never_gets_another(
    append: Append, gateway: Gateway, first: EventType, second: EventType
) -> None:
    append(first, "PID-1", "H-0001")
    before = owners(gateway)
    with pytest.raises(exc.IntegrityError, match="used_id_project_subject_key"):
        append(second, "PID-1", "H-0002")
    assert owners(gateway) == before


def test_what_was_refused_is_not_in_the_ledger_either(append: Append, gateway: Gateway) -> None:
    append(EventType.ID_GENERATED, "PID-1", "H-0001")
    with pytest.raises(exc.IntegrityError):
        append(EventType.ID_GENERATED, "PID-2", "H-0001")
    with gateway.begin() as work:
        assert work.execute(text("select count(*) from ledger.event")).scalar_one() == 1


def test_two_patients_in_one_append_are_told_apart_too(gateway: Gateway) -> None:
    with pytest.raises(exc.IntegrityError, match="used_id_check"):
        adopt_together(gateway, ["PID-1", "PID-2"], "H-0001")
    assert owners(gateway) == []


def test_a_reserved_id_is_never_drawn(append: Append, gateway: Gateway) -> None:
    with gateway.begin() as work:
        work.record([reserved_event(HEART, "H-0001")])
    with pytest.raises(exc.IntegrityError, match="used_id_pkey"):
        append(EventType.ID_GENERATED, "PID-1", "H-0001")


def test_a_reserved_id_may_turn_out_to_be_a_patients(append: Append, gateway: Gateway) -> None:
    with gateway.begin() as work:
        work.record([reserved_event(HEART, "H-0001")])
    append(EventType.ID_ADOPTED, "PID-1", "H-0001")
    assert owners(gateway) == [(HEART, "H-0001", "adopted")]


def test_projects_may_give_the_same_id_and_share_patients(append: Append, gateway: Gateway) -> None:
    append(EventType.ID_GENERATED, "PID-1", "H-0001")
    append(EventType.ID_GENERATED, "PID-2", "H-0001", project="Other")
    append(EventType.ID_GENERATED, "PID-1", "H-0002", project="Other")
    assert owners(gateway) == [
        (HEART, "H-0001", "generated"),
        ("Other", "H-0001", "generated"),
        ("Other", "H-0002", "generated"),
    ]

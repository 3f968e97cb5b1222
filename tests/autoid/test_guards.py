"""The database itself refuses what must never be, whatever a program appends: the event is set apart."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from ledger.events import NewEvent
from processors.events.pseudonyms import IdAdopted, IdGenerated, IdReserved
from processors.gateway import Gateway, Work
from processors.routing.patient_keys import link_subject
from tests.autoid.drawn import identified
from tests.autoid.sites import PATTERN, key_of
from tests.flow.harness import HEART

Append = Callable[..., None]
Given = Callable[[Work, str, str, str], IdGenerated | IdAdopted]


@pytest.fixture
def append(gateway: Gateway) -> Append:
    """Appends an event about an ID, past all of the program's own checks."""

    def append(given: Given, patient: str, value: str, *, project: str = HEART) -> None:
        with gateway.begin() as work:
            work.record([sealed(work, given(work, project, value, patient), patient)])

    return append


def generated(work: Work, project: str, value: str, patient: str) -> IdGenerated:
    return IdGenerated(**identified(work, project, value), pattern=PATTERN, project_position=1, key=key_of(patient))


def adopted(work: Work, project: str, value: str, patient: str) -> IdAdopted:
    return IdAdopted(**identified(work, project, value), record_id="1", key=key_of(patient))


def reserve(gateway: Gateway, value: str) -> None:
    with gateway.begin() as work:
        said = identified(work, HEART, value)
        work.record([IdReserved(**{name: each for name, each in said.items() if name != "value"})])


def sealed(work: Work, fact: IdGenerated | IdAdopted, patient: str) -> NewEvent:
    return work.seal(fact, link_subject(fact.project, key_of(patient)))


def adopt_together(gateway: Gateway, patients: list[str], value: str) -> None:
    with gateway.begin() as work:
        work.record([sealed(work, adopted(work, HEART, value, patient), patient) for patient in patients])


def owners(gateway: Gateway) -> list[tuple[str, str, str]]:
    with gateway.begin() as work:
        rows = work.execute(text("select project, position, kind from gateway.used_id")).all()
        told = work.identities([row.position for row in rows])
    return sorted((row.project, told[row.position][1]["value"], row.kind) for row in rows)


def refused(gateway: Gateway) -> list[tuple[int, str]]:
    """The events that are set apart, each with the constraint."""
    with gateway.begin() as work:
        rows = work.execute(text("select position, reason from ledger.set_apart order by position"))
        return [(row.position, row.reason) for row in rows]


GIVEN = [generated, adopted]


@pytest.mark.parametrize("second", GIVEN)
@pytest.mark.parametrize("first", GIVEN)
def test_an_id_of_one_patient_is_never_anothers(append: Append, gateway: Gateway, first: Given, second: Given) -> None:
    append(first, "PID-1", "H-0001")
    before = owners(gateway)
    append(second, "PID-2", "H-0001")
    assert owners(gateway) == before
    assert refused(gateway) == [(2, "used_id_pkey" if second is generated else "used_id_check")]


@pytest.mark.parametrize("second", GIVEN)
@pytest.mark.parametrize("first", GIVEN)
def test_a_patient_with_an_id_never_gets_another(append: Append, gateway: Gateway, first: Given, second: Given) -> None:
    append(first, "PID-1", "H-0001")
    before = owners(gateway)
    append(second, "PID-1", "H-0002")
    assert owners(gateway) == before
    assert refused(gateway) == [(2, "used_id_project_subject_key")]


def test_two_patients_in_one_append_are_told_apart_too(gateway: Gateway) -> None:
    adopt_together(gateway, ["PID-1", "PID-2"], "H-0001")
    assert owners(gateway) == [(HEART, "H-0001", "adopted")]
    assert refused(gateway) == [(2, "used_id_check")]


def test_a_reserved_id_is_never_drawn(append: Append, gateway: Gateway) -> None:
    reserve(gateway, "H-0001")
    append(generated, "PID-1", "H-0001")
    assert refused(gateway) == [(2, "used_id_pkey")]
    with gateway.begin() as work:
        assert work.execute(text("select kind from gateway.used_id")).scalars().all() == ["reserved"]


def test_a_reserved_id_may_turn_out_to_be_a_patients(append: Append, gateway: Gateway) -> None:
    reserve(gateway, "H-0001")
    append(adopted, "PID-1", "H-0001")
    assert owners(gateway) == [(HEART, "H-0001", "adopted")]


def test_projects_may_give_the_same_id_and_share_patients(append: Append, gateway: Gateway) -> None:
    append(generated, "PID-1", "H-0001")
    append(generated, "PID-2", "H-0001", project="Other")
    append(generated, "PID-1", "H-0002", project="Other")
    assert owners(gateway) == [
        (HEART, "H-0001", "generated"),
        ("Other", "H-0001", "generated"),
        ("Other", "H-0002", "generated"),
    ]

"""Who has which ID can be forgotten, and cannot be read before; the IDs themselves stay in use."""

import hashlib

import pytest
from sqlalchemy import text

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.autoid.sites import CONTRADICTED, EXHAUSTED, IDLE, AutoidSite, Given, key_of
from tests.flow.harness import HEART, Steps

PATIENT = "19151210-SECRET"


def forget(site: AutoidSite, kind: str = "link") -> None:
    """Destroys the keys of all subjects of this kind, as `fiona-ledger forget` does."""
    statement = text("update ledger.subject set wrapped_key = null, lookup = null where kind = :kind")
    with site._database.begin() as connection:
        connection.execute(statement, {"kind": kind})


def test_nothing_stored_tells_whose_an_id_is(site: AutoidSite) -> None:
    site.give("1", PATIENT, "H-0001")
    site.give("2", f"{PATIENT}-B", "H-0001")
    site.study("1.2.1", PATIENT, PatientName="Secret^Name")
    site.study("1.2.2", f"{PATIENT}-C", PatientName="Secret^Name")
    site.run()
    assert site.held() == {"1.2.1": CONTRADICTED}
    assert site.requested("1.2.2") == site.id_of(f"{PATIENT}-C")
    stored = site.everything_stored()
    for patient in (PATIENT, f"{PATIENT}-B", f"{PATIENT}-C"):
        sha256 = hashlib.sha256(patient.encode())
        for secret in (patient, sha256.hexdigest(), sha256.digest().hex(), key_of(patient)):
            assert secret not in stored
    assert "Secret^Name" not in stored


def test_the_hashes_are_not_stored_as_bytes_either(site: AutoidSite) -> None:
    site.study("1.2.1", PATIENT)
    site.run()
    stored = site.everything_stored()
    for digest in (hashlib.sha256(PATIENT.encode()).digest(), bytes.fromhex(key_of(PATIENT))):
        assert digest.decode("latin-1") not in stored


def test_a_forgotten_id_stays_in_use_and_runs_go_on(site: AutoidSite) -> None:
    site.project(pattern="H-[12]")
    site.study("1.2.1", PATIENT)
    site.run()
    given = site.id_of(PATIENT)
    forget(site)
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.requested("1.2.2") == {"H-1": "H-2", "H-2": "H-1"}[given]
    assert site.attention() == {}
    site.study("1.2.3", "PID-3")
    site.run()
    assert list(site.held()) == ["1.2.3"]


def test_after_forgetting_events_verify_and_a_rebuild_gives_the_same_rows(site: AutoidSite) -> None:
    site.give("5", "OLD", "H-0005")
    for number in range(5):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    before = site.projections()
    for kind in ("link", "patient"):
        forget(site, kind)
    assert site.projections() == before
    site.assert_sound()


def test_an_entry_of_autoid_whose_link_was_forgotten_is_no_contradiction(site: AutoidSite) -> None:
    """Every entry of the project used to be reported as belonging to another patient."""
    site.give("1", "OLD-1", "H-0001")
    site.give("2", "OLD-2", "H-0002")
    site.study("1.2.1", "PID-1")
    site.run()
    forget(site)
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.attention() == {}
    assert site.count("IdAdopted") == 2
    links = site.query("select count(*) from ledger.subject where kind = 'link' and wrapped_key is not null")
    assert links == [(1,)]  # PID-2's: nobody's link is made anew because REDCap still has it


@pytest.mark.parametrize("origin", ["drawn", "adopted"])
def test_a_forgotten_patient_who_comes_back_gets_the_id_that_autoid_still_holds(site: AutoidSite, origin: str) -> None:
    """Drawing another would leave one patient with two IDs in AutoID."""
    if origin == "adopted":
        site.give("1", "PID-1", "H-0042")
    site.study("1.2.1", "PID-1")
    site.run()
    given = site.id_of("PID-1")
    forget(site)
    site.study("1.2.2", "PID-1")
    site.run()
    assert site.requested("1.2.2") == site.id_of("PID-1") == given
    assert site.attention() == {}
    site.assert_sound()
    site.assert_no_id_twice()


def test_a_forgotten_patient_who_comes_back_is_somebody_new_where_autoid_holds_nothing(site: AutoidSite) -> None:
    site.project(pattern="H-[12]")
    site.study("1.2.1", "PID-1")
    site.run()
    given = site.id_of("PID-1")
    forget(site)
    site.autoid.delete("1")
    site.study("1.2.2", "PID-1")
    site.run()
    assert site.requested("1.2.2") == site.id_of("PID-1") == {"H-1": "H-2", "H-2": "H-1"}[given]


def test_a_forgotten_id_that_somebody_gives_to_another_patient_is_a_contradiction(site: AutoidSite) -> None:
    site.study("1.2.1", "PID-1")
    site.run()
    given = site.id_of("PID-1")
    forget(site)
    site.give("9", "PID-2", given)
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.held() == {"1.2.2": CONTRADICTED}


def test_another_entry_of_a_forgotten_patient_keeps_its_id_from_everybody(site: AutoidSite) -> None:
    """It is not looked at for whose it is, but it stands in AutoID."""
    site.project(pattern="H-[12]")
    site.give("1", "OLD", "H-1")
    site.study("1.2.1", "OLD")
    site.run()
    forget(site)
    site.give("2", "OLD", "H-2")
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.held() == {"1.2.2": EXHAUSTED}
    assert site.attention() == {"held study": 1}


AUTOID_IMPORT = {"project": "autoid", "content": "record", "action": "import"}


def test_an_undelivered_id_of_a_forgotten_patient_does_not_block_anything(site: AutoidSite) -> None:
    site.study("1.2.1", "PID-1")
    site.simulator.inject(Fault(kind="status", **AUTOID_IMPORT))  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        site.run()
    (lost,) = site.used()
    for kind in ("link", "patient"):
        forget(site, kind)
    site.study("1.2.2", "PID-2")
    site.run()
    assert list(site.autoid_rows().values()) == [Given(HEART, key_of("PID-2"), site.requested("1.2.2"))]
    assert site.id_of("PID-2") != lost
    assert lost in site.used()
    assert site.attention() == {}
    site.run()
    assert site.asked() == IDLE


def test_an_id_that_was_delivered_unnoticed_and_then_forgotten_does_not_block_anything(site: AutoidSite) -> None:
    site.study("1.2.1", "PID-1")
    site.simulator.inject(Fault(kind="reset", after_commit=True, **AUTOID_IMPORT))  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        site.run(Steps())
    for kind in ("link", "patient"):
        forget(site, kind)
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.requested("1.2.2") == site.id_of("PID-2")
    assert (site.attention(), len(site.autoid_rows())) == ({}, 2)

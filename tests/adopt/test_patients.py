"""One pseudonym, one patient, though a patient is known only by REDCap's hash: of studies never read here."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from processors.operations.reports.participant import participant_report
from processors.operations.reports.project import project_report
from processors.redcap.incoming import hashed
from tests.adopt.sites import AdoptingSite
from tests.autoid.sites import elsewhere
from tests.conftest import SettableClock
from tests.flow.harness import HEART, Asked, standard_simulator
from tests.operations.operator import forget_patient, join_patients, look_through
from tests.source.receiver import Receiver

SHARED, SPLIT = "two patients, one pseudonym", "one patient, two pseudonyms"
OF_BEFORE, NEW = "1.2.1", "1.2.9"


@pytest.fixture
def site(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[AdoptingSite]:
    with ExitStack() as stack:
        redcap = stack.enter_context(standard_simulator(clock))
        site = AdoptingSite(
            folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=redcap
        )
        stack.callback(site.close)
        yield site


@pytest.fixture
def adopted(site: AdoptingSite) -> AdoptingSite:
    """Patient 4711 was sent to the project as H-001, and the study's summaries have left the disk."""
    site.scripts_wrote(OF_BEFORE, study_patient_id=hashed("4711"))
    site.scripts_requested(OF_BEFORE, "H-001", sent=True)
    site.adopt()
    return site


def asks(site: AdoptingSite, patient: str, name: str, study: str = NEW) -> dict[int, Asked]:
    """What is requested of a study of the patient that an entry names, by the next run."""
    site.series(study, PatientID=patient)
    site.entry(study, study=study, subject=name)
    site.run()
    return site.transfers(study)


def test_nobody_else_is_requested_under_the_pseudonym(adopted: AdoptingSite) -> None:
    assert asks(adopted, "9000", "H-001") == {}
    assert adopted.attention() == {SHARED: 1}
    (held,) = adopted.events("RequestHeld")
    assert held["studies"] == [OF_BEFORE]
    adopted.assert_sound()


def test_so_it_is_where_another_site_decides_first(adopted: AdoptingSite, tmp_path: Path) -> None:
    """It placed the request: only the run of the site that had adopted them knew those patients."""
    receiver = Receiver(tmp_path / "other", adopted.clock)
    receiver.summary(NEW, f"{NEW}.1", PatientID="9000")
    adopted.entry(study=NEW, subject="H-001")
    other = elsewhere(adopted.machine, site="other", raw=receiver.raw, key_file=adopted.key_file)
    adopted.clock.advance(60)
    other.run()
    assert adopted.transfers(NEW) == {}
    adopted.run()
    assert adopted.attention() == {SHARED: 1}
    assert adopted.count("PatientRecognised") == 1
    adopted.assert_sound()


@pytest.mark.parametrize("patient", ["4711", " 4711", "4711 "])
def test_the_patient_is_known_again(adopted: AdoptingSite, patient: str) -> None:
    assert asks(adopted, patient, "H-001") == {1: Asked(HEART, "H-001")}
    assert adopted.attention() == {}
    assert asks(adopted, "9000", "H-001", "1.2.10") == {}
    assert adopted.attention() == {SHARED: 1}
    adopted.assert_sound()


def test_a_second_pseudonym_of_the_patient_is_shown(adopted: AdoptingSite) -> None:
    assert asks(adopted, "4711", "H-002") == {1: Asked(HEART, "H-002")}
    assert adopted.attention() == {SPLIT: 1}


def test_whoever_was_known_before_the_adoption_is_one_with_them(site: AdoptingSite) -> None:
    asks(site, "4711", "H-001")
    site.scripts_wrote(OF_BEFORE, study_patient_id=hashed("4711"))
    site.scripts_requested(OF_BEFORE, "H-001", sent=True)
    site.adopt()
    site.series("1.2.10", PatientID="4712")
    site.run()
    assert site.attention() == {}
    assert site.query("select count(distinct patient), count(patient) from gateway.pseudonym_use") == [(1, 2)]


def test_so_it_is_with_a_row_that_a_person_adds_to_such_a_study(site: AdoptingSite) -> None:
    site.scripts_wrote(OF_BEFORE, study_patient_id=hashed("4711"))
    site.adopt()
    site.person_requests(OF_BEFORE, HEART, "H-001")
    assert asks(site, "9000", "H-001") == {}
    assert site.attention() == {SHARED: 1}


def test_whoever_is_scanned_under_the_pseudonym_is_not_compared(site: AdoptingSite) -> None:
    site.scripts_wrote(OF_BEFORE, study_patient_id=hashed("H-001"))
    site.scripts_requested(OF_BEFORE, "H-001", sent=True)
    site.adopt()
    assert asks(site, "9000", "H-001") == {1: Asked(HEART, "H-001")}
    assert site.attention() == {}


def test_the_study_s_files_that_come_again_change_nothing(adopted: AdoptingSite) -> None:
    adopted.series(OF_BEFORE, PatientID="4711")
    assert asks(adopted, "9000", "H-001") == {}
    assert adopted.attention() == {SHARED: 1}
    assert adopted.count("PatientRecognised") == 1


@pytest.mark.parametrize("sent", [True, False])
def test_files_that_come_again_as_somebody_else_s_are_shown(site: AdoptingSite, *, sent: bool) -> None:
    """They were not, though two patients have the pseudonym by them."""
    for study in (OF_BEFORE, "1.2.2"):
        site.scripts_wrote(study, study_patient_id=hashed("4711"))
        site.scripts_requested(study, "H-001", sent=sent)
    site.adopt()
    site.run()
    site.series(OF_BEFORE, PatientID="9000")
    site.run()
    site.run()
    assert site.attention() == {SHARED: 1}
    (shown,) = site.events("RequestQuestioned")
    assert (shown["study"], shown["studies"]) == (OF_BEFORE, ["1.2.2"])
    site.assert_sound()


@pytest.mark.parametrize("own", ["adopted", "read again", "adopted unsent", "an entry's"])
@pytest.mark.parametrize("sent", [True, False])
def test_a_patient_keeps_what_went_out_as_theirs_and_comes_again_as_somebody_else_s(
    site: AdoptingSite, *, sent: bool, own: str
) -> None:
    """Their next studies were held as the other's, for good."""
    site.scripts_wrote(OF_BEFORE, study_patient_id=hashed("4711"))
    site.scripts_requested(OF_BEFORE, "H-001", sent=sent)
    if own != "an entry's":
        site.scripts_wrote("1.2.2", study_patient_id=hashed("4711"))
        site.scripts_requested("1.2.2", "H-001", sent=own != "adopted unsent")
    site.adopt()
    site.run()
    if own == "an entry's":
        asks(site, "4711", "H-001", "1.2.2")
    elif own == "read again":
        site.series("1.2.2", PatientID="4711")
        site.run()
    site.series(OF_BEFORE, PatientID="9000")
    site.run()
    assert site.attention()[SHARED] == 1 + (own == "an entry's" and not sent)
    got = [patient for patient in ("4711 ", "9000", "5000") if asks(site, patient, "H-001", f"1.2.5.{int(patient)}")]
    # What can be sent still is another's by now: the patient's own, which came later, gives way.
    assert got == (["4711 "] if sent else ["9000"] if own == "an entry's" else [])
    site.assert_sound()


def test_what_nobody_was_known_to_use_is_shown_once_the_files_tell(site: AdoptingSite) -> None:
    for study, patient_hash in ((OF_BEFORE, ""), ("1.2.2", hashed("4711"))):
        site.scripts_wrote(study, study_patient_id=patient_hash)
        site.scripts_requested(study, "H-001", sent=True)
    site.adopt()
    site.run()
    assert site.attention() == {}
    site.series(OF_BEFORE, PatientID="9000")
    site.run()
    assert site.attention() == {SHARED: 1}
    assert site.query("select count(distinct patient) from gateway.pseudonym_use") == [(2,)]


def findings(site: AdoptingSite) -> list[tuple[str, tuple[str, ...]]]:
    """What the identity check finds, which tells the same as the adoption does."""
    return [(finding.kind, finding.studies) for finding in look_through(site).findings]


@pytest.mark.parametrize("sent", [True, False])
def test_pseudonyms_that_two_patients_share_there_are_told_at_once_and_listed(
    site: AdoptingSite, *, sent: bool
) -> None:
    """Nobody told of them: the adoption and the check not before the first run, the list of what to look at never."""
    for study, patient in ((OF_BEFORE, "4711"), ("1.2.2", "4712"), ("1.2.3", "4713")):
        site.scripts_wrote(study, study_patient_id=hashed(patient))
    site.scripts_requested(OF_BEFORE, "H-001", sent=True)
    site.scripts_requested("1.2.2", "H-001", sent=sent)
    site.adopt()
    shared = [(SHARED, (OF_BEFORE, "1.2.2"))]
    assert (findings(site), site.attention()) == (shared, {SHARED: 1})
    site.run()
    assert (findings(site), site.attention()) == (shared, {SHARED: 1})

    site.scripts_requested("1.2.3", "H-001", sent=sent)
    site.adopt()
    all_three = [(SHARED, (OF_BEFORE, "1.2.2", "1.2.3"))]
    assert (findings(site), site.attention()) == (all_three, {SHARED: 2})
    site.run()
    assert (findings(site), site.attention()) == (all_three, {SHARED: 2})
    site.assert_sound()


def test_of_many_that_share_one_a_person_is_told_once(site: AdoptingSite) -> None:
    studies = [f"1.2.{number}" for number in range(100, 160)]
    for study in studies:
        site.scripts_wrote(study, study_patient_id=hashed(f"PHANTOM {study}"))
        site.scripts_requested(study, "PHANTOM", sent=True)
    site.adopt()
    assert (findings(site), site.attention()) == ([(SHARED, tuple(studies))], {SHARED: 1})
    (shown,) = site.events("RequestQuestioned")
    assert sorted([shown["study"], *shown["studies"]]) == studies


def test_those_of_a_study_that_was_read_before_the_adoption_are_told_too(site: AdoptingSite) -> None:
    asks(site, "4711", "H-001")
    site.series("1.2.2", PatientID="4712")
    site.run()
    site.scripts_wrote("1.2.2", study_patient_id=hashed("4712"))
    site.scripts_requested("1.2.2", "H-001", sent=True)
    site.adopt()
    assert findings(site) == [(SHARED, ("1.2.2", NEW))]
    site.run()
    assert site.attention()[SHARED] == 2, "expected what waits to be held, and what was sent to be shown"
    site.assert_sound()


@pytest.mark.parametrize("compared_before", [False, True])
def test_a_forgotten_patient_is_compared_no_longer(adopted: AdoptingSite, *, compared_before: bool) -> None:
    if compared_before:
        asks(adopted, "5000", "H-002", "1.2.8")
        assert adopted.count("PatientRecognised") == 1
    forget_patient(adopted, "4711")
    assert asks(adopted, "9000", "H-001") == {1: Asked(HEART, "H-001")}
    living = "select count(*) from ledger.subject where kind in ('adopted-patient', 'study') and lookup is not null"
    assert adopted.query(living) == [(0,)]
    adopted.assert_sound()


def test_an_operator_can_say_that_two_are_one(adopted: AdoptingSite) -> None:
    asks(adopted, "9000", "H-001")
    join_patients(adopted, NEW)
    adopted.run()
    assert adopted.transfers(NEW) == {1: Asked(HEART, "H-001")}
    assert adopted.attention() == {}


def test_the_patient_is_told_what_the_scripts_sent_and_requested(adopted: AdoptingSite) -> None:
    """The studies that never arrived here were left out, though it was known whose they are."""
    with adopted.own_gateway().begin() as work:
        report = participant_report(work, "4711", by="kari")
        of_project = project_report(work.connection, HEART)
    tables = {
        table.heading: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        for table in (report.main, *report.others)
    }
    (sent,) = tables["Where it went, when, and why"]
    assert (sent["project"], sent["study"], sent["because of"], sent["outcome"]) == (
        HEART,
        OF_BEFORE,
        "requested by others",
        "sent",
    )
    (known,) = tables["What stood in REDCap before this system"]
    assert (known["study"], known["series"]) == (OF_BEFORE, 1)
    assert [row[0] for row in of_project.main.rows] == [OF_BEFORE]


def test_a_padded_hash_is_found_by_whoever_asks(site: AdoptingSite) -> None:
    """A withdrawal found it; what a person was told of, and what was forgotten, lacked it."""
    site.scripts_wrote(OF_BEFORE, study_patient_id=hashed("4711 "))
    site.scripts_requested(OF_BEFORE, "H-001", sent=True)
    site.adopt()
    asks(site, "4711", "H-001")
    with site.own_gateway().begin() as work:
        report = participant_report(work, "4711", by="kari")
    assert {row[report.main.columns.index("study")] for row in report.main.rows} == {OF_BEFORE, NEW}
    forget_patient(site, "4711")
    living = "select count(*) from ledger.subject where kind in ('adopted-patient', 'patient') and lookup is not null"
    assert site.query(living) == [(0,)]


@pytest.mark.parametrize("by", ["the scripts", "a person"])
def test_what_was_sent_uses_the_pseudonym_though_people_change_its_row(site: AdoptingSite, by: str) -> None:
    site.scripts_wrote(OF_BEFORE, study_patient_id=hashed("4711"))
    if by == "a person":
        site.adopt()
    site.person_requests(OF_BEFORE, HEART, "H-001")
    site.sender_sends(OF_BEFORE, 1)
    if by == "the scripts":
        site.adopt()
    asks(site, "5000", "H-005", "1.2.8")
    place = {"study_instance_uid": OF_BEFORE, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.transfer_project.put([place | {"transfer_name": "H-002"}])
    site.run()
    assert asks(site, "9000", "H-001") == {}
    assert asks(site, "9001", "H-002", "1.2.10") == {}
    assert site.attention()[SHARED] == 2
    site.assert_sound()

"""Blanks that nobody sees, around what people and scanners write: they make nothing another thing."""

import hashlib

import pytest

from tests.autoid.sites import AETITLE, AutoidSite, key_of
from tests.flow.harness import BRAIN, HEART, Asked

UNSEEN = ["\u200b{}", "{}\u00a0", "\ufeff{}\u2060", " {}\x00 "]


@pytest.mark.parametrize("unseen", UNSEEN)
def test_around_what_is_compared_they_do_not_count(site: AutoidSite, unseen: str) -> None:
    """An accession number, a project, a subject, an AE title: each named something else, unseen."""
    site.rule(project=BRAIN, called=unseen.format("FIONA"), patient_id="PID-7$")
    site.entry(
        accession=unseen.format("ACC-1"), project=unseen.format(HEART), subject=unseen.format("H-0001"), event=""
    )
    site.series("1.2.1", AccessionNumber="ACC-1", PatientID="X")
    site.series("1.2.2", AccessionNumber="\u200bACC-1", PatientID="X")
    site.series("1.2.3", called=unseen.format("FIONA"), PatientID="PID-7")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, "H-0001")}
    assert site.transfers("1.2.2") == {1: Asked(HEART, "H-0001")}
    assert site.transfers("1.2.3") == {1: Asked(BRAIN, "PID-7")}


@pytest.mark.parametrize("unseen", UNSEEN)
def test_patient_ids_that_differ_in_padding_only_are_one_patient_with_one_id(site: AutoidSite, unseen: str) -> None:
    site.project(aetitle=unseen.format(AETITLE))
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", unseen.format("PID-1"))
    site.run()
    site.study("1.2.3", unseen.format(unseen.format("PID-1")))
    site.run()
    given = {site.requested(study) for study in ("1.2.1", "1.2.2", "1.2.3")}
    assert given == {site.id_of("PID-1")}
    site.assert_no_id_twice()


def test_an_id_that_the_scripts_gave_under_a_padded_patient_id_stays(site: AutoidSite) -> None:
    site.give("1", "PID-1 ", "H-0042")
    site.study("1.2.1", "PID-1 ")
    site.run()
    assert site.requested("1.2.1") == "H-0042"
    assert key_of("PID-1 ") == hashlib.sha512(hashlib.sha256(b"PID-1 ").hexdigest().encode()).hexdigest()

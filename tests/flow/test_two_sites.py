"""Two sites, one ledger: a study is decided about where it lies."""

from pathlib import Path

from tests.autoid.conftest import MakeSite, make_site
from tests.autoid.sites import AutoidSite
from tests.flow.harness import HEART, Asked
from tests.source.receiver import Receiver

__all__ = ["make_site"]

STUDY = "1.2.3"


def at(site: AutoidSite, name: str, receiver: Receiver) -> AutoidSite:
    """The gateway, with another site's name and raw folder."""
    site.name, site.receiver = name, receiver
    return site


def test_a_study_that_vanished_at_one_site_is_matched_at_the_other(make_site: MakeSite, tmp_path: Path) -> None:
    """It was counted as gone for ever, and no entry met it again."""
    site = make_site()
    here, there = site.receiver, Receiver(tmp_path / "north", site.clock)
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    at(site, "north", there).series(STUDY)
    site.run()
    at(site, "main", here).vanish(STUDY)
    site.run()
    at(site, "north", there).entry(accession="ACC-1", subject="H-001")
    site.run()
    assert site.transfers(STUDY) == {1: Asked(HEART, "H-001")}
    assert site.query("select site, on_disk from gateway.study") == [("north", True)]
    # It returns to the first site, and later leaves the second.
    at(site, "main", here).come_back(STUDY)
    site.run()
    at(site, "north", there).vanish(STUDY)
    site.run()
    at(site, "main", here).run()
    assert site.query("select site, on_disk from gateway.study") == [("main", True)]
    assert len(site.events("StudyReturned")) == 2
    site.assert_sound()


def test_garbage_at_the_other_site_does_not_bring_it_back(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    here, there = site.receiver, Receiver(tmp_path / "north", site.clock)
    site.series(STUDY)
    site.run()
    there.file(f"{STUDY}/{STUDY}.1.json", b"[")
    at(site, "north", there).run()
    at(site, "main", here).vanish(STUDY)
    site.run()
    at(site, "north", there).run()
    assert site.query("select site, on_disk from gateway.study") == [("main", False)]


def test_what_was_deleted_comes_back_though_the_other_site_was_first_to_see_who_asks_for_it(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site()
    here, there = site.receiver, Receiver(tmp_path / "north", site.clock)
    site.entry(study=STUDY, subject="H-001")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    at(site, "north", there).series("1.2.4")
    site.run()
    site.person_deletes(STUDY)
    site.entry(accession="ACC-1", subject="H-001")
    site.run()
    at(site, "main", here).run()
    assert list(site.transfers(STUDY).values()) == [Asked(HEART, "H-001")]
    site.assert_sound()


def corrected_while_the_other_site_looks(site: AutoidSite, there: Receiver) -> None:
    """A study is requested; then its entry is corrected, which a run of the other site records."""
    site.entry(accession="ACC-1", subject="H-001")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    at(site, "north", there).series("1.2.4")
    site.run()
    site.entry(accession="ACC-2", subject="H-001")
    site.run()


def test_a_correction_that_the_other_site_saw_counts_though_its_entry_is_gone_since(
    make_site: MakeSite, tmp_path: Path
) -> None:
    """The old request stood, could be sent, and nothing showed it."""
    site = make_site()
    here, there = site.receiver, Receiver(tmp_path / "north", site.clock)
    corrected_while_the_other_site_looks(site, there)
    site.remove_entry()
    at(site, "main", here).run()
    site.run()
    site.run()
    assert site.transfers(STUDY) == {1: Asked(HEART, "")}
    assert site.query("select retraction_reason from audit.transfer") == [
        ("its coupling entry said something else before it was removed",)
    ]
    site.assert_sound()


def test_a_correction_that_no_site_decided_by_counts_where_its_study_is_received_next(
    make_site: MakeSite, tmp_path: Path
) -> None:
    """The other site had decided, but about other studies."""
    site = make_site()
    here, there = site.receiver, Receiver(tmp_path / "north", site.clock)
    corrected_while_the_other_site_looks(site, there)
    site.remove_entry()
    site.run()
    site.run()
    site.series("1.2.5")
    site.run()
    at(site, "main", here).vanish(STUDY)
    at(site, "north", there).series(STUDY, AccessionNumber="ACC-1")
    site.run()
    at(site, "main", here).run()
    at(site, "north", there).run()
    assert site.transfers(STUDY) == {1: Asked(HEART, "")}
    site.assert_sound()

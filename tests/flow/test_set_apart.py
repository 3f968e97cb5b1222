"""An event that the database refuses stops no run: it is set apart and named, and everything else goes on.

What stands behind each constraint (two patients must not share a pseudonym, nor a patient have two IDs) is looked at
before anything is recorded. Here that has failed: constraints are added that one study of each table violates.
"""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ledger import verification
from processors.explain import explanation
from processors.explain.near_miss import Matching
from processors.operations.rebuild import emptied_tables
from processors.projections import PROJECTIONS
from processors.routing.identify import identified
from tests.autoid.conftest import MakeSite
from tests.autoid.conftest import make_site as make_autoid_site
from tests.flow.harness import Site
from tests.operations.operator import amend_by_hand
from tests.source.receiver import Receiver

__all__ = ["make_autoid_site"]

GOOD = "1.2.1"
BAD = {table: f"1.9.{number}" for number, table in enumerate(("study", "series", "transfer", "pseudonym_use"))}
STUDIES = (GOOD, *BAD.values())


def names(site: Site, study: str) -> list[str]:
    """The pseudonyms of the study's rows that can be sent."""
    return sorted(request.name for request in site.transfers(study).values() if request.name)


def set_apart(site: Site) -> set[tuple[str, str]]:
    """What is listed as set apart: the event's type and its study."""
    listed = "select subject, study from audit.attention where kind = 'event set apart'"
    return {(type_, study) for type_, study in site.query(listed)}


def alter(site: Site, change: str) -> None:
    """Changes each of the tables; a constraint is on the study that is bad there."""
    with site.own_gateway().begin() as work:
        for table, study in BAD.items():
            work.execute(text(f"alter table gateway.{table} {change.format(study)}"))


@pytest.fixture
def refused(site: Site) -> Site:
    """A study of each of five patients, each asked for; four of them violate a constraint each."""
    alter(site, "add constraint never check (study <> '{}')")
    for number, study in enumerate(STUDIES):
        site.series(study, PatientID=f"PID-{number}")
        site.entry(study, study=study, subject=f"H-{number}")
    site.run()
    return site


def test_each_is_named_nothing_of_it_is_sent_and_all_others_go_out(refused: Site) -> None:
    assert {study: names(refused, study) for study in STUDIES if names(refused, study)} == {GOOD: ["H-0"]}
    named = {
        ("SeriesDiscovered", BAD["study"]),
        ("SeriesDiscovered", BAD["series"]),
        ("TransferRequested", BAD["transfer"]),
        ("TransferRequested", BAD["pseudonym_use"]),
    }
    assert set_apart(refused) == named
    head = refused.head()
    report = refused.run()
    assert (refused.head(), report.attention, set_apart(refused)) == (head, {"event set apart": 4}, named)
    with refused.own_gateway().begin() as work:
        found = explanation.explain(
            work, BAD["pseudonym_use"], Matching("prefix", 0.5), checks=(), holds_split=False
        ).verdict
    assert any("contradicts what the ledger holds, and is not written." in line for line in found)


def test_a_rebuild_sets_the_same_apart_and_what_is_mended_goes_on(refused: Site) -> None:
    refused.assert_sound()
    with refused.own_gateway().begin() as work:
        assert emptied_tables(work.connection) == []
        assert verification._compared(work.connection, PROJECTIONS) == []
    alter(refused, "drop constraint never")
    with refused.own_gateway().begin() as work:
        assert {found.table for found in verification._compared(work.connection, PROJECTIONS)} >= {"ledger.set_apart"}
    refused.rebuild()
    refused.run()
    assert set_apart(refused) == set()
    assert [names(refused, study) for study in STUDIES] == [["H-0"], ["H-1"], ["H-2"], ["H-3"], ["H-4"]]


def test_a_request_that_is_retracted_or_corrected_is_named_no_longer(refused: Site) -> None:
    study = BAD["pseudonym_use"]
    amend_by_hand(refused, study)
    refused.run()
    assert ("TransferRequested", study) not in set_apart(refused)
    assert (refused.states(study), names(refused, study)) == (["withdrawn"], [])
    alter(refused, "drop constraint never")
    refused.entry(study, study=study, subject="H-9")
    refused.run()
    assert names(refused, study) == ["H-9"]


def test_an_entry_that_cannot_be_kept_asks_for_nothing(site: Site) -> None:
    with site.own_gateway().begin() as work:
        work.execute(text("alter table gateway.coupling_entry add constraint never check (record_id <> '2')"))
    for number, study in enumerate((GOOD, "1.2.2")):
        site.series(study, PatientID=f"PID-{number}")
        site.entry(f"{number + 1}", study=study, subject=f"H-{number}")
    site.run()
    head = site.head()
    report = site.run()
    assert (names(site, GOOD), names(site, "1.2.2")) == (["H-0"], [])
    assert (site.head(), report.attention) == (head, {"event set apart": 1})
    site.assert_sound()
    with site.own_gateway().begin() as work:
        work.execute(text("alter table gateway.coupling_entry drop constraint never"))
    site.rebuild()
    site.run()
    assert (names(site, "1.2.2"), site.attention()) == (["H-1"], {})


def test_a_rule_or_entry_whose_change_cannot_be_kept_stands_as_it_was_and_decides_nothing(site: Site) -> None:
    site.rule(patient_id="PID-.*")
    site.entry("2", study="1.2.2", subject="H-1")
    site.series("1.2.2", PatientID="other")
    site.run()
    with site.own_gateway().begin() as work:
        for table in ("rule", "coupling_entry"):
            work.execute(text(f"alter table gateway.{table} add constraint never check (position < {site.head()})"))
    site.rule(patient_id="NOBODY")
    site.entry("2", study="1.2.2", subject="H-9")
    site.series(GOOD, PatientID="PID-1")
    site.run()
    assert site.run().attention == {"event set apart": 2}
    assert (names(site, GOOD), names(site, "1.2.2")) == ([], ["H-1"])


def test_two_sites_that_give_a_pseudonym_to_two_patients_at_the_same_moment(
    make_autoid_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither sees the other's before it is recorded: the second run ended there."""
    site = make_autoid_site()
    here, there = site.receiver, Receiver(tmp_path / "north", site.clock)
    compare = identified
    others = [here]

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        compared = compare(*arguments, **options)
        if others:
            site.name, site.receiver = "main", others.pop()
            site.run()
            site.name, site.receiver = "north", there
        return compared

    site.series(GOOD, PatientID="PID-1")
    site.entry("1", study=GOOD, subject="H-1")
    site.name, site.receiver = "north", there
    site.series("1.2.2", PatientID="PID-2")
    site.entry("2", study="1.2.2", subject="H-1")
    monkeypatch.setattr("processors.routing.decide.identified", meanwhile)
    site.run()
    assert (names(site, GOOD), names(site, "1.2.2")) == (["H-1"], [])
    assert set_apart(site) == {("TransferRequested", "1.2.2")}
    site.entry("2", study="1.2.2", subject="H-2")
    site.run()
    assert (names(site, "1.2.2"), site.attention()) == (["H-2"], {})
    site.assert_sound()

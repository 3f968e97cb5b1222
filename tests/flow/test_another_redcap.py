"""The configuration points at another REDCap, or REDCap was restored from a backup: said, and nothing decided by it."""

from copy import deepcopy
from typing import Any

import pytest

from processors.demo.simulator import Project
from processors.errors import ConfigurationError, Refused
from tests.conftest import SettableClock
from tests.flow.harness import HEART, Asked, Site, standard_simulator
from tests.operations.operator import accept_redcap


@pytest.fixture
def lived(site: Site) -> Site:
    """A site whose REDCap holds studies with requests."""
    site.entry(accession="ACC-1")
    for number in range(4):
        site.series(f"1.2.{number}", AccessionNumber="ACC-1")
    site.run()
    return site


def backup(project: Project) -> tuple[Any, Any]:
    return deepcopy(project.records), list(project.log)


def restore(project: Project, kept: tuple[Any, Any]) -> None:
    project.records, project.log = deepcopy(kept[0]), list(kept[1])


def test_a_redcap_that_was_restored_is_noticed_before_anything_is_decided(lived: Site) -> None:
    """What it lacks used to be taken for deleted by people."""
    empty = backup(lived.incoming)
    for number in range(4, 8):
        lived.series(f"1.2.{number}", AccessionNumber="ACC-1")
    lived.run(after=700)
    restore(lived.incoming, empty)
    lived.simulator.projects["coupling"].records.clear()
    lived.series("1.3", AccessionNumber="ACC-1")
    for _ in range(3):
        with pytest.raises(ConfigurationError, match=r"lacks studies that were written to it last, such as 1\.2\.4"):
            lived.run(after=700)
    assert len(lived.events("RedcapDoubted")) == 1
    assert lived.attention() == {"another REDCap": 1}
    assert lived.events("RowMissing") == lived.events("CouplingEntryDoubted") == []
    assert "1.3" not in lived.incoming.records
    accept_redcap(lived)
    lived.entry(accession="ACC-1")
    lived.run(after=700)
    assert lived.attention() == {}
    assert lived.transfers("1.3") == {1: Asked(HEART, "H-001")}
    lived.assert_sound()


def test_another_redcap_is_noticed_by_the_first_run_that_meets_it(lived: Site, clock: SettableClock) -> None:
    with standard_simulator(clock) as test_server:
        test_server.projects["incoming"].created = "2024-04-01 10:00:00"
        head = lived.head()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"found project \d+, made 2024-04-01 10:00:00"):
                lived.run_at(test_server.url)
        assert lived.head() == head + 1
        assert test_server.projects["incoming"].records == {}
    assert lived.run().attention == {}
    assert len(lived.events("RedcapReturned")) == 1


def test_what_people_delete_is_no_other_redcap(lived: Site) -> None:
    for number in range(4):
        lived.person_deletes(f"1.2.{number}")
    lived.run(after=700)
    assert lived.events("RedcapDoubted") == []


def test_one_record_that_is_gone_without_a_trace_stops_nothing(lived: Site) -> None:
    del lived.incoming.records["1.2.3"]
    lived.incoming.log.clear()
    lived.series("1.3", AccessionNumber="ACC-1")
    lived.run(after=700)
    assert lived.transfers("1.3") == {1: Asked(HEART, "H-001")}


def test_an_idle_run_makes_one_call_for_it_every_ten_minutes(lived: Site) -> None:
    def looks() -> int:
        return len([call for call in lived.calls if call.fields == ("study_instance_uid",)])

    lived.run()
    assert looks() == 0
    lived.run(after=700)
    assert looks() == 1
    lived.run()
    assert looks() == 0


def test_a_user_in_a_data_access_group_is_refused_with_words(site: Site) -> None:
    """It sees its group's records alone: all others would be taken for missing."""
    site.incoming.group = "20"
    with pytest.raises(Refused, match="expected a user who sees all records, found one in a data access group"):
        site.run()


@pytest.mark.parametrize(("one", "other"), [("routing", "projects"), ("coupling", "routing")])
def test_tokens_that_were_swapped_at_the_very_first_run_are_mended_in_the_configuration_alone(
    site: Site, one: str, other: str
) -> None:
    """The projects that had just been refused were taken for the ledger's: the right ones were told as others."""
    swapped = site.tokens | {one: site.tokens[other], other: site.tokens[one]}
    for _ in range(2):
        with pytest.raises(Refused, match="check that the token in redcap"):
            site.run_at(site.simulator.url, tokens=swapped)
    assert site.run().attention == {}
    assert site.events("RedcapDoubted") == []

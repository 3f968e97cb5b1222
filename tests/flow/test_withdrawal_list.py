"""REDCap's list of withdrawals: an entry is a withdrawal, for ever; one that goes is shown and opens nothing again."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy

from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Site
from tests.operations.operator import rehearse

STUDY = "1.2.3"
LATER = "1.2.4"


def enters(site: Site, record: str = "1", *, project: str = HEART, subject: str = "H-001") -> None:
    row = {"record_id": record, "wd_project": project, "wd_subject": subject, "wd_date": "2026-03-02"}
    site.simulator.projects["withdrawals"].put([row])


@contextmanager
def statements() -> Iterator[list[str]]:
    """What PostgreSQL is asked meanwhile."""
    executed: list[str] = []

    def note(*given: object) -> None:
        executed.append(str(given[2]))

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    yield executed
    sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)


def names(site: Site, study: str) -> list[str]:
    """The pseudonyms of the rows that can be sent."""
    return sorted(request.name for request in site.transfers(study).values() if request.name)


@pytest.fixture
def listed(make_site: MakeSite) -> Site:
    """The study of patient 4711 has been requested as H-001, at a site that keeps such a list."""
    site = make_site(with_withdrawals=True)
    site.series(STUDY, PatientID="4711", AccessionNumber="A-1")
    site.entry(accession="A-1")
    site.run()
    return site


def later_study(site: Site) -> None:
    site.series(LATER, PatientID="4711", AccessionNumber="A-2")
    site.entry("2", accession="A-2")


@pytest.mark.parametrize("subject", ["H-001", "4711"])
def test_whoever_is_entered_by_pseudonym_or_patient_id_withdraws(listed: Site, subject: str) -> None:
    enters(listed, subject=subject)
    later_study(listed)
    listed.run()

    assert names(listed, STUDY) == names(listed, LATER) == []
    (withdrew,) = listed.events("ParticipantWithdrew")
    assert (withdrew["by"], withdrew["record_id"], withdrew["project"]) == ("REDCap", "1", HEART)
    assert subject not in "".join(map(str, listed.events("WithdrawalEntryChanged")))
    listed.assert_sound()


def test_it_is_recorded_once(listed: Site) -> None:
    enters(listed)
    listed.run()
    head = listed.head()
    listed.run()

    assert listed.head() == head


def test_several_of_one_pseudonym_are_followed_once_it_is_known_whose_it_is(listed: Site) -> None:
    """Each of the entries was followed by a run of its own, one after the other."""
    for record in "123":
        enters(listed, record, subject="H-009")
    listed.run()
    listed.entry("2", accession="A-2", subject="H-009")
    listed.series(LATER, PatientID="4712", AccessionNumber="A-2")
    listed.run()
    head = listed.head()
    listed.run()

    assert [withdrew["follows"] is None for withdrew in listed.events("ParticipantWithdrew")] == [True] * 3 + [False]
    assert listed.head() == head


def test_many_are_taken_at_once(listed: Site) -> None:
    """Each asked the ledger twenty times: a list of thousands kept the first run for minutes."""
    asked = []
    for first, count in ((100, 2), (200, 40)):
        for number in range(first, first + count):
            enters(listed, str(number), subject=f"H-{number}")
        with statements() as executed:
            listed.run()
        asked.append(len(executed))

    assert len(listed.events("ParticipantWithdrew")) == 42
    assert asked[1] <= asked[0] + 5


def test_an_entry_that_is_missing_from_one_export_is_doubted(listed: Site) -> None:
    enters(listed)
    listed.run()
    with listed.left_out("withdrawals", "1"):
        listed.run()
        assert listed.query("select list, open from audit.doubt") == [("withdrawals", True)]
    listed.run()

    assert listed.query("select ended_how from audit.doubt") == [("returned",)]
    assert len(listed.events("ParticipantWithdrew")) == 1


def test_an_entry_that_is_removed_is_shown_and_opens_nothing_again(listed: Site) -> None:
    enters(listed)
    listed.run()
    listed.simulator.projects["withdrawals"].delete("1")
    listed.run()
    listed.run()
    later_study(listed)
    listed.run()

    assert names(listed, LATER) == []
    assert listed.attention()["withdrawal removed"] == 1


def test_one_that_is_corrected_withdraws_the_other_as_well(listed: Site) -> None:
    """Whoever was entered by mistake is held until people have talked: a withdrawal is for ever."""
    listed.series(LATER, PatientID="4712", AccessionNumber="A-2")
    listed.entry("2", accession="A-2", subject="H-002")
    enters(listed, subject="H-002")
    listed.run()
    enters(listed)
    listed.run()

    assert names(listed, STUDY) == names(listed, LATER) == []
    assert listed.attention()["withdrawal changed"] == 1
    listed.assert_sound()


@pytest.mark.parametrize(("project", "subject"), [("", "H-001"), (HEART, "")])
def test_one_that_says_too_little_is_shown(listed: Site, project: str, subject: str) -> None:
    enters(listed, project=project, subject=subject)
    listed.run()

    assert listed.attention() == {"unusable withdrawal": 1}
    assert listed.events("ParticipantWithdrew") == []


def test_one_for_a_project_that_nothing_names_is_shown_and_holds_when_it_is_named(listed: Site) -> None:
    enters(listed, project=BRAIN, subject="4711")
    listed.run()
    assert listed.attention() == {"unusable withdrawal": 1}
    listed.entry("3", accession="A-1", project=BRAIN, subject="B-001")
    listed.run()

    assert names(listed, STUDY) == ["H-001"]


def test_a_dry_run_tells_who_would_withdraw(listed: Site) -> None:
    enters(listed)
    changes = [each for each in rehearse(listed) if each.change == "withdraw a participant"]

    assert [(each.project, each.why) for each in changes] == [(HEART, "record 1 of REDCap's list of withdrawals")]
    assert names(listed, STUDY) == ["H-001"]

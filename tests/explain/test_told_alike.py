"""What became of a request is told alike, wherever somebody asks: explain, find, reports, views, pages."""

from collections.abc import Callable

import pytest

from processors.events.pseudonyms import StudyHeld
from processors.explain.endings import endings
from processors.explain.find import LEFT_OPEN, Sought, find
from processors.operations.disclosures import audit_events
from processors.operations.metrics import registry
from processors.operations.reports.participant import participant_report
from processors.operations.reports.project import project_report
from processors.operations.reports.register import register_report
from processors.operations.reports.report import Report
from processors.operations.status import status
from processors.run import Report as RunReport
from processors.web.overview import ProjectLine, Waiting, overview, volume
from processors.web.project import project
from tests.explain.conftest import Explained
from tests.flow.harness import HEART, Site
from tests.operations.operator import acknowledge, amend_by_hand

BY_OTHERS = "requested by others"


@pytest.fixture
def requested(explained: Explained) -> Explained:
    """A coupling entry had study 1.2.3 requested."""
    explained.site.series("1.2.3", PatientID="4711")
    explained.site.entry("1", study="1.2.3", subject="H-001")
    explained.site.run()
    return explained


def reported(explained: Explained) -> list[tuple[str, str]]:
    """Why each study was requested for the project, and what became of it."""
    with explained.opened() as work:
        return told_by(project_report(work.connection, HEART))


def told_by(report: Report) -> list[tuple[str, str]]:
    """Why each request of a report was made, and what became of it."""
    at = {name: number for number, name in enumerate(report.main.columns)}
    return [(row[at["because of"]], row[at["outcome"]]) for row in report.main.rows]


def found(explained: Explained) -> list[tuple[str, str]]:
    with explained.opened() as work:
        return [(each.stage, each.details) for each in find(work, Sought(study="1.2.3"))]


def stages(explained: Explained) -> dict[str, int]:
    """How many requests of the project are in which stage, as its page has it."""
    with explained.opened() as work:
        return {stage: len(asked) for stage, asked in project(work, HEART).asked.items()}


def overviewed(explained: Explained) -> tuple[list[ProjectLine], list[Waiting]]:
    """What the overview tells of projects, and of what waits."""
    with explained.opened() as work:
        gateway = work.gateway
    shown = overview(gateway, status(gateway), volume(gateway))
    return list(shown.projects), list(shown.waiting)


def _deletes_row(site: Site) -> None:
    site.person_deletes_transfer("1.2.3", 1)


def _changes_row(site: Site) -> None:
    place = {"redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.transfer_project.put([{"study_instance_uid": "1.2.3", **place, "transfer_name": "H-999"}])


def _deletes_record(site: Site) -> None:
    site.person_deletes("1.2.3")
    site.series("1.2.3", "1.2.3.9", PatientID="4711")


@pytest.mark.parametrize("spoil", [_deletes_row, _changes_row, _deletes_record])
def test_a_request_whose_row_people_deleted_or_changed_stands_nowhere(
    requested: Explained, spoil: Callable[[Site], None]
) -> None:
    """Reports told for ever that it stands in REDCap and is not sent yet."""
    site = requested.site
    spoil(site)
    site.run()
    site.run()
    with requested.opened() as work:
        (ending,) = endings(work, "1.2.3")
    assert ending.is_missing
    for is_seen in (False, True):
        if is_seen:
            acknowledge(site)
        assert reported(requested)[0] == ("coupling entry 1", "its row in REDCap was deleted or changed there")
        assert found(requested)[0] == ("missing", "row deleted or changed in REDCap")
        assert stages(requested)["missing"] == 1
        assert site.query("select placed from audit.study") == [(0,)]
        assert site.query("select state, missing from audit.transfer") == [("placed", True)]
        ((line, *_), waiting) = overviewed(requested)
        # A row that says something else is a request of whoever changed it.
        theirs = ["requested by others, to be sent"] * (spoil is _changes_row)
        assert (line.waiting, line.missing) == (len(theirs), 0 if is_seen else 1)
        assert [each.state for each in waiting] == [*theirs, *([] if is_seen else ["deleted or changed in REDCap"])]
        with requested.opened() as work:
            gateway = work.gateway
        told = status(gateway)
        assert (told.sending.unsent, told.totals.transfers) == (0, {"missing": 1})


def test_a_row_that_people_deleted_is_counted_as_placed_nowhere(requested: Explained) -> None:
    """Status, metrics and page counted it as placed, which `find --state placed` did not list."""
    site = requested.site
    assert status(site.own_gateway()).totals.transfers == {"placed": 1}
    _deletes_row(site)
    site.run()
    site.run()
    told = status(site.own_gateway())
    assert found(requested) == [("missing", "row deleted or changed in REDCap")]
    assert told.totals.transfers == {"missing": 1}
    counted = registry(told, RunReport()).get_sample_value
    labels = {"site": told.site, "state": "missing"}
    assert (
        counted("fiona_ledger_requests", labels),
        counted("fiona_ledger_requests", labels | {"state": "placed"}),
    ) == (
        1,
        None,
    )


def test_what_is_held_is_counted_alike_by_overview_report_find_and_status(requested: Explained) -> None:
    """The overview counted a row that people deleted, and a conflict, as held: nothing else did."""
    site = requested.site
    _deletes_row(site)
    site.series("1.2.4", PatientID="4712", AccessionNumber="A")
    site.series("1.2.5", PatientID="4713", AccessionNumber="A")
    site.entry("2", accession="A", subject="H-009")
    site.run()
    site.run()
    site.series("1.2.6", PatientID="4714")
    site.run()
    with requested.opened() as work:
        work.record([StudyHeld(study="1.2.6", project=HEART, reason="unusable auto-ID project")])
    ((line,), _) = overviewed(requested)
    with requested.opened() as work:
        held = [each.study for each in find(work, Sought()) if each.stage == "held"]
        (table,) = (each for each in project_report(work.connection, HEART).others if each.heading.startswith("Held"))
    assert sorted(held) == sorted(row[0] for row in table.rows) == ["1.2.4", "1.2.5", "1.2.6"]
    assert (line.held, sum(status(site.own_gateway()).held.values())) == (3, 3)
    assert (line.missing, line.conflict) == (1, 0)


def test_a_request_that_stands_in_redcap_is_not_missing(requested: Explained) -> None:
    assert reported(requested) == [("coupling entry 1", "stands in REDCap, not sent yet")]
    assert found(requested) == [("placed", "")]
    assert requested.site.query("select placed from audit.study") == [(1,)]
    assert requested.site.query("select missing from audit.transfer") == [(False,)]


def test_what_was_sent_stays_sent_though_its_row_is_deleted(requested: Explained) -> None:
    site = requested.site
    site.sender_sends("1.2.3", 1)
    site.run()
    _deletes_row(site)
    site.run()
    assert reported(requested) == [("coupling entry 1", "sent")]
    assert found(requested) == [("sent", "row deleted or changed in REDCap")]
    ((line,), waiting) = overviewed(requested)
    assert (line.delivered.studies, line.waiting, line.missing, waiting) == (1, 0, 0, [])
    assert status(site.own_gateway()).totals.transfers == {"placed": 1}


def test_a_request_that_a_person_contests_waits_for_that_once(explained: Explained) -> None:
    """It was told as one that waits to be written, and counted beside the conflict that it is."""
    site = explained.site
    site.series("1.2.3", PatientID="4711")
    site.run()
    site.person_requests("1.2.3", HEART, "H-PERSON")
    site.run()
    site.entry("1", study="1.2.3", subject="H-001")
    site.run()
    assert site.states("1.2.3") == ["contested"]
    with explained.opened() as work:
        (ending,) = endings(work, "1.2.3")
    assert ending.words.endswith("waits, as a person asked for another name.")
    assert ("coupling entry 1", "waits, as a person requested another pseudonym") in reported(explained)
    assert [each for each in found(explained) if each[0] != "placed"] == [("conflict", "person")]
    assert stages(explained)["conflict"] == 1
    assert "waiting" not in stages(explained)
    ((line,), waiting) = overviewed(explained)
    assert (line.waiting, line.held, line.conflict) == (1, 0, 1)
    told = [(each.state, each.total) for each in waiting]
    assert told == [("requested by others, to be sent", 1), ("contested by a person", 1)]


@pytest.fixture
def by_others(explained: Explained) -> Explained:
    """A person requested study 1.2.3 in REDCap, as H-001."""
    explained.site.series("1.2.3", PatientID="4711")
    explained.site.run()
    explained.site.person_requests("1.2.3", HEART, "H-001")
    explained.site.run()
    return explained


def test_what_a_person_requested_is_told_with_what_became_of_it(by_others: Explained) -> None:
    """Reports left it out, a report to the participant, too; and it was told that nothing asks for it."""
    assert reported(by_others) == [(BY_OTHERS, "stands in REDCap, not sent yet")]
    assert found(by_others) == [("placed", BY_OTHERS)]
    by_others.site.sender_sends("1.2.3", 1)
    by_others.site.run()
    assert reported(by_others) == [(BY_OTHERS, "sent")]
    assert found(by_others) == [("sent", BY_OTHERS)]
    assert stages(by_others) == {"sent": 1}
    with by_others.opened() as work:
        assert [each.study for each in project(work, HEART).delivered] == ["1.2.3"]
        assert told_by(participant_report(work, "4711", by="kari")) == [(BY_OTHERS, "sent")]
        assert register_report(work.connection).main.rows[0][:3] == (HEART, 1, 1)
        assert (f"{BY_OTHERS}: sent", 1) in project_report(work.connection, HEART).others[0].rows
        assert ["requested by others" in str(event) for event in audit_events(work.connection)] == [True]
    shown = "select study, project, instance, adopted, sends, mapped_uids from audit.request_of_others"
    assert by_others.site.query(shown) == [("1.2.3", HEART, 1, False, 1, ["2.25.1.2.3"])]


def test_what_the_sender_could_not_send_for_a_person_is_told_so(by_others: Explained) -> None:
    by_others.site.sender_fails("1.2.3", 1)
    by_others.site.run()
    assert reported(by_others) == [(BY_OTHERS, "could not be sent")]
    ((stage, details),) = found(by_others)
    assert (stage, details.startswith(f"{BY_OTHERS}; ")) == ("failed", True)


def test_every_screen_counts_each_study_that_a_project_got_once_whoever_requested_it(explained: Explained) -> None:
    """The overview left out what others requested, and a study of two events was two on the page of the project."""
    site = explained.site
    for study in ("1.1", "1.2", "1.3", "1.4"):
        site.series(study, PatientID=f"PID-{study}", NumFiles="3")
    for event in ("v1", "v2"):
        site.entry(event, study="1.1", subject="H-001", event=event)
    site.run()
    for number, study in enumerate(("1.2", "1.3", "1.4"), start=2):
        site.person_requests(study, HEART, f"H-00{number}")
    for study, instance in (("1.1", 1), ("1.1", 2), ("1.2", 1)):
        site.sender_sends(study, instance)
    site.sender_fails("1.3", 1)
    site.run()
    site.entry("v1", study="1.1", subject="H-009", event="v1")  # corrected after it was sent
    site.run()
    ((line,), waiting) = overviewed(explained)
    assert (line.delivered.studies, line.failed, line.waiting) == (2, 1, 2)
    told = [(each.state, each.total) for each in waiting]
    assert told == [
        ("in REDCap, to be sent", 1),
        ("requested by others, to be sent", 1),
        ("requested by others, failed", 1),
    ]
    with explained.opened() as work:
        shown = project(work, HEART)
        counted = project_report(work.connection, HEART).others[0].rows
    delivered = [(each.study, each.series, each.images) for each in shown.delivered]
    assert sorted(delivered) == [("1.1", 1, 3), ("1.2", 1, 3)]
    assert {("sent", 1), (f"{BY_OTHERS}: sent", 1)} <= set(counted)
    assert (len(shown.asked["failed"]), len(shown.asked["placed"])) == (1, 2)


def test_a_person_s_row_that_answers_a_request_of_ours_is_told_once(by_others: Explained) -> None:
    by_others.site.entry("1", study="1.2.3", subject="H-001")
    by_others.site.run()
    assert reported(by_others) == [("coupling entry 1", "stands in REDCap, not sent yet")]
    by_others.site.sender_sends("1.2.3", 1)
    by_others.site.run()
    assert reported(by_others) == [("coupling entry 1", "sent")]


def test_a_person_s_row_outlasts_a_request_of_ours_that_it_answered(by_others: Explained) -> None:
    by_others.site.entry("1", study="1.2.3", subject="H-001")
    by_others.site.run()
    amend_by_hand(by_others.site, "1.2.3")
    by_others.site.run()
    assert sorted(reported(by_others)) == [
        ("coupling entry 1", "withdrawn, not sent"),
        (BY_OTHERS, "stands in REDCap, not sent yet"),
    ]


def test_what_waits_for_a_rule_that_cannot_be_used_is_told_so(explained: Explained) -> None:
    """It was told that nothing asks for it."""
    explained.site.rule("7", patient_id="PID-1")
    explained.site.run()
    explained.site.rule("7", patient_id="PID-[")
    explained.site.series("1.2.3", PatientID="PID-1")
    explained.site.run()
    assert found(explained) == [("waiting", LEFT_OPEN)]
    assert stages(explained) == {"waiting": 1}
    explained.site.rule("7", patient_id="PID-1")
    explained.site.run()
    assert found(explained) == [("placed", "")]

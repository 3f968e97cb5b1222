"""What the doctor makes of facts: given these, then that finding."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processors.cli.doctor import in_a_line
from processors.operations.doctor import database_findings, machine_findings, redcap_findings
from processors.operations.doctor.facts import (
    DatabaseFacts,
    Disk,
    Folder,
    KeyCopy,
    MachineFacts,
    ProjectFacts,
    RedcapFacts,
    Standby,
    Trouble,
)
from processors.operations.doctor.finding import Finding
from processors.operations.health import Severity
from processors.project_designs import ProjectDesign, project_designs
from processors.redcap.needed import needed
from tests.processes import ROOT

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
GIB = 1 << 30
OK, WARNING, CRITICAL = Severity.OK, Severity.WARNING, Severity.CRITICAL
DESIGNS = project_designs(separate_transfers=False, with_withdrawals=True)

MACHINE = MachineFacts(
    account="fiona",
    configuration=Path("/etc/fiona-ledger.toml"),
    is_overheard=False,
    folders=[Folder("source.raw", Path("/data/site/raw"), "read", "")],
    key_file=Path("/etc/fiona-ledger/vault.key"),
    key=None,
    forgotten=None,
    key_copy_file=Path("/mnt/safe/vault.key"),
    key_copy=KeyCopy(timedelta(days=12), is_same=True, knows_the_forgotten=True),
    disks=[Disk("source.raw", Path("/data/site/raw"), 100 * GIB)],
)
DATABASE = DatabaseFacts(
    version="16.4",
    encoding="UTF8",
    zone="Europe/Oslo",
    role="fiona",
    is_superuser=False,
    is_embedded=False,
    is_pooled=False,
    is_standby=False,
    lost_at_crash=[],
    standbys=[Standby(is_synchronous=True, lag=timedelta(seconds=1))],
    ahead=timedelta(seconds=1),
    clock_tolerance=timedelta(hours=1),
    migrated=None,
    connections=None,
    key_fits=True,
    lacking=[],
    beyond=[],
)


def told(number: int, **more: str) -> dict[str, str]:
    return {"project_id": str(number), "project_title": "A title", "is_longitudinal": "0", **more}


def well(design: ProjectDesign, number: int, **changes: Any) -> ProjectFacts:
    facts = ProjectFacts(
        design=design,
        needed=needed(design.name, separate_transfers="transfers" not in design.repeating),
        info=told(number),
        dictionary=design.fields,
        repeating=design.repeating,
    )
    return replace(facts, **changes)


def changed(design: ProjectDesign, name: str, **changes: str) -> list[dict[str, str]]:
    """The dictionary with one field changed; without it where nothing is said."""
    return [
        {**field, **changes} if field["field_name"] == name else dict(field)
        for field in design.fields
        if changes or field["field_name"] != name
    ]


def redcap(*projects: ProjectFacts, **changes: Any) -> RedcapFacts:
    facts = RedcapFacts(
        now=NOW,
        unreadable_tokens={},
        projects=projects,
        clock_ahead=timedelta(seconds=2),
        clock_tolerance=timedelta(hours=1),
        log_ahead=timedelta(0),
        certificate_ends=NOW + timedelta(days=200),
    )
    return replace(facts, **changes)


def wrong(found: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.severity > OK]


def test_where_all_is_well_each_thing_has_a_line_of_its_own() -> None:
    projects = [well(design, number) for number, design in enumerate(DESIGNS.values())]
    found = [
        *machine_findings.findings(MACHINE),
        *database_findings.findings(DATABASE),
        *redcap_findings.findings(redcap(*projects)),
    ]
    assert wrong(found) == []
    assert len({(finding.area, finding.name) for finding in found}) == len(found)
    said = {f"{finding.area}, {finding.name}": finding.found for finding in found}
    assert said["machine, ledger.key_copy"] == "/mnt/safe/vault.key holds the same key and is 12 days old"
    assert said["database, server"] == "PostgreSQL 16.4, encoding UTF8, time zone Europe/Oslo"
    assert said["redcap, incoming: repeating instruments"] == "series, transfers"


def test_the_page_on_health_shows_lines_as_they_are_printed() -> None:
    page = (ROOT / "docs" / "health.md").read_text("utf-8")
    shown = page.split("<!-- deep -->\n```\n")[1].split("\n```")[0].splitlines()
    done = Folder("sender.done", Path("/home/processing/transfers_done"), "read", "No such file or directory")
    found = [
        *machine_findings.findings(replace(MACHINE, folders=[*MACHINE.folders, done])),
        *database_findings.findings(DATABASE),
        *redcap_findings.findings(redcap(well(INCOMING, 1), log_ahead=timedelta(hours=-6))),
    ]
    printed = [in_a_line(finding) for finding in found]
    assert [line for line in shown if line not in printed] == []
    assert len(shown) == 5


@pytest.mark.parametrize(
    ("changes", "name", "severity", "expected", "found", "advice"),
    [
        ({"is_overheard": True}, "redcap.url", WARNING, "https", "http", "redcap.insecure"),
        (
            {"folders": [Folder("sender.queue", Path("/q"), "written", "No such file or directory")]},
            "sender.queue",
            CRITICAL,
            "a folder that can be written",
            "/q: No such file",
            "`setfacl -m u:fiona:rwX /q`",
        ),
        ({"key": Trouble("others may read it")}, "ledger.key_file", CRITICAL, "", "others may read it", ""),
        ({"forgotten": Trouble("cut off")}, "the forgotten", CRITICAL, "", "cut off", ""),
        (
            {"key_copy": KeyCopy(timedelta(days=400), is_same=False, knows_the_forgotten=True)},
            "ledger.key_copy",
            CRITICAL,
            "a copy",
            "another key in /mnt/safe/vault.key, 400 days old",
            "`install -m 0600 /etc/fiona-ledger/vault.key* /mnt/safe/`",
        ),
        ({"key_copy": Trouble("x")}, "ledger.key_copy", CRITICAL, "a copy", "missing or cannot be read", "install"),
        (
            {"key_copy": KeyCopy(timedelta(days=1), is_same=True, knows_the_forgotten=False)},
            "ledger.key_copy",
            WARNING,
            "who was forgotten",
            "vault.key.forgotten missing",
            "install",
        ),
        ({"disks": [Disk("x", Path("/x"), 3 * GIB)]}, "disk of x", WARNING, "5 GiB", "3.0 GiB free at /x", "room"),
        ({"disks": [Disk("x", Path("/x"), GIB // 2)]}, "disk of x", CRITICAL, "5 GiB", "0.5 GiB", "room"),
    ],
)
def test_what_is_wrong_on_the_machine(
    changes: dict[str, Any], name: str, severity: Severity, expected: str, found: str, advice: str
) -> None:
    (finding,) = wrong(machine_findings.findings(replace(MACHINE, **changes)))
    require(finding, name, severity, expected, found, advice)


def require(finding: Finding, name: str, severity: Severity, expected: str, found: str, advice: str) -> None:
    assert (finding.name, finding.severity) == (name, severity)
    assert expected in finding.expected
    assert found in finding.found
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("changes", "name", "severity", "expected", "found", "advice"),
    [
        ({"migrated": Trouble("not set up")}, "tables", CRITICAL, "", "not set up", ""),
        ({"is_superuser": True}, "role", WARNING, "a role of its own", "fiona, a superuser", "ledger.url"),
        (
            {"lacking": ["INSERT on ledger.event"]},
            "rights",
            CRITICAL,
            "",
            "INSERT on ledger.event",
            "grant --writer fiona",
        ),
        ({"beyond": ["Everybody may."]}, "rights of others", WARNING, "none", "Everybody may.", "docs/ledger.md"),
        ({"connections": Trouble("one only")}, "connections", CRITICAL, "", "one only", ""),
        ({"is_standby": True}, "replication", CRITICAL, "takes changes", "a standby", "ONE,TWO"),
        (
            {"standbys": [Standby(is_synchronous=False, lag=timedelta(minutes=7))]},
            "replication",
            WARNING,
            "less than 1 minute",
            "7 minutes behind",
            "pg_stat_replication",
        ),
        ({"lost_at_crash": ["fsync = off"]}, "durability", WARNING, "outlives a crash", "fsync = off", "set to on"),
        ({"key_fits": False}, "key", CRITICAL, "made with", "another one", "from its copy"),
        ({"ahead": timedelta(minutes=-20)}, "clock", WARNING, "agree", "20 minutes behind", "timedatectl"),
    ],
)
def test_what_is_wrong_in_the_database(
    changes: dict[str, Any], name: str, severity: Severity, expected: str, found: str, advice: str
) -> None:
    (finding,) = wrong(database_findings.findings(replace(DATABASE, **changes)))
    require(finding, name, severity, expected, found, advice)


def test_the_superuser_of_an_embedded_server_is_as_it_must_be() -> None:
    assert wrong(database_findings.findings(replace(DATABASE, is_superuser=True, is_embedded=True))) == []


INCOMING, COUPLING, ROUTING = DESIGNS["incoming"], DESIGNS["coupling"], DESIGNS["routing"]
SHOWN_DIFFERENTLY = changed(INCOMING, "transfer_date", text_validation_type_or_show_slider_number="datetime_dmy")


@pytest.mark.parametrize(
    ("facts", "name", "severity", "found", "advice"),
    [
        (well(INCOMING, 1, info=Trouble("no token")), "incoming", CRITICAL, "no token", ""),
        (well(INCOMING, 1, info=told(1, is_longitudinal="1")), "incoming", CRITICAL, "longitudinal", "Disable"),
        (
            well(INCOMING, 1, info=told(1, record_autonumbering_enabled="1")),
            "incoming",
            WARNING,
            "numbers the records",
            "Auto-numbering",
        ),
        (
            well(INCOMING, 1, dictionary=changed(INCOMING, "transfer_name")),
            "incoming: fields",
            CRITICAL,
            "lacks transfer_name",
            "Designer",
        ),
        (
            well(ROUTING, 1, dictionary=changed(ROUTING, "routing_active", field_type="checkbox")),
            "routing: fields",
            WARNING,
            "routing_active is of type checkbox, not yesno",
            "Designer",
        ),
        (
            well(
                INCOMING,
                1,
                dictionary=changed(INCOMING, "study_time", text_validation_type_or_show_slider_number="time"),
            ),
            "incoming: fields",
            WARNING,
            "study_time is validated as time, not at all",
            "Designer",
        ),
        (
            well(COUPLING, 1, dictionary=[*changed(COUPLING, "record_id"), COUPLING.fields[0]]),
            "coupling: fields",
            CRITICAL,
            "cl_accessionnumber",
            "move record_id to the top",
        ),
        (
            well(ROUTING, 1, info=told(1, missing_data_codes="NA, Not available | 1, One")),
            "routing: missing data codes",
            CRITICAL,
            "1 of routing_active, 1 of routing_dest_project",
            "Missing Data Codes",
        ),
        (well(INCOMING, 1, repeating=["series"]), "incoming: repeating instruments", CRITICAL, "series", "transfers"),
        (well(COUPLING, 1, repeating=["coupling_list"]), "coupling: repeating instruments", CRITICAL, "coupl", "none"),
        (well(INCOMING, 1, importing=Trouble("403")), "incoming: rights", CRITICAL, "403", "API Import/Update"),
        (well(COUPLING, 1, reading=Trouble("rows without")), "coupling: rights", CRITICAL, "rows", "Full Data Set"),
        (well(INCOMING, 1, group=Trouble("in a group")), "incoming: rights", CRITICAL, "group", "DAGs"),
        (well(INCOMING, 1, logging=Trouble("403")), "incoming: rights", WARNING, "403", "Logging"),
    ],
)
def test_what_is_wrong_in_a_project(
    facts: ProjectFacts, name: str, severity: Severity, found: str, advice: str
) -> None:
    (finding,) = wrong(redcap_findings.findings(redcap(facts)))
    require(finding, name, severity, "", found, advice)


@pytest.mark.parametrize(
    "facts",
    [
        well(INCOMING, 1, dictionary=SHOWN_DIFFERENTLY),
        well(INCOMING, 1, dictionary=changed(INCOMING, "study_arrival_date")),
        well(COUPLING, 1, dictionary=changed(COUPLING, "cl_date", text_validation_type_or_show_slider_number="time")),
        well(DESIGNS["autoid"], 1, dictionary=changed(DESIGNS["autoid"], "autoid_method", field_type="dropdown")),
        well(INCOMING, 1, info={}),
        well(COUPLING, 1, info=told(1, missing_data_codes="NA, Not available")),
        well(COUPLING, 1, repeating=["an instrument of their own"]),
    ],
)
def test_what_differs_without_harm_in_a_project_is_in_order(facts: ProjectFacts) -> None:
    assert wrong(redcap_findings.findings(redcap(facts))) == []


def test_two_tokens_for_one_project_are_told_but_for_transfers_that_lie_in_incoming() -> None:
    (finding,) = wrong(redcap_findings.findings(redcap(well(COUPLING, 7), well(ROUTING, 7), well(INCOMING, 8))))
    assert (finding.name, finding.found) == ("tokens", "project 7 behind those of coupling and routing")


@pytest.mark.parametrize(
    ("changes", "name", "severity", "found"),
    [
        ({"certificate_ends": NOW + timedelta(days=2)}, "certificate", CRITICAL, "ends on 2026-03-04"),
        ({"clock_ahead": timedelta(minutes=-90)}, "clock", CRITICAL, "90 minutes behind"),
        ({"log_ahead": timedelta(hours=-6)}, "time zone", WARNING, "times 6 hours behind it"),
        ({"unreadable_tokens": {"coupling": Trouble("nothing")}}, "coupling: token", CRITICAL, "nothing"),
        ({"log_ahead": Trouble("no log")}, "time zone", WARNING, "no log"),
    ],
)
def test_what_is_wrong_with_the_server(changes: dict[str, Any], name: str, severity: Severity, found: str) -> None:
    (finding,) = wrong(redcap_findings.findings(redcap(**changes)))
    require(finding, name, severity, "", found, "")


def test_the_designs_have_every_field_that_is_needed() -> None:
    for design in project_designs(separate_transfers=True, with_withdrawals=True).values():
        names = {field["field_name"] for field in design.fields} | {f"{form}_complete" for form in design.forms}
        assert set(needed(design.name, separate_transfers=True)) <= names

"""The ledger handed on to other systems: disclosures as FHIR has them, and the audit's views as a SQLite file."""

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from processors.cli.harmless import in_a_cell
from processors.operations import audit_file
from processors.operations.disclosures import PROFILE, audit_events
from tests.audit.conftest import Story
from tests.audit.history import HEART, IDENTIFYING, KNEE
from tests.audit.test_views import VIEWS
from tests.verification.program import Program, configured

DICOM = "http://dicom.nema.org/resources/ontology/DCM"


@pytest.fixture
def program(story: Story, tmp_path: Path) -> Program:
    """An auditor's: it knows no master key."""
    return configured(tmp_path, url=story.url, key_file=tmp_path / "none.key")


# -- disclosures ---------------------------------------------------------------------------------------


def test_each_time_that_a_study_was_sent_is_an_audit_event_of_the_profile(story: Story, program: Program) -> None:
    ended = program("export", "--format", "audit-event")
    assert (ended.code, ended.err) == (0, "")
    told = [json.loads(line) for line in ended.out.splitlines()]
    details = [{each["type"]: each["valueString"] for each in event["entity"][1]["detail"]} for event in told]
    assert [each["position"] for each in details] == [str(story.at("sent")), str(story.at("sent before"))]
    for event in told:
        fits_the_profile(event)
    (sent, _) = told
    assert sent["period"] == {"start": "2026-03-03", "end": "2026-03-03"}
    assert sent["agent"][1]["who"]["display"] == f"research project {HEART}"
    assert sent["entity"][1]["what"]["identifier"]["value"] == f"urn:oid:{KNEE}"
    received = story.ask("select subject from ledger.event where stream = :s and version = 1", s=f"study/{KNEE}")
    assert sent["entity"][0]["what"]["identifier"]["value"] == f"urn:uuid:{received[0]['subject']}"


def fits_the_profile(event: dict[str, Any]) -> None:
    """FHIR R4 has an AuditEvent as R4B has it; the rest is what IHE's Privacy Disclosure at Source adds."""
    AuditEvent.model_validate(event)
    assert event["meta"]["profile"] == [PROFILE]
    assert (event["type"]["system"], event["type"]["code"]) == (DICOM, "110106")
    assert "disclose" in [each["code"] for each in event["subtype"]]
    assert (event["action"], event["outcome"]) == ("R", "0")
    agents = {agent["type"]["coding"][0]["code"]: agent for agent in event["agent"]}
    assert agents.keys() == {"110153", "110152"}
    assert all(agent["who"] and agent["network"]["address"] for agent in agents.values())
    assert agents["110153"]["who"] == event["source"]["observer"]
    (patient,) = [entity for entity in event["entity"] if entity["type"]["code"] == "1"]
    assert (patient["role"]["code"], patient["what"]["type"]) == ("1", "Patient")
    assert len(event["entity"]) == 2


def test_disclosures_of_some_positions_are_written_to_a_file(story: Story, program: Program, tmp_path: Path) -> None:
    position = str(story.at("sent"))
    file = tmp_path / "disclosures.ndjson"
    arguments = ("export", "--format", "audit-event", "--from", position, "--to", position, "--output", str(file))
    assert program(*arguments, "--json").data == {"disclosures": 1, "file": str(file)}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().splitlines()) == 1
    assert program("export", "--format", "audit-event", "--from", "1", "--to", "1").out == ""


def test_a_disclosure_names_nobody(story: Story) -> None:
    with story.database.begin() as connection:
        written = json.dumps(list(audit_events(connection)))
    assert written
    assert [value for value in IDENTIFYING if value in written] == []


# -- SQLite --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sqlite")
    program = configured(folder, url=story.url, key_file=folder / "none.key")
    file = folder / "audit.sqlite"
    ended = program("export", "--sqlite", str(file), "--json")
    assert (ended.code, ended.err, ended.data["file"]) == (0, "", str(file))
    assert tuple(ended.data["rows"]) == VIEWS
    assert [each.name for each in folder.iterdir() if "sqlite" in each.name] == [file.name]
    return file


def asked(file: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def test_every_view_is_a_table_with_its_rows(story: Story, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for view in VIEWS:
        (count,) = story.ask(f"select count(*) from audit.{view}")
        assert asked(file, f'select count(*) from "{view}"') == [(count["count"],)], view
    (row,) = story.ask("select recorded_at, run, sealed, data from audit.event where position = 1")
    ((recorded_at, run, sealed, data),) = asked(
        file, "select recorded_at, run, sealed, data from event where position = 1"
    )
    assert recorded_at.startswith(f"{row['recorded_at']:%Y-%m-%d}")
    assert recorded_at.endswith("+00:00")
    assert (run, sealed, json.loads(data)) == (str(row["run"]), int(row["sealed"]), row["data"])


def test_the_comments_are_a_table_and_datasettes_metadata(story: Story, file: Path) -> None:
    told = {(view, column): comment for view, column, _, comment in asked(file, "select * from comments")}
    described = story.ask("select relname, obj_description(oid) as told from pg_class where relname = 'transfer'")
    assert told["transfer", None] in [each["told"] for each in described]
    assert told["transfer", "project"] == "The research project that the study is to go to."
    for view in VIEWS:
        columns = [name for _, name, *_ in asked(file, f"pragma table_info('{view}')")]
        assert {(view, column) for column in columns} <= told.keys()
    ((metadata,),) = asked(file, "select metadata from datasette")
    tables = json.loads(metadata)["databases"]["audit"]["tables"]
    assert tables["transfer"]["description"] == told["transfer", None]
    assert tables["transfer"]["columns"]["project"] == told["transfer", "project"]


def test_nothing_in_the_file_names_anybody(file: Path) -> None:
    content = file.read_bytes()
    assert [value for value in IDENTIFYING if value.encode() in content] == []


def test_texts_that_a_spreadsheet_would_calculate_or_a_terminal_obey_are_harmless(story: Story, tmp_path: Path) -> None:
    formula, steering = "=HYPERLINK(1)", "a\x1b[2Jb"
    with story.database.begin() as connection, connection.begin_nested() as savepoint:
        connection.exec_driver_sql(
            f"create view audit.hostile as select '{formula}' as position, E'a\\x1b[2Jb' as kind, 0.5::numeric as n,"
            " date '2026-03-02' as day"
        )
        rows = audit_file.write(connection, tmp_path / "hostile", in_a_cell)
        savepoint.rollback()
    assert rows["hostile"] == 1
    assert asked(tmp_path / "hostile", "select * from hostile") == [(f"'{formula}", "a\ufffd[2Jb", 0.5, "2026-03-02")]
    assert steering.encode() not in (tmp_path / "hostile").read_bytes()


@pytest.mark.parametrize("other", [("--from", "2"), ("--output", "x"), ("--format", "audit-event")])
def test_a_sqlite_file_is_of_all_views(program: Program, tmp_path: Path, other: tuple[str, str]) -> None:
    ended = program("export", "--sqlite", str(tmp_path / "x.sqlite"), *other)
    assert (ended.code, "expected no other option" in ended.err) == (2, True)


def test_a_file_that_cannot_be_written_is_told(program: Program, tmp_path: Path) -> None:
    ended = program("export", "--sqlite", str(tmp_path / "none" / "x.sqlite"))
    assert (ended.code, "cannot be written" in ended.err) == (2, True)

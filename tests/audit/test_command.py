"""`fiona-ledger audit` as people, spreadsheets and auditors use it."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest
from typer.testing import CliRunner, Result

from processors.cli.main import app
from tests.audit.conftest import ZONE, Story
from tests.audit.history import ABROAD, BRAIN, CHEST, HEART, HIP, KNEE
from tests.audit.test_views import VIEWS
from tests.cli.conftest import forked

Audit = Callable[..., Result]


def configuration(url: str, folder: Path) -> Path:
    """An auditor's configuration: it knows nothing of REDCap, and names a master key that does not exist."""
    config = folder / f"{uuid4().hex}.toml"
    config.write_text(f"""ledger = {{ url = "{url}", key_file = "{folder}/no-such.key" }}""")
    return config


def audit_at(url: str, folder: Path) -> Audit:
    config = configuration(url, folder)

    def audit(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--config", str(config), "audit", *arguments], env={"TZ": ZONE})

    return audit


@pytest.fixture
def audit(story: Story, tmp_path: Path) -> Audit:
    return audit_at(story.url, tmp_path)


def data(result: Result) -> Any:
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def refusal(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stdout == ""
    return result.stderr.removeprefix("fiona-ledger: ").strip()


# -- the list ------------------------------------------------------------------------------------------


def test_without_a_name_the_views_are_listed_with_what_each_is_for(audit: Audit) -> None:
    result = audit()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert tuple(line.removeprefix("audit.") for line in lines if line.startswith("audit.")) == VIEWS
    assert (
        lines[lines.index("audit.attention") + 1].strip() == "Everything that a person must look at, with what to do."
    )


def test_the_list_as_json_has_the_columns_with_what_each_says(audit: Audit) -> None:
    views = {view["name"]: view for view in data(audit("--json"))}
    assert tuple(views) == VIEWS
    assert views["run"]["columns"][1] == {
        "name": "started_at",
        "type": "timestamp with time zone",
        "description": "When it began.",
    }


def test_the_list_as_csv_has_a_line_for_each_view(audit: Audit) -> None:
    rows = list(csv.DictReader(io.StringIO(audit("--csv").stdout)))
    assert tuple(row["name"] for row in rows) == VIEWS


# -- choosing rows -------------------------------------------------------------------------------------


def test_a_study_is_chosen_by_its_uid(audit: Audit) -> None:
    assert [row["study"] for row in data(audit("study", "--study", HIP, "--json"))] == [HIP]


def test_a_study_nobody_knows_has_no_rows(audit: Audit) -> None:
    assert data(audit("study", "--study", "9.9", "--json")) == []


def test_a_project_is_chosen_by_its_name(audit: Audit) -> None:
    projects = [row["project"] for row in data(audit("transfer", "--project", BRAIN, "--json"))]
    assert projects == [BRAIN] * 3


def test_studies_are_chosen_by_any_of_the_projects_that_they_were_requested_for(audit: Audit) -> None:
    studies = {row["study"] for row in data(audit("study", "--project", HEART, "--json"))}
    assert studies == {KNEE, HIP, "1.2.3"}


def test_since_and_until_name_the_first_and_the_last_day_wanted(audit: Audit, story: Story) -> None:
    def days(*options: str) -> int:
        return len(data(audit("event", *options, "--json")))

    (all_of,) = story.ask("select count(*) as events from ledger.event")
    assert days("--since", "2026-03-01", "--until", "2026-03-04") == all_of["events"]
    assert days("--since", "2026-03-01") == all_of["events"]
    assert days("--until", "2026-03-01") == days("--since", "2026-03-05") == 0
    second = days("--since", "2026-03-03", "--until", "2026-03-03")
    assert 0 < second < all_of["events"]


def test_the_last_day_wanted_is_wanted_whole(audit: Audit) -> None:
    days = {row["day"] for row in data(audit("rule-hit", "--until", "2026-03-02", "--json"))}
    assert days == {"2026-03-02"}


def test_the_newest_rows_come_first_and_a_limit_keeps_those(audit: Audit, story: Story) -> None:
    (head,) = story.ask("select position from ledger.head")
    rows = data(audit("event", "--limit", "2", "--json"))
    assert [row["position"] for row in rows] == [head["position"], head["position"] - 1]


def test_options_can_be_combined(audit: Audit, story: Story) -> None:
    rows = data(
        audit("transfer", "--study", KNEE, "--project", BRAIN, "--since", "2026-03-03", "--limit", "1", "--json")
    )
    assert [row["position"] for row in rows] == [story.at("again")]


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_shown_in_all_three_ways(audit: Audit, view: str) -> None:
    rows = data(audit(view, "--json"))
    assert rows
    assert len(list(csv.DictReader(io.StringIO(audit(view, "--csv").stdout)))) == len(rows)
    assert audit(view).exit_code == 0


# -- ways of showing -----------------------------------------------------------------------------------


def test_json_keeps_numbers_truth_lists_and_times(audit: Audit) -> None:
    (row,) = data(audit("study", "--study", KNEE, "--json"))
    assert (row["series"], row["on_disk"], row["held_reason"]) == (2, True, None)
    (event,) = data(audit("event", "--study", ABROAD, "--json"))
    assert event["data"]["StudyInstanceUID"] == ABROAD


def test_csv_quotes_as_rfc_4180_says(audit: Audit) -> None:
    printed = audit("study", "--study", KNEE, "--csv").stdout_bytes.decode()
    header, row, rest = printed.split("\r\n")
    assert rest == ""
    assert header.startswith("study,arrived_at,site,series,")
    assert row.endswith(',main,2,FIONA,CT1,true,true,"[""Brain, Ageing and Memory"",""Heart Study""]",4,1,0,2,')


def test_csv_of_no_rows_has_its_header(audit: Audit) -> None:
    assert audit("held_study", "--study", "9.9", "--csv").stdout_bytes == (
        b"position,held_at,site,study,project,reason,ended_at,ended_how,open\r\n"
    )


def test_people_see_a_table_where_it_fits_without_columns_that_say_nothing(audit: Audit) -> None:
    result = audit("daily_volume", "--since", "2026-03-03")
    assert result.stdout.splitlines()[0] == (
        "audit.daily_volume: How much was recorded, a row for each site and day on which anything was."
    )
    assert "2026-03-03" in result.stdout
    assert "rejected_files" in result.stdout
    assert "held_reason" not in audit("study", "--study", KNEE).stdout


def test_people_see_a_block_for_each_row_where_a_table_would_be_too_wide(audit: Audit, story: Story) -> None:
    lines = audit("transfer", "--study", CHEST).stdout.splitlines()
    position = next(line for line in lines if line.startswith("position "))
    assert position.split() == ["position", str(story.at("by ID"))]
    assert not any(line.startswith("amended_by") for line in lines)


def test_people_are_told_that_there_are_more_rows(audit: Audit) -> None:
    assert "There are more: these are 3." in audit("event", "--limit", "3").stdout
    assert "There are more" not in audit("event", "--limit", "1000").stdout


def test_people_are_told_that_there_are_no_rows(audit: Audit) -> None:
    assert audit("transfer", "--study", "9.9").stdout.splitlines()[-1] == "No rows."


def test_what_steers_a_terminal_or_looks_like_markup_is_shown_as_text(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into gateway.autoid_project values ('1', 1, '', '[/red]\x1b[31m', '', '', true, '{x}')"
        )
    shown = audit_at(database_url, tmp_path)("attention")
    assert shown.exit_code == 0
    assert "[/red]\ufffd[31m" in shown.stdout


def test_a_reader_who_has_seen_enough_ends_the_command_quietly(story: Story, tmp_path: Path) -> None:
    """As `| head` does."""
    config = configuration(story.url, tmp_path)
    command = [sys.executable, "-m", "processors.cli.main", "--config", str(config), "audit", "event", "--csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        assert started.stderr.read() == ""
    assert started.returncode == 0


# -- what cannot be done -------------------------------------------------------------------------------


def test_an_unknown_view_is_answered_with_the_names_of_those_there_are(audit: Audit) -> None:
    assert refusal(audit("patients")) == f"There is no audit view 'patients'. Expected one of: {', '.join(VIEWS)}."


@pytest.mark.parametrize("name", ["held_study", "held-study", "audit.held_study"])
def test_a_view_may_be_named_as_in_sql_or_with_a_hyphen(audit: Audit, name: str) -> None:
    assert len(data(audit(name, "--json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("attention", "--since", "2026-03-02"),
            (
                "--since does not apply to audit.attention, which has no column for a time or day. What applies to it: "
                "--study, --project, --limit."
            ),
        ),
        (
            ("run", "--study", "1.2"),
            (
                "--study does not apply to audit.run, which has no column for a study. What applies to it: --since, "
                "--until, --limit."
            ),
        ),
        (("study", "--json", "--csv"), "Expected --json or --csv, found both."),
        (("--study", "1.2"), "--study needs the name of a view. `fiona-ledger audit` lists them."),
        (
            ("event", "--since", "2026-03-03", "--until", "2026-03-02"),
            "Expected --since not to be after --until, found 2026-03-03 and 2026-03-02.",
        ),
        (("event", "--study", "1\x1b"), "--study: expected printable text, found something else."),
    ],
)
def test_an_option_that_does_not_apply_is_answered_with_why(
    audit: Audit, arguments: tuple[str, ...], message: str
) -> None:
    assert refusal(audit(*arguments)) == message


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Anchorage"])
def test_days_and_times_are_those_of_the_gateway_whatever_the_database_presets(
    story: Story, tmp_path: Path, zone: str
) -> None:
    """`audit study --since` left out a study that `find --since` lists, and reports mixed two zones."""
    config = configuration(story.url, tmp_path)

    def told(*arguments: str) -> str:
        done = forked("--config", str(config), *arguments, TZ=zone)
        assert (done.err, done.code) == ("", 0)
        return done.out

    moments = [row["recorded_at"] for row in story.ask("select recorded_at from audit.event")]
    days = [moment.astimezone(ZoneInfo(zone)).date().isoformat() for moment in moments]
    assert {row["day"] for row in json.loads(told("audit", "daily_volume", "--json"))} == set(days)
    last = json.loads(told("audit", "event", "--since", max(days), "--json"))
    assert len(last) == days.count(max(days))
    ours = {moment.astimezone(ZoneInfo(zone)).isoformat() for moment in moments}
    requested = [row["requested"] for row in csv.DictReader(io.StringIO(told("report", "project", HEART, "--csv")))]
    assert requested
    assert set(requested) <= ours


@pytest.mark.parametrize("arguments", [("event", "--since", "yesterday"), ("event", "--limit", "0")])
def test_a_value_that_is_no_day_or_number_is_a_usage_error(audit: Audit, arguments: tuple[str, ...]) -> None:
    assert audit(*arguments).exit_code == 2


def test_a_value_is_never_read_as_sql(audit: Audit) -> None:
    assert data(audit("study", "--study", "' or true --", "--json")) == []


def test_a_ledger_that_is_not_set_up_says_what_to_run(empty_url: str, tmp_path: Path) -> None:
    assert "Run `fiona-ledger migrate` once" in refusal(audit_at(empty_url, tmp_path)())


# -- an auditor's role ---------------------------------------------------------------------------------


@pytest.fixture
def auditor_url(story: Story) -> Iterator[str]:
    """The address for a role that may read schema audit and nothing else."""
    role, password = f"auditor_{uuid4().hex}", uuid4().hex
    with psycopg.connect(story.url, autocommit=True) as connection:
        connection.execute(f"create role {role} login password '{password}'".encode())
        connection.execute(f"grant usage on schema audit to {role}".encode())
        connection.execute(f"grant select on all tables in schema audit to {role}".encode())
        parts = urlsplit(story.url)
        host = parts.netloc.rpartition("@")[2]
        yield parts._replace(netloc=f"{role}:{password}@{host}").geturl()
        connection.execute(f"drop owned by {role}".encode())
        connection.execute(f"drop role {role}".encode())


def test_an_auditor_who_may_read_only_the_views_sees_all_of_them(
    auditor_url: str, audit: Audit, tmp_path: Path
) -> None:
    as_auditor = audit_at(auditor_url, tmp_path)
    assert as_auditor("--json").stdout == audit("--json").stdout
    for view in VIEWS:
        assert data(as_auditor(view, "--json")) == data(audit(view, "--json"))


def test_an_auditor_without_rights_is_told_what_to_ask_for(auditor_url: str, story: Story, tmp_path: Path) -> None:
    role = str(urlsplit(auditor_url).username)
    with psycopg.connect(story.url, autocommit=True) as connection:
        connection.execute(f"revoke usage on schema audit from {role}".encode())
    assert "let the role of ledger.url read the schema audit" in refusal(audit_at(auditor_url, tmp_path)("study"))

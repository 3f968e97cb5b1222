"""`check`, as a monitor starts it."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import text

from ledger.database import Database
from tests.cli.conftest import Done, Site, start
from tests.processes import ROOT


def one_line(done: Done) -> str:
    assert done.err == ""
    assert done.out.count("\n") == 1
    assert "Traceback" not in done.out
    return done.out.strip()


def test_a_gateway_that_does_its_work_is_ok_with_numbers_to_draw(site: Site) -> None:
    site.command("run")
    done = site.command("check")
    assert done.code == 0
    assert re.fullmatch(
        r"FIONA-LEDGER OK - Site main: Last run that got through \d+ s ago\."
        r" \| silent=\d+s;;;0 attention=0;;;0 rows_waiting=0;;;0",
        one_line(done),
    )
    shown = (ROOT / "docs" / "health.md").read_text("utf-8").split("<!-- check -->\n```\n")[1].split("\n```")[0]
    assert re.sub(r"\d+", "#", shown) == re.sub(r"\d+", "#", one_line(done))


def test_what_needs_a_person_study_by_study_is_counted_and_no_alarm(site: Site) -> None:
    (site.raw / "1.2.3").mkdir()
    (site.raw / "1.2.3" / "1.2.3.4.json").write_text("{")
    site.config.write_text(site.config.read_text().replace("[source]\n", "[source]\nsettle_seconds = 0\n"))
    assert site.command("run").code == 1
    done = site.command("check")
    assert (done.code, "attention=1" in done.out) == (0, True)


def test_a_gateway_without_a_run_is_a_warning(site: Site) -> None:
    done = site.command("check")
    assert done.code == 1
    assert one_line(done).startswith("FIONA-LEDGER WARNING - Site main: No run has been started yet.")


def test_a_refused_token_is_critical_at_once(site: Site) -> None:
    site.command("run")
    site.shut_out()
    site.command("run")
    done = site.command("check")
    assert done.code == 2
    assert one_line(done).startswith("FIONA-LEDGER CRITICAL - Site main: `run` ended with an error: ")
    assert site.command("check", "--json").data["findings"][0]["kind"] == "refused"


def test_silence_is_critical_with_since_when(site: Site, database: Database) -> None:
    site.command("run")
    with database.begin() as connection:
        connection.execute(
            text("update gateway.run set started_at = now() - interval '31 hours', finished_at = started_at")
        )
        connection.execute(text("update gateway.run set finished_at = started_at"))
    done = site.command("check")
    assert done.code == 2
    assert re.search(r"No run has been started\. Since \d{4}-\d\d-\d\d \d\d:\d\d \(31 hours\)\.", one_line(done))


def test_a_missing_master_key_is_told_although_no_run_can_be_recorded(site: Site, key_file: Path) -> None:
    site.command("run")
    kept = key_file.rename(key_file.with_name("kept"))
    assert site.command("run").code == 2
    done = site.command("check")
    assert done.code == 2
    assert "Runs end before the ledger can tell of them: The master key" in one_line(done)
    shown = site.command("status")
    assert (shown.code, "Runs end before the ledger can tell of them" in shown.out) == (1, True)
    kept.rename(key_file)
    site.command("run")
    assert (site.command("check").code, site.command("status").code) == (0, 0)


def test_a_wrong_configuration_is_critical_and_shows_no_token(site: Site) -> None:
    token = site.simulator.projects["coupling"].token
    site.change("[redcap]\n", "[redcap]\nnonsense = 1\n")
    site.command("run")
    done = site.command("check")
    assert done.code == 2
    assert "redcap.nonsense: this key is unknown" in one_line(done)
    assert done.out.count("redcap.nonsense") == 1, "and not once more, by the run that could not be recorded"
    assert re.search(r"Since \d{4}-\d\d-\d\d", done.out)
    assert token not in done.out


def test_a_database_that_is_away_is_critical_and_shows_no_password(site: Site, database_url: str) -> None:
    site.change(database_url, "postgresql://fiona:geheim77@127.0.0.1:9/fiona")
    done = site.command("check")
    assert done.code == 2
    assert one_line(done).startswith("FIONA-LEDGER CRITICAL - PostgreSQL")
    assert "geheim77" not in done.out


def test_no_configuration_at_all_is_critical(tmp_path: Path) -> None:
    done = start("--config", str(tmp_path / "none.toml"), "check")
    assert done.code == 2
    assert one_line(done).startswith("FIONA-LEDGER CRITICAL - The configuration")


def test_a_ban_is_told_with_when_it_ends(site: Site, database: Database) -> None:
    site.command("run")
    with database.begin() as connection:
        connection.execute(text("update gateway.call_budget set paused_until = now() + interval '10 minutes'"))
    done = site.command("check")
    assert done.code == 2
    assert re.search(r"REDCap keeps this address out, and is not called\. Until \d{4}-", one_line(done))


@pytest.mark.parametrize("minutes", [7, -7])
def test_a_clock_that_differs_from_redcaps_by_minutes_is_a_warning(
    site: Site, database: Database, minutes: int
) -> None:
    site.command("run")
    with database.begin() as connection:
        connection.execute(
            text("""
                update gateway.run
                   set summary = jsonb_set(summary::jsonb, '{seconds_ahead}', cast(:ahead as jsonb))::json
            """),
            {"ahead": json.dumps({"REDCap": minutes * 60})},
        )
    done = site.command("check")
    side = "ahead of" if minutes > 0 else "behind"
    assert (done.code, f"clock is 7 minutes {side} that of REDCap" in one_line(done)) == (1, True)


def test_another_sites_trouble_and_files_are_its_own(site: Site, tmp_path: Path) -> None:
    """One site used to answer for another's files."""
    north = tmp_path / "north.toml"
    north.write_text(site.config.read_text().replace("[ledger]\n", '[ledger]\nsite = "north"\n'))
    site.command("run")
    (tmp_path / "raw north").mkdir()
    north.write_text(
        north.read_text().replace(f'raw = "{site.raw}"', f'raw = "{tmp_path / "raw north"}"\nsettle_seconds = 0')
    )
    (tmp_path / "raw north" / "1.2.3").mkdir()
    (tmp_path / "raw north" / "1.2.3" / "1.2.3.4.json").write_text("{")
    northern = Site(site.simulator, tmp_path / "raw north", north)
    assert northern.command("run", "--fresh").code == 1
    assert northern.command("status", "--json").data["kinds"] == {"rejected file": 1}
    northern.change("[redcap]\n", "[redcap]\nnonsense = 1\n")
    assert northern.command("run").code == 2
    assert northern.command("check").code == 2
    assert site.command("check").code == 0
    assert site.command("status", "--json").data["kinds"] == {}

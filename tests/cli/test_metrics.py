"""What a run leaves for Prometheus, and tells a service that waits for pings."""

import re
import time
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from ledger import lease
from ledger.database import Database
from processors.cli.bootstrap import Opened
from processors.cli.exit_codes import Terminated
from processors.cli.pings import pinged
from tests.cli.conftest import Site
from tests.processes import ROOT
from tests.redcap.web import Page, Web, web


@pytest.fixture
def file(site: Site, tmp_path: Path) -> Path:
    """The metrics file that the site's configuration names."""
    file = tmp_path / "fiona-ledger.prom"
    site.change("[redcap]\n", f'[health]\nmetrics_file = "{file}"\n[redcap]\n')
    return file


def numbers(file: Path) -> dict[tuple[str, str], float]:
    """The values by name and label; all of them carry the site."""
    found = {}
    for family in text_string_to_metric_families(file.read_text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("site") == "main"
            found[sample.name.removeprefix("fiona_ledger_"), "".join(labels.values())] = sample.value
    return found


def test_each_run_leaves_the_numbers_of_the_gateway(site: Site, file: Path) -> None:
    site.command("run", "--only", "incoming")
    told = numbers(file)
    assert told["health", ""] == 0
    assert abs(told["last_success_seconds", ""] - time.time()) < 60
    assert told["redcap_rows", "study"] == told["studies", ""] == told["studies_on_disk", ""] == 54
    assert told["redcap_rows", "series"] == 61
    assert told["head_position", ""] > 61
    assert told["redcap_calls", ""] > 0
    assert 0 < told["run_step_seconds", "Reading summaries"] < 60
    assert told["run_step_share_seconds", "PythonReading summaries"] > 0
    assert [path.name for path in file.parent.glob(f"{file.name}*")] == [file.name], "nothing of the writing is left"


def test_no_label_steers_a_terminal_or_turns_letters_around(site: Site, file: Path) -> None:
    row = {
        "record_id": "1",
        "project_name": "Teaching\x1b[31m\u202eX",
        "project_patient_naming": "T[0-9]{3}",
        "project_use_autoid": "1",
        "project_autoid_aetitle": "FIONA",
    }
    site.simulator.projects["projects"].put([row])
    site.command("run")
    assert ("ids_left", "Teaching\ufffd[31m\ufffdX") in numbers(file)
    assert file.read_text().replace("\n", "").isprintable()


@pytest.mark.parametrize("broken", ["", "unknown = 1\n"], ids=["whole", "that cannot be used"])
def test_numbers_never_take_the_place_of_what_the_program_lives_by(site: Site, file: Path, broken: str) -> None:
    site.change(str(file), str(site.config))
    site.change("[redcap]\n", f"{broken}[redcap]\n")
    before = site.config.read_text()
    done = site.command("run", "--only", "incoming", "--verbose")
    assert site.config.read_text() == before
    assert broken or "health.metrics_file" in done.out


def test_what_waits_and_is_wrong_is_counted_after_an_error_too(site: Site, file: Path) -> None:
    site.command("run", "--only", "incoming")
    site.shut_out()
    assert site.command("run", "--only", "incoming").code == 3
    told = numbers(file)
    assert (told["health", ""], told["findings", "refused"]) == (2, 1)


def test_runs_that_do_not_get_through_are_as_bad_in_the_files_they_write_as_for_a_monitor(
    site: Site, file: Path, database: Database
) -> None:
    """A run that fails used to count itself as one under way, which may take hours."""
    site.change("[health]\n", f'[health]\npage = "{file.parent}"\n')
    site.command("run", "--only", "incoming")
    assert "is under way" not in (file.parent / "index.html").read_text()
    with database.begin() as connection:
        hour_ago = "started_at = started_at - interval '1 hour', finished_at = finished_at - interval '1 hour'"
        connection.execute(text(f"update gateway.run set {hour_ago}"))
    site.shut_out()
    assert site.command("run", "--only", "incoming").code == 3
    silent = "Runs are started and none gets through."
    told = {finding["words"]: finding["severity"] for finding in site.command("check", "--json").data["findings"]}
    assert told[silent] == "critical"
    assert (numbers(file)["health", ""], numbers(file)["findings", "silent"]) == (2, 1)
    assert silent in (file.parent / "index.html").read_text()


def test_a_run_that_ends_before_it_is_recorded_is_told_in_the_files_as_by_a_monitor(
    site: Site, file: Path, key_file: Path
) -> None:
    """They went on telling that all is well."""
    site.change("[health]\n", f'[health]\npage = "{file.parent}"\n')
    site.command("run", "--only", "incoming")
    key_file.rename(key_file.with_name("kept"))
    assert site.command("run", "--only", "incoming").code == 2
    told = site.command("check", "--json").data["findings"]
    assert [(finding["kind"], finding["severity"]) for finding in told] == [("not recorded", "critical")]
    assert (numbers(file)["health", ""], numbers(file)["findings", "not recorded"]) == (2, 1)
    assert numbers(file)["studies", ""] == 54
    assert told[0]["words"] in unescape((file.parent / "index.html").read_text())
    key_file.with_name("kept").rename(key_file)
    assert site.command("run", "--only", "incoming").code == 0
    assert numbers(file)["health", ""] == 0
    assert "The gateway does its work." in (file.parent / "index.html").read_text()


def test_where_the_ledger_cannot_be_asked_the_files_tell_that(site: Site, file: Path, database_url: str) -> None:
    site.change("[health]\n", f'[health]\npage = "{file.parent}"\n')
    site.command("run", "--only", "incoming")
    site.change(database_url, "postgresql://fiona:geheim77@127.0.0.1:9/fiona")
    assert site.command("run", "--only", "incoming").code == 3
    assert (numbers(file)["health", ""], numbers(file)["findings", "unreachable"]) == (2, 1)
    page = (file.parent / "index.html").read_text()
    assert "Critical: the gateway is not well." in page
    assert "PostgreSQL" in page
    assert "geheim77" not in page + file.read_text()


spoilt = pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"[redcap]", b"[redcap]\nnonsense = 1", "redcap.nonsense: this key is unknown"),
        (b"[health]", b"[health]\nsilent_minutes = -1", "health.silent_minutes: "),
        (b"[ledger]", b"[ledger]\nidle_minutes = true", "ledger.idle_minutes: "),
        (b"[redcap]", b"[redcap]\nrubbish", "is not valid TOML"),
        (b"[health]", b"rubbish\n[health]\nrubbish", "is not valid TOML"),
        (b"[redcap]", b"# \xff\n[redcap]", "expected UTF-8, found other bytes in line "),
        (b"[health]", b"[health]\nrubbish", "is not valid TOML"),
        (b"[health]", b"[health", "is not valid TOML"),
        (b"[health]", b"health]  # who is told", "is not valid TOML"),
        (b"[ledger]", "# \u201cquoted\u201d\n[ledger]\nsite = \u201cmain\u201d".encode(), "is not valid TOML"),
    ],
)


def spoil(site: Site, old: bytes, new: bytes) -> None:
    site.config.write_bytes(site.config.read_bytes().replace(old, new, 1))


@spoilt
def test_where_the_configuration_cannot_be_used_the_files_tell_that(
    site: Site, file: Path, old: bytes, new: bytes, told: str
) -> None:
    site.change("[health]\n", f'[health]\npage = "{file.parent}"\n')
    site.command("run", "--only", "incoming")
    spoil(site, old, new)
    assert site.command("run", "--only", "incoming").code == 2
    assert (numbers(file)["health", ""], numbers(file)["findings", "unreachable"]) == (2, 1)
    page = (file.parent / "index.html").read_text()
    assert "Critical: the gateway is not well." in page
    assert told in unescape(page)


@pytest.mark.parametrize(("key", "name"), [("metrics_file", "token"), ("page", "folder")])
def test_a_configuration_that_cannot_be_used_has_nothing_written_over(
    site: Site, tmp_path: Path, key: str, name: str
) -> None:
    """Numbers took the place of a token, and a page stood among the summaries."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "token").write_text("a" * 32)
    site.change("[redcap]\n", f'[health]\n{key} = "{tmp_path / name}"\n[redcap]\nrubbish\n')
    assert site.command("run", "--only", "incoming").code == 2
    assert (tmp_path / "token").read_text() == "a" * 32
    assert list(folder.iterdir()) == []


@spoilt
def test_a_service_is_told_of_a_configuration_that_cannot_be_used(
    site: Site, old: bytes, new: bytes, told: str
) -> None:
    with web(Page(body=b"OK")) as server:
        server.pages |= {"/ping/2": [Page(body=b"OK")]}
        pinged_by(site, server)
        spoil(site, old, new)
        done = site.command("run", "--only", "incoming")
        assert (done.code, told in done.err) == (2, True)
        assert [seen.path for seen in server.seen] == ["/ping/2"]


def test_a_file_that_cannot_be_written_is_a_warning_and_no_more(site: Site, file: Path) -> None:
    file.mkdir()
    done = site.command("run", "--only", "incoming")
    assert done.code == 0
    assert f"health.metrics_file: {file} cannot be written: Is a directory." in done.out


def test_alerts_and_board_ask_for_numbers_that_there_are(site: Site, file: Path) -> None:
    site.command("run", "--only", "incoming")
    asked = "".join((ROOT / "deploy" / name).read_text() for name in ("alerts.yml", "grafana.json"))
    names = set(re.findall(r"fiona_ledger_\w+", asked))
    assert len(names) > 6
    assert names <= set(re.findall(r"^# TYPE (\w+) gauge$", file.read_text(), re.MULTILINE))


def pinged_by(site: Site, server: Web, path: str = "/ping/") -> None:
    site.change("[redcap]\n", f'[health]\nping_url = "{server.url.removesuffix("/api/")}{path}"\n[redcap]\n')


def test_a_service_is_told_that_a_run_starts_and_how_it_ends(site: Site, database: Database) -> None:
    with web(Page(body=b"OK")) as server:
        server.pages |= {path: [Page(body=b"OK")] for path in ("/ping/start", "/ping", "/ping/3")}
        pinged_by(site, server)
        site.command("run", "--only", "incoming")
        assert [seen.path for seen in server.seen] == ["/ping/start", "/ping"]
        with lease.held(database, "run", "main"):
            site.command("run")
        assert len(server.seen) == 2, "a run beside another one is none"
        site.shut_out()
        site.command("run", "--only", "incoming")
        assert [seen.path for seen in server.seen][2:] == ["/ping/start", "/ping/3"]
        site.let_in()


@pytest.mark.parametrize("stopped", [Terminated, KeyboardInterrupt])
def test_a_run_that_was_stopped_in_order_is_told_neither_to_have_failed_nor_to_have_got_through(
    site: Site, stopped: type[BaseException]
) -> None:
    def stopped_run() -> None:
        with closing(Opened(site.config)) as opened, pinged(opened.config, lambda: opened.configuration) as pings:
            pings.start()
            raise stopped

    with web(Page(body=b"OK")) as server:
        server.pages |= {"/ping/start": [Page(body=b"OK")]}
        pinged_by(site, server)
        with pytest.raises(stopped):
            stopped_run()
        assert [seen.path for seen in server.seen] == ["/ping/start"]


def test_a_service_that_is_away_is_no_reason_for_anything(site: Site) -> None:
    site.change("[redcap]\n", '[health]\nping_url = "http://127.0.0.1:9/secret-7f3a/"\n[redcap]\n')
    done = site.command("run", "--only", "incoming")
    assert (done.code, done.err) == (0, "")
    assert "secret-7f3a" not in done.out


def test_an_address_that_is_none_is_refused_and_not_shown(site: Site) -> None:
    site.change("[redcap]\n", '[health]\nping_url = "ftp://secret-7f3a/"\n[redcap]\n')
    done = site.command("run")
    assert done.code == 2
    assert "health.ping_url" in done.err
    assert "secret-7f3a" not in done.err

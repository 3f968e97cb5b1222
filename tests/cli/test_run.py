import json
import os
import re
import socket
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from ledger import lease
from ledger.database import Database
from ledger.errors import Conflict, Corrupt, KeyProblem, Unreachable
from processors.cli.exit_codes import Terminated, ending, exit_codes
from processors.demo.simulator import Fault
from processors.demo.simulator.calls import Call
from processors.errors import ConfigurationError, Refused
from processors.gateway import Gateway
from processors.run import Report, recorded_run
from tests.cli.conftest import Done, Site, start
from tests.ledger.test_presets import preset
from tests.verification.witness import KEY


def half_written(site: Site) -> Path:
    folder = site.raw / "1.2.3"
    folder.mkdir()
    file = folder / "1.2.3.4.json"
    file.write_text('{"StudyInst')
    for path in (file, folder):
        os.utime(path, (time.time() - 300, time.time() - 300))
    return file


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: \[fiona-ledger\] "


def in_one_sentence(done: Done) -> bool:
    """No traceback, and on standard error nothing but lines that name the program, and when it was where cron reads."""
    lines = done.err.splitlines()
    stamped = all(re.match(rf"{STAMP}|fiona-ledger: |  ", line) for line in lines)
    return bool(lines) and stamped and "Traceback" not in done.err + done.out


def test_a_run_brings_the_real_summaries_to_redcap(site: Site) -> None:
    done = site.command("run", "--only", "incoming")
    assert (done.code, done.err) == (0, "")
    rows = site.simulator.projects["incoming"].rows()
    assert sum(row["redcap_repeat_instrument"] == "" for row in rows) == 54
    assert sum(row["redcap_repeat_instrument"] == "series" for row in rows) == 61


def test_timing_tells_where_the_time_of_each_step_went(site: Site) -> None:
    done = site.command("run", "--timing", "--verbose", "--only", "incoming")
    assert (done.code, done.err) == (0, "")
    for words in ("step", "REDCap", "disk", "PostgreSQL", "Python"):
        assert words in done.out
    assert re.search(r"Writing to REDCap +\d+\.\d\d s +\d+%", done.out)
    assert site.command("run", "--timing", "--dry-run").code == 2


def test_json_tells_the_same_to_a_program(site: Site) -> None:
    report = site.command("run", "--json", "--timing").data
    assert report["step_shares"].keys() == report["step_seconds"].keys()
    for step, shares in report["step_shares"].items():
        assert abs(sum(shares.values()) - report["step_seconds"][step]) < 0.1
    assert report["step_shares"]["Writing to REDCap"]["REDCap"] > 0
    assert report["step_shares"]["Reading summaries"]["PostgreSQL"] > 0
    assert report["discovery"]["discovered"] == 61
    assert report["delivered"]["series"] == 61
    assert report["needs_attention"] is False


def test_a_witness_that_gives_nothing_stops_no_run_and_health_tells_of_it(site: Site, tmp_path: Path) -> None:
    proofs = tmp_path / "proofs"
    witness = f'[[proof.witnesses]]\nkey = "{KEY.as_line()}"\ncommand = ["false"]\n'
    site.config.write_text(site.config.read_text() + f'[proof]\nfolder = "{proofs}"\n{witness}')
    done = site.command("run", "--only", "incoming")
    assert (done.code, done.err) == (0, "")
    assert len(list(proofs.glob("*.checkpoint"))) == 1
    (found,) = site.command("status", "--json").data["health"]["findings"]
    assert (found["kind"], found["severity"]) == ("witness", "ok")
    assert "witness.example/w1 its command ended with 1" in found["words"]


@pytest.mark.parametrize("damage", [b"", b"\xff\x00", b"fiona-ledger/x\n3\nAAAA\n\n"])
def test_a_damaged_checkpoint_ends_no_run_and_is_put_aside(site: Site, tmp_path: Path, damage: bytes) -> None:
    """Every run ended with 2, and `check` was critical."""
    proofs = tmp_path / "proofs"
    witness = f'[[proof.witnesses]]\nkey = "{KEY.as_line()}"\ncommand = ["false"]\n'
    site.config.write_text(site.config.read_text() + f'[proof]\nfolder = "{proofs}"\n{witness}')
    site.command("run", "--only", "incoming")
    (kept,) = proofs.glob("*.checkpoint")
    kept.write_bytes(damage)
    done = site.command("run", "--only", "incoming")
    assert (done.code, f"{kept.name}.damaged" in " ".join(done.out.split())) == (0, True)
    assert (proofs / f"{kept.name}.damaged").read_bytes() == damage
    assert site.command("verify", "--kept").code == 0
    assert "damaged" not in site.command("run", "--only", "incoming").out


def test_a_file_in_the_place_of_the_proofs_folder_ends_no_run(site: Site, tmp_path: Path) -> None:
    proofs = tmp_path / "proofs"
    proofs.write_text("x")
    witness = f'[[proof.witnesses]]\nkey = "{KEY.as_line()}"\ncommand = ["false"]\n'
    site.config.write_text(site.config.read_text() + f'[proof]\nfolder = "{proofs}"\n{witness}')
    done = site.command("run", "--only", "incoming")
    assert (done.code, "is no folder that can be used" in " ".join(done.out.split())) == (0, True)
    assert site.command("check").code == 0


def test_something_that_needs_a_person_ends_with_1_and_status_says_what(site: Site) -> None:
    half_written(site)
    assert site.command("run").code == 1
    status = site.command("status")
    assert status.code == 1
    assert "1.2.3/1.2.3.4.json" in status.out
    listed = site.command("status", "--json").data["attention"]
    assert [row["kind"] for row in listed] == ["rejected file"]


def test_what_was_mended_is_no_longer_listed(site: Site) -> None:
    file = half_written(site)
    site.command("run")
    file.unlink()
    assert site.command("run").code == 0
    assert "Nothing needs a person." in site.command("status").out


def test_an_idle_run_says_so_in_numbers_and_makes_few_calls(site: Site) -> None:
    # A list that is empty costs one call more: whether it is the list is then seen from its dictionary.
    coupling_entry(site, "no study's")
    site.simulator.projects["projects"].put([{"record_id": "1", "project_name": "TEACHING", "project_use_autoid": "0"}])
    site.command("run")
    # Its poll is the first to read rows of Incoming: their missing data codes are asked for then, and once an hour.
    site.command("run")
    before = len(site.simulator.calls)
    report = site.command("run", "--json").data
    assert len(site.simulator.calls) - before == report["calls"] <= 5
    assert report["events"] == 0


def test_a_second_run_at_once_says_so_and_ends_with_0(site: Site, database: Database) -> None:
    with lease.held(database, "run", "main"):
        done = site.command("run")
    assert done.code == 0
    assert "A run for site 'main' is under way (since 2" in done.out
    assert f", process {os.getpid()} on {socket.gethostname()}). This one has nothing to do." in done.out
    assert site.simulator.calls == []


def test_a_run_whose_lock_another_one_has_taken_over_stops_before_it_writes(site: Site, database: Database) -> None:
    """Ended by the server in the middle of a run, a session's lock was lost, and two runs wrote beside each other."""

    def take_over(_call: Call) -> None:
        site.simulator.before_call = None
        of_another_machine(database, "holder = gen_random_uuid()")

    site.simulator.before_call = take_over
    done = site.command("run")
    assert done.code == 3
    assert "This command has lost its lock on the ledger" in done.err
    assert [call.action for call in site.simulator.calls if call.action == "import"] == []
    before = len(site.simulator.calls)
    busy = site.command("run")
    assert (busy.code, "A run for site 'main' is under way (since " in busy.out) == (0, True)
    assert "process 1 on elsewhere). This one has nothing to do." in busy.out
    assert "process 1 on elsewhere" in site.command("status").out
    assert site.command("status", "--json").data["under_way"]["host"] == "elsewhere"
    assert len(site.simulator.calls) == before
    of_another_machine(database, "renewed_at = renewed_at - interval '2 minutes'")
    assert site.command("run", "--json").data["delivered"]["studies"] == 54
    assert site.command("status", "--json").data["under_way"] is None


def of_another_machine(database: Database, assignment: str) -> None:
    with database.begin() as connection:
        connection.execute(
            text(f"update ledger.lease set host = 'elsewhere', process = 1, known_by = '', {assignment}")
        )


def test_what_the_database_and_the_environment_preset_changes_nothing(site: Site, database: Database) -> None:
    preset(database)
    variables = {
        "PGHOST": "nowhere.invalid",
        "PGPORT": "1",
        "PGSERVICE": "nonesuch",
        "PGOPTIONS": "-c search_path=nowhere -c statement_timeout=1",
        "PGSSLMODE": "verify-full",
        "PGDATESTYLE": "German",
        "PGTZ": "Pacific/Apia",
    }
    done = site.process("run", "--json", **variables)
    assert (done.code, done.err) == (0, "")
    assert done.data["delivered"]["studies"] == 54
    assert site.process("verify", "--projections", **variables).code == 0
    assert site.process("status", **variables).code == 0


def test_a_ledger_that_was_restored_beside_newer_tables_is_refused_until_they_are_derived_anew(
    site: Site, database: Database
) -> None:
    site.command("run")
    with database.begin() as connection:
        for statement in OLDER_COPY:
            connection.execute(text(statement))
    refused = site.command("run")
    assert (refused.code, "an older copy of it was restored beside them" in refused.err) == (2, True)
    assert site.command("rebuild").code == 0
    lost = site.command("run", "--fresh")
    assert (lost.code, "adopt --after-restore" in lost.err) == (4, True), "what the lost events did is not done again"
    site.command("adopt", "--after-restore", "--yes")
    with database.begin() as connection:
        types = connection.execute(text("select type, count(*) from ledger.event group by 1"))
        assert {"SeriesDiscovered": 61, "StudyAdopted": 54, "LedgerAccepted": 1}.items() <= dict(
            map(tuple, types)
        ).items()


OLDER_COPY = (
    "alter table ledger.event disable trigger all",
    "alter table ledger.head disable trigger all",
    "delete from ledger.event",
    "update ledger.head set position = 0, hash = decode(repeat('00', 32), 'hex')",
    "update ledger.projection set checkpoint = 0",
    "alter table ledger.event enable always trigger append_only, enable always trigger never_emptied",
    "alter table ledger.head enable always trigger never_deleted, enable always trigger never_back",
)


def test_the_names_of_old_do_the_two_halves(site: Site) -> None:
    site.simulator.projects["projects"].put(
        [
            {
                "record_id": "1",
                "project_name": "TEACHING",
                "project_patient_naming": "T[0-9]{3}",
                "project_use_autoid": "1",
                "project_autoid_aetitle": "FIONA",
            }
        ]
    )
    assert site.process(main="populate_incoming").code == 0
    assert site.simulator.projects["autoid"].rows() == []
    done = site.process(main="populate_autoid")
    assert "no PatientID" not in done.out
    assert done.code == 1, "studies without a PatientID are held"
    values = [row["autoid_value"] for row in site.simulator.projects["autoid"].rows()]
    assert len(set(values)) == len(values) > 0


def test_redcap_being_down_ends_with_3_and_a_sentence(site: Site) -> None:
    site.change(site.simulator.url, "http://127.0.0.1:9/api/")
    done = site.command("run", "--only", "incoming")
    assert done.code == 3
    assert in_one_sentence(done)
    site.change("http://127.0.0.1:9/api/", site.simulator.url)
    assert site.command("run").code == 0


def endings(database: Database) -> list[tuple[int, str | None]]:
    """What the ledger keeps of the runs: with what each ended, and the error that ended it."""
    with database.begin() as connection:
        rows = connection.execute(text("select exit_code, summary ->> 'error' from gateway.run order by started_at"))
        return [tuple(row) for row in rows]


def test_a_run_that_ends_with_an_error_tells_what_it_did_before(site: Site, database: Database) -> None:
    # A first run would end before anything: whether REDCap holds records already, it could not ask.
    site.command("run", "--only", "autoid")
    site.shut_out()
    done = site.command("run")
    assert "61 discovered" in done.out
    assert "It did not get to its end. Until then, 61 events were recorded" in done.out
    _, (code, error) = endings(database)
    assert code == done.code
    assert re.fullmatch(f"{STAMP}{re.escape(error or '')}\n", done.err)


def test_a_run_that_ends_with_an_error_tells_a_program_too(site: Site) -> None:
    assert site.command("run", "--only", "incoming", "--json").data["error"] is None
    site.shut_out()
    done = site.command("run", "--json")
    assert done.code == 3
    assert done.data["discovery"]["folders"] == 54
    assert done.err == f"fiona-ledger: {done.data['error']}\n"


def test_the_ledger_keeps_the_code_that_the_command_ended_with(site: Site, database: Database) -> None:
    # All errors used to be kept as 3.
    token = site.simulator.projects["coupling"].token
    site.change(f'"{token}"', '{ file = "/nowhere/token" }')
    assert site.command("run").code == 2
    site.change('{ file = "/nowhere/token" }', f'"{token}"')
    half_written(site)
    assert site.command("run").code == 1
    site.change(str(site.raw), str(site.raw / "elsewhere"))
    assert site.command("run").code == 2
    assert [code for code, _ in endings(database)] == [2, 1, 2]


ERRORS: list[tuple[BaseException, int]] = [
    (ConfigurationError("x"), 2),
    (KeyProblem("x"), 2),
    (Refused("x"), 3),
    (Unreachable("x"), 3),
    (Conflict("x"), 3),
    (Corrupt("x"), 4),
    (ValueError("secret"), 70),
    (KeyboardInterrupt(), 130),
    (Terminated(), 143),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_every_error_has_its_code_and_an_unforeseen_one_keeps_its_words_to_itself(
    error: BaseException, code: int
) -> None:
    found = ending(error)
    assert found.code == code
    assert "secret" not in found.message


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_what_is_true_by_then_is_said_whatever_the_error(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def decide() -> None:
        with exit_codes() as afterwords:
            afterwords.append("It is recorded.")
            raise error

    with pytest.raises(SystemExit) as ended:
        decide()
    assert ended.value.code == code
    assert capsys.readouterr().err == f"fiona-ledger: {ending(error).message} It is recorded.\n"


def test_an_unforeseen_error_is_recorded_as_one(gateway: Gateway, database: Database) -> None:
    report = Report()
    with pytest.raises(ZeroDivisionError), recorded_run(gateway, "run", report, ending=ending):
        raise ZeroDivisionError
    ((code, error),) = endings(database)
    assert code == 70
    assert error is not None
    assert error.startswith("An error that nobody foresaw: ZeroDivisionError at ")


def coupling_entry(site: Site, accession: str) -> None:
    """The one entry of the coupling list."""
    entry = {"cl_accessionnumber": accession, "cl_projectname": "CAROTID", "cl_subjectid": "CAR_017"}
    site.simulator.projects["coupling"].put([{"record_id": "1", **entry}])


def test_withdrawn_requests_are_told(site: Site) -> None:
    coupling_entry(site, "428")
    assert re.search(
        rf"^{STAMP}Decisions: .* 1 transfers requested, 0 withdrawn", site.command("run").out, re.MULTILINE
    )
    coupling_entry(site, "no study's")
    done = site.command("run")
    assert "0 transfers requested, 1 withdrawn" in done.out
    assert "0 transfers written, 1 withdrawn" in done.out


def test_a_wrong_token_ends_with_3_and_is_not_shown(site: Site) -> None:
    token = site.simulator.projects["coupling"].token
    wrong = "0123456789ABCDEF" * 2
    site.change(token, wrong)
    done = site.command("run")
    assert done.code == 3
    assert in_one_sentence(done)
    assert "coupling" in done.err
    assert wrong not in done.err + done.out


def test_a_fault_in_the_middle_is_made_good_by_the_next_run(site: Site) -> None:
    site.simulator.inject(Fault(kind="reset", project="incoming", action="import", after_commit=True))
    assert site.command("run").code == 3
    assert site.command("run").code == 0
    rows = site.simulator.projects["incoming"].rows()
    assert len(rows) == 54 + 61


def test_postgresql_being_down_ends_with_3_and_shows_no_password(site: Site, database_url: str) -> None:
    site.change(database_url, "postgresql://fiona:geheim77@127.0.0.1:9/fiona")
    done = site.command("run")
    assert done.code == 3
    assert in_one_sentence(done)
    assert "geheim77" not in done.err + done.out


def test_a_ledger_without_tables_is_not_set_up_by_a_run(site: Site, database_url: str, empty_url: str) -> None:
    site.change(database_url, empty_url)
    done = site.command("run")
    assert done.code == 2
    assert "fiona-ledger migrate" in done.err
    with psycopg.connect(empty_url) as connection:
        schemas = connection.execute("select count(*) from pg_namespace where nspname = 'ledger'").fetchone()
    assert schemas == (0,)


def test_migrate_sets_up_a_ledger_once_and_makes_a_private_key(
    site: Site, database_url: str, empty_url: str, key_file: Path
) -> None:
    site.change(database_url, empty_url)
    key_file.unlink()
    assert site.command("migrate", "--json").data == {"migrated": True, "key_file_made": True}
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert site.command("migrate", "--json").data == {"migrated": False, "key_file_made": False}
    assert site.command("run", "--only", "incoming").code == 0


def test_a_lost_key_is_reported_and_never_made_anew(site: Site, key_file: Path) -> None:
    assert site.command("run").code == 0
    key_file.unlink()
    for command in ("run", "migrate"):
        done = site.command(command)
        assert done.code == 2
        assert in_one_sentence(done)
        assert not key_file.exists()


def test_tables_emptied_by_hand_stop_the_run_and_a_rebuild_mends_them(site: Site, database: Database) -> None:
    assert site.command("run", "--only", "incoming").code == 0
    with database.begin() as connection:
        connection.execute(text("delete from gateway.series"))
    for command in ("run", "status"):
        done = site.command(command)
        assert done.code == 2
        assert "fiona-ledger rebuild" in done.err
    assert site.command("rebuild").code == 0
    assert site.command("run", "--only", "incoming").code == 0


def test_what_redcap_lacks_is_left_out_and_told(site: Site) -> None:
    site.simulator.projects["incoming"].remove_field("study_arrival_date")
    done = site.command("run", "--only", "incoming")
    assert done.code == 0
    assert "study_arrival_date" in done.out
    assert "study_arrival_date" not in site.command("run", "--only", "incoming").out


def test_auto_id_with_half_of_its_tokens_is_a_configuration_error(site: Site) -> None:
    token = site.simulator.projects["projects"].token
    site.change(f'projects = "{token}"\n', "")
    assert site.command("run", "--only", "incoming").code == 0
    done = site.command("run")
    assert done.code == 2
    assert in_one_sentence(done)


def test_what_needs_no_key_works_without_it(site: Site, key_file: Path) -> None:
    assert site.command("run", "--only", "incoming").code == 0
    key_file.unlink()
    assert site.command("status").code == 0
    assert site.command("verify", "--without-keys").code == 0
    assert len(site.command("export").out.splitlines()) > 61


def test_a_folder_that_is_not_there_is_a_configuration_error(site: Site) -> None:
    site.change(str(site.raw), str(site.raw / "elsewhere"))
    done = site.command("run")
    assert done.code == 2
    assert in_one_sentence(done)


def test_no_configuration_is_a_usage_error(tmp_path: Path) -> None:
    done = start("--config", str(tmp_path / "none.toml"), "run")
    assert done.code == 2
    assert in_one_sentence(done)


def test_help_works_with_an_empty_environment() -> None:
    done = start("--help")
    assert done.code == 0
    assert "acknowledge" in done.out


def test_acknowledging_takes_a_notice_off_the_list_and_keeps_the_reason(site: Site, database: Database) -> None:
    site.simulator.projects["routing"].put(
        [
            {
                "record_id": "1",
                "routing_active": "1",
                "routing_dest_project": "1",
                "routing_incoming_aetitle": "FIONA",
                "routing_allowed_patientid": "PANCREAS",
            }
        ]
    )
    assert site.command("run").code == 1
    (notice,) = site.command("status", "--json").data["attention"]
    done = site.command("acknowledge", str(notice["position"]), "--reason", "right patient, checked")
    assert done.code == 0
    assert site.command("status").code == 0
    with database.begin() as connection:
        kept = connection.execute(text("select data ->> 'reason' from ledger.event where type = 'Acknowledged'"))
        assert kept.scalars().all() == ["right patient, checked"]


def test_acknowledging_what_is_no_notice_says_so(site: Site) -> None:
    site.command("run")
    done = site.command("acknowledge", "1", "--reason", "x")
    assert done.code == 2
    assert in_one_sentence(done)


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[2Jnothing to see", "\u2028", " "])
def test_a_reason_that_a_terminal_would_act_upon_is_refused(site: Site, reason: str) -> None:
    done = site.command("acknowledge", "1", "--reason", reason)
    assert done.code == 2
    assert "--reason: expected" in done.err


def late_series(site: Site, study: str, series: str) -> None:
    """One more series of a study, like its first."""
    folder = site.raw / study
    first = next(folder.glob("*.json"))
    document = json.loads(first.read_bytes()) | {"SeriesInstanceUID": series}
    file = folder / f"{series}.json"
    file.write_text(json.dumps(document))
    for path in (file, folder):
        os.utime(path, (time.time() - 300, time.time() - 300))


def test_a_record_deleted_on_purpose_is_acknowledged_and_stays_away(site: Site) -> None:
    study = "1.2.999.999.99.9.9999.8888"
    site.command("run", "--only", "incoming")
    site.simulator.projects["incoming"].delete(study)
    late_series(site, study, "1.2.3.4")
    assert site.command("run", "--only", "incoming").code == 1
    (missing,) = site.command("status", "--json").data["attention"]
    assert (missing["kind"], missing["study"]) == ("row deleted or changed in REDCap", study)
    assert site.command("acknowledge", str(missing["position"]), "--reason", "withdrew consent").code == 0
    assert site.command("run", "--only", "incoming").code == 0
    assert study not in {row["study_instance_uid"] for row in site.simulator.projects["incoming"].rows()}


def test_no_name_id_or_token_of_the_real_summaries_is_ever_printed(site: Site) -> None:
    half_written(site)
    printed = [
        site.command(*arguments) for arguments in (("run",), ("run", "--json"), ("status",), ("status", "--json"))
    ]
    text_ = "".join(done.out + done.err for done in printed)
    for secret in ("Sssssss^Jsssss", "021234567", "CQ500-CT-310", "Lestrade", "98890234", "山田", "Люкceмбypг"):
        assert secret not in text_
    for project in site.simulator.projects.values():
        assert project.token not in text_


def test_words_that_wait_for_a_record_that_an_export_lacks_are_told_of(site: Site) -> None:
    coupling = site.simulator.projects["coupling"]
    site.command("run", "--only", "incoming")
    study = site.simulator.projects["incoming"].rows()[0]["study_instance_uid"]
    words = {"cl_studyinstanceuid": study, "cl_projectname": "Heart Study", "cl_subjectid": "SUBJ-0001"}
    coupling.put([{"record_id": "1", **words}])
    site.command("run", "--only", "incoming")
    coupling.put([{"record_id": "2", **words}])
    site.simulator.inject(Fault(kind="missing_record", project="incoming", action="export", times=None))
    done = site.command("run", "--only", "incoming")
    assert "1 study is missing from REDCap's export" in done.out + done.err
    assert "SUBJ-0001" not in done.out + done.err

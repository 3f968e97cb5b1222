"""Moving in, as an operator does: the first run refuses until it is told what REDCap's records are."""

from sqlalchemy import text

from ledger import lease
from ledger.database import Database
from tests.cli.conftest import Done, Site

STUDY = "1.2.840.99"


def an_old_record(site: Site) -> None:
    site.simulator.projects["incoming"].put([{"study_instance_uid": STUDY, "study_description": "by the scripts"}])


def events(database: Database, type_: str) -> list[dict[str, object]]:
    with database.begin() as connection:
        rows = connection.execute(text("select data from ledger.event where type = :type"), {"type": type_})
        return list(rows.scalars())


def refused(done: Done) -> bool:
    words = ("holds", "fiona-ledger adopt", "run --fresh", "found 1 records")
    return done.code == 2 and "Traceback" not in done.err and all(word in done.err for word in words[1:])


def test_a_shadow_prints_what_differs_once_it_has_lasted(site: Site, database: Database) -> None:
    site.simulator.projects["routing"].put(
        [
            {
                "record_id": "1",
                "routing_active": "1",
                "routing_dest_project": "2",
                "routing_incoming_aetitle": "FIONA",
                "routing_allowed_patientid": "SCSARAB",
            }
        ]
    )
    assert "differ, for less than ten minutes" in site.command("shadow").out
    with database.begin() as connection:
        connection.execute(text("update gateway.shadow_difference set since = since - interval '11 minutes'"))
    done = site.command("shadow")
    assert done.code == 1
    assert "routing rule 1" in done.out
    assert "Beta, again" in done.out
    assert "SCSARAB" not in done.out
    study = next(line.split()[0] for line in done.out.splitlines() if "routing rule 1" in line)
    assert f"{study} " in done.out
    assert len(site.simulator.projects["incoming"].records) == 0


def test_a_first_run_on_what_others_have_filled_refuses_and_says_what_to_do(site: Site, database: Database) -> None:
    an_old_record(site)
    for done in (
        site.command("run"),
        site.process(main="populate_incoming"),
        site.process(main="populate_autoid"),
    ):
        assert refused(done), done.err
    assert events(database, "SeriesDiscovered") == []
    assert len(site.simulator.projects["incoming"].records) == 1


def test_on_an_empty_redcap_it_starts_and_never_asks_again(site: Site, database: Database) -> None:
    assert site.command("run", "--only", "autoid").code == 0
    ((started),) = events(database, "StartedFresh")
    assert started["records"] == 0
    an_old_record(site)
    assert site.command("run", "--only", "incoming").code == 0
    calls = [call for call in site.simulator.calls if call.fields == ("study_instance_uid",)]
    assert len(calls) == 1


def test_fresh_is_recorded_with_who_said_so_and_asked_for_once(site: Site, database: Database) -> None:
    an_old_record(site)
    assert site.command("run", "--fresh", "--only", "incoming").code == 0
    (started,) = events(database, "StartedFresh")
    assert (started["records"], bool(started["by"])) == (1, True)
    assert site.command("run", "--only", "incoming").code == 0
    assert site.command("run", "--fresh", "--only", "incoming").code == 0
    assert len(events(database, "StartedFresh")) == 1


def test_after_an_adoption_it_runs(site: Site, database: Database) -> None:
    an_old_record(site)
    done = site.command("adopt")
    assert (done.code, done.err) == (0, "")
    assert "Adopted 1 studies" in done.out
    assert site.command("run", "--only", "incoming").code == 0
    assert events(database, "StartedFresh") == []


def test_after_an_adoption_that_did_not_end_it_says_to_go_on(site: Site) -> None:
    an_old_record(site)
    token = site.simulator.projects["autoid"].token
    site.change(f'autoid = "{token}"', 'autoid = "0123456789ABCDEF0123456789ABCDEF"')
    interrupted = site.command("adopt")
    assert interrupted.code == 3
    assert "Traceback" not in interrupted.err
    assert "goes on where it was" in site.command("run").err
    site.change('autoid = "0123456789ABCDEF0123456789ABCDEF"', f'autoid = "{token}"')
    assert site.command("adopt").code == 0
    assert site.command("run", "--only", "incoming").code == 0


def test_a_ledger_that_has_delivered_before_there_was_a_guard_is_not_asked(site: Site, database: Database) -> None:
    site.command("run", "--only", "incoming")
    with database.begin() as connection:
        connection.execute(text("delete from gateway.moved_in"))
    before = len(site.simulator.calls)
    assert site.command("run", "--only", "incoming").code == 0
    asked = site.simulator.calls[before:]
    assert [call for call in asked if call.fields == ("study_instance_uid",)] == []


def test_status_and_audit_do_not_care(site: Site) -> None:
    an_old_record(site)
    assert [each["kind"] for each in site.command("status", "--json").data["health"]["findings"]] == ["silent"]
    assert site.command("audit", "run").code == 0


def test_adoption_tells_a_program_what_it_recorded(site: Site) -> None:
    an_old_record(site)
    adopted = site.command("adopt", "--json").data
    assert (adopted["studies"], adopted["series"], adopted["transfers"], adopted["ids"]) == (1, 0, 0, 0)
    assert adopted["calls"] > 0


def test_adoption_needs_the_token_it_reads_by(site: Site) -> None:
    token = site.simulator.projects["incoming"].token
    site.change(f'incoming = "{token}"\n', "")
    missing = site.command("adopt")
    assert (missing.code, "redcap.tokens.incoming" in missing.err) == (2, True)


def test_adoption_while_a_run_is_under_way_says_that_nothing_was_done(site: Site, database: Database) -> None:
    an_old_record(site)
    with lease.held(database, "run", "main"):
        done = site.command("adopt")
    assert done.code == 3
    assert "nothing was done" in done.err
    assert site.simulator.calls == []


def test_a_shadow_prints_differences_without_pseudonyms_and_refuses_a_ledger_that_works(site: Site) -> None:
    site.simulator.projects["incoming"].put(
        [
            {
                "study_instance_uid": "1.3.6.1.4.1.5962.1.2.5012.1166546115.14677",
                "redcap_repeat_instrument": "transfers",
                "redcap_repeat_instance": "1",
                "transfer_project_name": "ELSEWHERE",
                "transfer_name": "PSEUDO-7",
            }
        ]
    )
    done = site.command("shadow", "--json")
    assert done.code == 0, done.err
    assert done.data["studies"] == 54
    assert "PSEUDO-7" not in done.out
    assert "54 studies" not in site.command("shadow").out, "they are not looked at again"
    assert site.command("adopt").code == 0
    assert site.command("shadow").code == 2


def test_nor_does_a_replay_or_a_rehearsal_take_what_others_have_filled_for_empty(
    site: Site, database: Database
) -> None:
    an_old_record(site)
    for arguments in (("replay",), ("replay", "--dry-run"), ("run", "--dry-run")):
        assert refused(site.command(*arguments))
    assert site.command("run", "--dry-run", "--fresh").code == 0
    assert events(database, "StartedFresh") == []

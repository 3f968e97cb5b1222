import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import exc, text

from ledger import scan, verification
from ledger.attestation import attest
from ledger.chain import KeptHead, Walk, parse_checkpoint, parse_heads
from ledger.database import Database
from ledger.errors import Corrupt
from ledger.events import NewEvent, new_event_id
from ledger.proof import checkpoint_of
from ledger.vault import SubjectName, Vault
from processors.configuration.file import load
from processors.operations.proofs.daily import signer_of
from tests.ledger.samples import append, fact, scalar, the_store
from tests.verification.program import Program
from tests.verification.tampering import rewrite, tamper

DOE = SubjectName("patient", "", "PID-1")


@pytest.fixture
def ledger(database: Database, vault: Vault) -> Database:
    """Ten events in three streams; the seventh is sealed for a subject."""
    append(database, *(fact(f"study/{number % 3}", n=number) for number in range(6)))
    with database.begin() as connection:
        subject = vault.subjects(connection, [DOE])[DOE]
        event_id = new_event_id()
        sealed = vault.seal(subject, event_id, {"PatientID": "PID-1"})
        event = NewEvent(stream="study/0", type="T", data={}, event_id=event_id, subject=subject, sealed=sealed)
        the_store().append(connection, [event, fact("study/1"), fact("study/2"), fact("study/0")])
    return database


def head(database: Database) -> KeptHead:
    with database.begin() as connection:
        row = connection.execute(text("select position, hash from ledger.head")).one()
    return KeptHead(row.position, bytes(row.hash), "in March")


def test_a_ledger_as_it_was_appended_verifies(ledger: Database, program: Program) -> None:
    ended = program("verify", "--json")
    assert (ended.code, ended.err) == (0, "")
    kept = head(ledger)
    expected = {
        "position": 10,
        "hash": kept.hash.hex(),
        "streams": 3,
        "subjects": 1,
        "keys": 1,
        "attention": [],
        "needs_attention": False,
    }
    assert {key: ended.data[key] for key in expected} == expected


def test_what_holds_is_told_in_words(ledger: Database, program: Program) -> None:
    ended = program("verify")
    assert ended.code == 0
    assert "Verified 10 events" in ended.out
    assert "1 keys open with the master key" in ended.out
    assert f"Head: 10 {head(ledger).hash.hex()} " in ended.out


def test_an_empty_ledger_verifies(program: Program) -> None:
    assert program("verify", "--json").data["position"] == 0


@pytest.mark.parametrize(
    ("statement", "position", "how"),
    [
        ("update ledger.event set data = '[77]' where position = 4", 4, "does not follow from the one before"),
        ("update ledger.event set recorded_at = recorded_at - interval '1 day' where position = 4", 4, "one of its"),
        ("update ledger.event set sealed = '\\x00' where position = 7", 7, "one of its columns"),
        ("update ledger.event set sealed = null where position = 7", 7, "one of its columns"),
        ("update ledger.event set hash = sha256(hash) where position = 10", 10, "the hash stored with it"),
        ("delete from ledger.event where position = 4", 4, "at position 4 is missing: 5 is the next"),
        ("delete from ledger.event where position = 1", 1, "at position 1 is missing: 2 is the next"),
        ("delete from ledger.event where position >= 9", 9, "ledger.head says that the ledger goes to 10"),
        ("update ledger.event set position = 0 where position = 1", 1, "Position 0 stands where 1 was expected"),
        ("delete from ledger.subject", 7, r"which ledger.subject does not hold"),
        ("delete from ledger.head", 11, "row of ledger.head is missing"),
        ("update ledger.head set position = 8", 9, "was not written by an append"),
        ("update ledger.head set hash = sha256(hash)", 10, "was not written by an append"),
    ],
)
def test_the_first_event_that_fails_is_named_with_how(
    ledger: Database, program: Program, statement: str, position: int, how: str
) -> None:
    tamper(ledger, statement)
    ended = program("verify")
    assert (ended.code, ended.out) == (4, "")
    assert how in ended.err
    before = f"Events 1 to {position - 1} hold." if position > 1 else ""
    assert before in ended.err


def test_a_gap_in_the_versions_of_a_stream_is_named_even_where_the_chain_was_forged(
    ledger: Database, program: Program
) -> None:
    rewrite(ledger, "update ledger.event set version = version + 10 where stream = 'study/1' and position > 2")
    ended = program("verify")
    assert ended.code == 4
    assert "position 5 is version 12 of stream 'study/1', where 2 was expected" in ended.err


def test_of_several_failures_the_first_event_is_named(ledger: Database, program: Program) -> None:
    tamper(ledger, "delete from ledger.subject", "update ledger.event set site = 'x' where position = 3")
    assert "position 3 does not follow" in program("verify").err
    tamper(ledger, "delete from ledger.event where position = 2")
    assert "position 2 is missing" in program("verify").err


def test_verifying_goes_on_while_others_append_and_sees_one_moment(ledger: Database) -> None:
    """Were the head row read at another moment than the events, an append in between would look like a forgery."""
    with ledger.begin() as connection:
        scan.as_one_moment(connection)
        assert connection.execute(text("select position from ledger.head")).scalar_one() == 10
        append(ledger, fact("late"))
        walk, problem = verification._walk(connection, (), 10, None)
    assert (walk.position, problem) == (10, None)


def test_progress_is_told_along_the_way(database: Database) -> None:
    append(database, *(fact() for _ in range(12_000)))
    told: list[tuple[int, int]] = []
    with database.begin() as connection:
        verification.verify(connection, progress=lambda done, total: told.append((done, total)))
    assert told == [(5_000, 12_000), (10_000, 12_000)]


def test_a_large_ledger_is_read_with_flat_memory(database: Database) -> None:
    def peak(last: int) -> int:
        with database.begin() as connection, scan.stored_events(connection, last=last) as events:
            tracemalloc.start()
            walk = Walk()
            for event in events:
                walk.take(event)
            highest = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert walk.position == last
        return highest

    for _ in range(3):
        append(database, *(fact(text="x" * 500) for _ in range(4_000)))
    peak(100)
    assert peak(12_000) < 2 * peak(3_000) + 100_000


# Heads kept elsewhere


def test_head_prints_a_checkpoint_and_without_keys_one_line(ledger: Database, program: Program) -> None:
    ended = program("verify", "--head")
    with ledger.begin() as connection:
        assert ended.out == checkpoint_of(connection, signer_of(connection, load(program.config).ledger))
    assert parse_checkpoint(ended.out).size == 10
    assert program("verify", "--head", "--json").data["checkpoint"] == ended.out
    ended = program("verify", "--head", "--without-keys")
    position, hash_, taken = ended.out.split()
    assert (position, hash_) == ("10", head(ledger).hash.hex())
    assert taken.endswith("+00:00")
    assert ended.out.count("\n") == 1


def test_a_head_of_a_ledger_that_fails_is_not_printed(ledger: Database, program: Program) -> None:
    tamper(ledger, "update ledger.event set site = 'x' where position = 3")
    ended = program("verify", "--head")
    assert (ended.code, ended.out) == (4, "")


def test_heads_that_were_kept_stay_part_of_a_growing_ledger(ledger: Database, program: Program, tmp_path: Path) -> None:
    heads = program("verify", "--head").out
    append(ledger, fact("more"), fact("more"))
    heads += program("verify", "--head", "--without-keys").out
    append(ledger, fact("more"))
    (tmp_path / "heads.txt").write_text(heads)
    ended = program("verify", "--from", str(tmp_path / "heads.txt"), "--json")
    assert (ended.code, ended.data["kept_heads"], ended.data["position"]) == (0, 2, 13)
    assert program("verify", "--from", "-", given=heads).code == 0


def cut_off(database: Database) -> None:
    """Takes the tail away, and makes the head row fit."""
    tamper(
        database,
        "delete from ledger.event where position > 8",
        "update ledger.head set (position, hash) = (select position, hash from ledger.event where position = 8)",
    )


def rewrite_everything(database: Database) -> None:
    rewrite(database, "update ledger.event set site = 'elsewhere' where position = 2")


@pytest.mark.parametrize(
    ("options", "forge", "how"),
    [
        (
            ["--without-keys"],
            cut_off,
            "head kept of position 10, taken 2.*is not in this ledger, which ends at 8: what came after has been",
        ),
        (["--without-keys"], rewrite_everything, "At position 10 the ledger has the hash .* events up to there have"),
        ([], cut_off, "head kept of position 10 is not in this ledger, which ends at 8: what came after has been"),
        ([], rewrite_everything, "At position 10 the ledger has the root .*, the checkpoint kept elsewhere has"),
    ],
)
def test_a_forgery_without_a_flaw_of_its_own_fails_against_a_kept_head(
    ledger: Database, program: Program, options: list[str], forge: Callable[[Database], None], how: str
) -> None:
    kept = program("verify", "--head", *options).out
    forge(ledger)
    assert program("verify").code == 0, "nothing within the database can show it"
    ended = program("verify", "--from", "-", given=kept)
    assert ended.code == 4
    assert re.search(how, ended.err)


def test_a_forgery_that_later_grew_beyond_the_kept_head_fails_too(ledger: Database, program: Program) -> None:
    kept = program("verify", "--head").out
    cut_off(ledger)
    append(ledger, *(fact("other") for _ in range(5)))
    assert "rewritten" in program("verify", "--from", "-", given=kept).err


@pytest.mark.parametrize(
    "line", ["10", "ten " + "a" * 64, "10 " + "g" * 64, "10 " + "a" * 63, "-1 " + "a" * 64, "10 " + "a" * 66 + " now"]
)
def test_a_line_that_is_no_head_is_a_usage_error_that_names_it(program: Program, line: str) -> None:
    ended = program("verify", "--from", "-", given=f"0 {'00' * 32} once\n\n{line}\n")
    assert ended.code == 2
    assert "line 3 is not a kept head" in ended.err


OTHER = "fiona-ledger/00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("root", [None, "A" * 43 + "="])
@pytest.mark.usefixtures("ledger")
def test_a_checkpoint_of_another_ledger_says_nothing_of_this_one(program: Program, root: str | None) -> None:
    """It was said to verify where its root was ours, and else that events had been rewritten: stop the run."""
    kept = program("verify", "--head").out
    origin, _, ours, *_ = kept.split("\n")
    ended = program("verify", "--from", "-", given=kept.replace(origin, OTHER).replace(ours, root or ours))
    assert ended.code == 2
    assert f"Expected checkpoints of {origin}, which this ledger is, found one of {OTHER}, of 10 events." in ended.err


@pytest.mark.parametrize("cut", [30, 3])
@pytest.mark.usefixtures("ledger")
def test_a_checkpoint_that_was_cut_off_is_named(program: Program, cut: int) -> None:
    """All that was said was "Incorrect padding."."""
    origin, size, root, *_ = program("verify", "--head").out.split("\n")
    ended = program("verify", "--from", "-", given=f"0 {'00' * 32} once\n{origin}\n{size}\n{root[:-cut]}\n")
    assert ended.code == 2
    assert "line 2 begins no whole checkpoint: its root is cut off, or changed" in ended.err


@pytest.mark.parametrize("root", ["A" * 40, "A" * 43])
def test_what_is_no_root_is_named(root: str) -> None:
    with pytest.raises(ValueError, match="its root is cut off, or changed"):
        parse_heads(f"origin\n3\n{root}\n")


@pytest.mark.usefixtures("ledger")
def test_kept_checkpoints_may_have_been_saved_by_another_editor(program: Program, tmp_path: Path) -> None:
    kept = program("verify", "--head").out
    file = tmp_path / "heads.txt"
    for content in (kept.replace("\n", "\r\n"), f"\ufeff{kept}", f"\ufeff{kept}\ufeff{kept}".replace("\n", "\r\n")):
        file.write_bytes(content.encode())
        assert program("verify", "--from", str(file)).code == 0
        assert program("prove", "--since", str(file)).code == 0


def test_no_kept_heads_at_all_prove_nothing_and_are_a_usage_error(program: Program, tmp_path: Path) -> None:
    assert "found none" in program("verify", "--from", "-", given="\n").err
    ended = program("verify", "--from", str(tmp_path / "missing.txt"))
    assert (ended.code, "cannot be read" in ended.err) == (2, True)


# Keys


def test_a_data_key_that_was_exchanged_is_named_with_the_first_event_it_closes(
    ledger: Database, program: Program, vault: Vault
) -> None:
    other = SubjectName("patient", "", "PID-2")
    with ledger.begin() as connection:
        vault.subjects(connection, [other])
        connection.execute(
            text("""
                update ledger.subject set wrapped_key = (select wrapped_key from ledger.subject as s
                                                          where s.subject <> event.subject limit 1)
                  from ledger.event where event.subject = subject.subject
            """)
        )
    ended = program("verify")
    assert ended.code == 4
    assert "The event at position 7 cannot be read. The data key of subject" in ended.err
    assert program("verify", "--without-keys").code == 0


def test_a_forgotten_subject_is_counted_and_needs_no_key(ledger: Database, program: Program, vault: Vault) -> None:
    with ledger.begin() as connection:
        subject = vault.subjects(connection, [DOE])[DOE]
        vault.forget(connection, [subject])
        told = fact("forgetting", "SubjectForgotten", subjects={"patient": [str(subject)]})
        the_store().append(connection, [told])
        attest(connection, vault, forgotten=1)
    ended = program("verify", "--json")
    assert (ended.code, ended.data["keys"], ended.data["forgotten"]) == (0, 0, 1)


def test_without_the_key_file_everything_else_is_verified_and_that_is_said(
    ledger: Database, program: Program, key_file: Path
) -> None:
    key_file.unlink()
    ended = program("verify")
    assert ended.code == 1
    assert "Verified 10 events" in ended.out
    assert f"Keys were not verified: The master key file {key_file} is missing." in ended.out
    assert not key_file.exists()
    tamper(ledger, "update ledger.event set site = 'x' where position = 3")
    assert program("verify").code == 4


def test_a_machine_that_is_not_meant_to_have_the_key_has_nothing_to_complain_about(
    ledger: Database, program: Program, key_file: Path
) -> None:
    key_file.unlink()
    ended = program("verify", "--without-keys")
    assert (ended.code, "their keys were not tried" in ended.out) == (0, True)
    assert scalar(ledger, "select count(*) from ledger.event") == 10


def test_many_keys_are_verified_in_portions(database: Database, vault: Vault, key_file: Path) -> None:
    names = [SubjectName("patient", "", str(number)) for number in range(2 * verification._KEYS_AT_ONCE + 1)]
    told: list[int] = []
    with database.begin() as connection:
        vault.subjects(connection, names)
        assert verification.verify_keys(connection, key_file, lambda done, _: told.append(done)) == len(names)
    assert told == [2_000, 4_000, 4_001]


def test_an_unused_broken_key_is_still_found(database: Database, vault: Vault, key_file: Path) -> None:
    with database.begin() as connection:
        vault.subjects(connection, [DOE])
        connection.execute(text("update ledger.subject set wrapped_key = wrapped_key || '\\x00'"))
    with pytest.raises(Corrupt, match=r"verify\. The data key of subject"), database.begin() as connection:
        verification.verify_keys(connection, key_file)


# Guards


@pytest.mark.parametrize(
    "statement",
    [
        "delete from ledger.subject",
        "truncate ledger.subject",
        "delete from ledger.vault",
        "truncate ledger.vault",
        "delete from ledger.head",
        "truncate ledger.head",
        "update ledger.head set position = position - 1",
        "update ledger.subject set lookup = 'x', wrapped_key = 'y' where wrapped_key is null",
    ],
)
def test_what_belongs_to_the_events_is_guarded_even_against_an_owner_who_calls_himself_a_replica(
    ledger: Database, vault: Vault, statement: str
) -> None:
    with ledger.begin() as connection:
        vault.subjects(connection, [SubjectName("patient", "", str(uuid4()))])
        connection.execute(
            text("update ledger.subject set lookup = null, wrapped_key = null where kind = 'patient' and lookup = "
                 "(select max(lookup) from ledger.subject)")
        )  # fmt: skip
    with ledger.begin() as connection:
        connection.execute(text("set local session_replication_role = replica"))
        with pytest.raises(exc.DBAPIError, match="append-only"):
            connection.execute(text(statement))
        connection.rollback()

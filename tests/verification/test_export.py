import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import chain
from ledger.database import Database
from ledger.events import NewEvent
from ledger.export import export
from ledger.scan import stored_events
from tests.ledger.samples import append, everything, fact, new_events, scalar, the_store
from tests.verification.program import Ended, Program
from tests.verification.tampering import rewrite


@pytest.fixture
def ledger(database: Database) -> Database:
    """Ten events in three streams, some sealed, with texts that are awkward to write."""
    awkward = 'tab\there, quote ", line\nend,   and 王^小東'
    append(database, *(fact(f"study/{number % 3}", n=number, text=awkward) for number in range(8)))
    owner = NewEvent(stream="å/1", type="T", data={}).event_id
    append(
        database,
        NewEvent(stream="å/1", type="T", data={}, subject=owner, sealed=bytes(range(256))),
        NewEvent(stream="å/1", type="T", data={}, subject=owner),
    )
    return database


class Verifier(NamedTuple):
    """`chain.py`, copied alone into a folder of its own."""

    folder: Path

    def __call__(self, *arguments: str, given: bytes = b"") -> Ended:
        """Without the site's packages and without the checkout in sight."""
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "chain.py", *arguments],
            cwd=self.folder,
            input=given,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@pytest.fixture
def verifier(tmp_path: Path) -> Verifier:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(str(chain.__file__), folder / "chain.py")
    return Verifier(folder)


def exported(program: Program, *arguments: str) -> bytes:
    ended = program("export", *arguments)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.encode()


def test_a_whole_export_verifies_on_a_machine_with_python_alone(
    ledger: Database, program: Program, verifier: Verifier
) -> None:
    (verifier.folder / "events.jsonl").write_bytes(exported(program))
    ended = verifier("events.jsonl")
    assert (ended.code, ended.err) == (0, "")
    assert "Events 1 to 10: nothing changed, taken out or put in." in ended.out
    assert f"It ends with: 10 {scalar(ledger, 'select hash from ledger.head').hex()}" in ended.out


@pytest.mark.usefixtures("ledger")
def test_an_export_may_come_from_standard_input(program: Program, verifier: Verifier) -> None:
    content = exported(program)
    assert verifier(given=content).code == 0
    assert verifier("-", given=content).code == 0


def test_the_verifier_is_written_for_pythons_from_3_9_on() -> None:
    ast.parse(Path(str(chain.__file__)).read_text("utf-8"), feature_version=(3, 9))


def test_what_is_sealed_stays_sealed_and_data_is_the_stored_text(ledger: Database, program: Program) -> None:
    first, *lines = exported(program).decode().splitlines()
    assert json.loads(first)["from"] == 1
    events = [json.loads(line) for line in lines]
    assert [event["position"] for event in events] == list(range(1, 11))
    assert events[8]["sealed"].startswith("AAECAwQF")
    assert (events[9]["sealed"], events[0]["subject"]) == (None, None)
    assert events[2]["data"] == scalar(ledger, "select data::text from ledger.event where position = 3")
    assert events[2]["recorded_at"] == "2026-03-02T08:00:00.123456+00:00"


def test_what_turns_letters_around_or_is_not_seen_has_escapes_and_verifies_as_it_was_stored(
    database: Database, program: Program, verifier: Verifier
) -> None:
    """Whatever a scanner said of a study stood there raw, and turned the line around on the auditor's screen."""
    hidden = "a\u202eb\u2028c\u2029d\u0085e\x7ff\U000e0041g\u00e5"
    append(database, fact("study/\u202e1", text=hidden))
    lines = exported(program)
    assert all(character.isprintable() for character in lines.decode().replace("\n", ""))
    event = json.loads(lines.splitlines()[1])
    assert (event["stream"], json.loads(event["data"])["text"]) == ("study/\u202e1", hidden)
    assert "\u00e5" in lines.decode()
    assert verifier(given=lines).code == 0


@given(st.lists(new_events, min_size=1, max_size=5, unique_by=lambda event: event.event_id))
def test_every_event_comes_back_from_its_line_as_it_was_stored(database: Database, events: list[NewEvent]) -> None:
    """Each column of it is under the hash, which is computed anew from what the line says."""
    with database.begin() as connection:
        outer = connection.begin_nested()
        the_store().append(connection, events)
        with stored_events(connection) as rows:
            stored = list(rows)
        outer.rollback()
    lines = [chain.event_line(event).encode() for event in stored]
    assert not any(b"\n" in line for line in lines)
    part = chain.Part(1, len(events), chain.GENESIS, stored[-1].hash)
    walk = chain.verify_export([part.as_line().encode(), *lines])
    assert (walk.position, walk.hash) == (len(events), stored[-1].hash)


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "first", "last"), [(("--from", "4"), 4, 10), (("--from", "4", "--to", "6"), 4, 6)]
)
def test_a_partial_export_verifies_too_and_says_what_it_rests_on(
    program: Program, verifier: Verifier, arguments: tuple[str, ...], first: int, last: int
) -> None:
    ended = verifier(given=exported(program, *arguments))
    assert ended.code == 0
    assert f"Events {first} to {last}: nothing changed" in ended.out
    assert "unless a head kept of position 3 is given" in ended.out


def test_parts_that_follow_each_other_verify_as_one(ledger: Database, program: Program, verifier: Verifier) -> None:
    parts = [exported(program, "--to", "3"), exported(program, "--from", "4", "--to", "4")]
    append(ledger, fact("study/1"))
    parts.append(exported(program, "--from", "5"))
    ended = verifier(given=b"".join(parts))
    assert "Events 1 to 11: nothing changed" in ended.out
    ended = verifier(given=parts[0] + parts[2])
    assert (ended.code, "begins at position 5 does not follow from the one that ends at 3" in ended.err) == (4, True)


@pytest.mark.usefixtures("database")
def test_an_export_of_nothing_verifies(program: Program, verifier: Verifier) -> None:
    ended = verifier(given=exported(program))
    assert (ended.code, "holds no events" in ended.out) == (0, True)


# Kept heads


def kept(database: Database, position: int) -> str:
    hash_ = scalar(database, f"select hash from ledger.event where position = {position}").hex()
    return f"{position} {hash_} 2026-03-02T08:00:00+00:00"


def test_kept_heads_are_proven_from_a_line_and_from_a_file(
    ledger: Database, program: Program, verifier: Verifier
) -> None:
    (verifier.folder / "heads.txt").write_text(f"{kept(ledger, 2)}\n{kept(ledger, 10)}\n")
    ended = verifier("--head", kept(ledger, 5), "--head", "heads.txt", given=exported(program))
    assert (ended.code, "Kept heads that are part of it: 3." in ended.out) == (0, True)
    assert verifier("--head", kept(ledger, 3), given=exported(program, "--from", "4")).code == 0


def test_kept_checkpoints_are_proven_of_an_export_from_the_first_event_on(
    ledger: Database, program: Program, verifier: Verifier
) -> None:
    (verifier.folder / "kept").write_text(program("prove", "--checkpoint").out + kept(ledger, 2) + "\n")
    append(ledger, *(fact() for _ in range(4)))
    ended = verifier("--head", "kept", given=exported(program))
    assert "Kept heads that are part of it: 2." in ended.out
    ended = verifier("--head", "kept", given=exported(program, "--from", "2"))
    assert (ended.code, "a checkpoint is over all events from the first" in ended.err) == (2, True)
    rewrite(ledger, "update ledger.event set site = 'elsewhere' where position = 9")
    ended = verifier("--head", "kept", given=exported(program))
    assert (ended.code, "At position 10 the export has the root" in ended.err) == (4, True)


def test_a_forgery_is_noticed_by_a_kept_head(ledger: Database, program: Program, verifier: Verifier) -> None:
    head = kept(ledger, 10)
    rewrite(ledger, "update ledger.event set site = 'elsewhere' where position = 2")
    content = exported(program)
    assert verifier(given=content).code == 0
    ended = verifier("--head", head, given=content)
    assert (ended.code, "rewritten" in ended.err) == (4, True)


@pytest.mark.parametrize("arguments", [("--to", "9"), ("--from", "12")])
def test_a_kept_head_that_the_export_does_not_reach_is_not_taken_for_proven(
    ledger: Database, program: Program, verifier: Verifier, arguments: tuple[str, str]
) -> None:
    head = kept(ledger, 10)
    append(ledger, fact(), fact(), fact())
    ended = verifier("--head", head, given=exported(program, *arguments))
    assert (ended.code, "The head kept of position 10, taken 2026" in ended.err) == (4, True)


# Tampering with an export


def change(key: str, value: object) -> Callable[[list[bytes]], list[bytes]]:
    def changed(lines: list[bytes]) -> list[bytes]:
        event = json.loads(lines[4])
        event[key] = value
        return [*lines[:4], json.dumps(event).encode(), *lines[5:]]

    return changed


TRUE = json.loads("true")
OTHER = "01900000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("tampered", "how"),
    [
        (change("data", "{}"), "position 4 does not follow"),
        (change("subject", OTHER), "position 4 does not follow"),
        (change("sealed", "AAAA"), "position 4 does not follow"),
        (change("hash", "00" * 32), "position 4 does not follow"),
        (change("position", 40), "position 4 is missing: 40 is the next"),
        (change("version", 3), "position 4 does not follow"),
        (change("version", 2.0), "Line 5 is not an event as it was exported: version is not a whole number"),
        (change("schema_version", 2**20), "Line 5 .*schema_version is not a whole number"),
        (change("position", TRUE), "Line 5 .*position is not a whole number"),
        (change("data", {}), "Line 5 .*data is not a text"),
        (change("sealed", "?"), "Line 5 "),
        (change("recorded_at", "2026-03-02T08:00:00"), "Line 5 .*recorded_at has no zone"),
        (change("event_id", "1"), "Line 5 .*event_id has not 32 hex digits"),
        (change("remark", "hello"), "Line 5 .*should not have them: remark"),
        (lambda lines: lines[:4] + lines[5:], "position 4 is missing: 5 is the next"),
        (lambda lines: [*lines[:5], *lines[4:]], "Position 4 stands where 5 was expected"),
        (lambda lines: lines[:-1], "says that it goes to position 10, but it ends at 9"),
        (lambda lines: [*lines[:-1], lines[-1][:-20]], "Line 11 .*it is not JSON"),
        (lambda lines: [*lines[:4], b"[]", *lines[5:]], "Line 5 .*it is not an object"),
        (lambda lines: [*lines[:4], b"\xff", *lines[5:]], "Line 5 .*it is not UTF-8"),
        (lambda lines: [*lines[:4], b'{"data":"","data":""}', *lines[5:]], "a key appears twice"),
        (lambda lines: [*lines[:4], b"[" * 100_000, *lines[5:]], "Line 5 "),
    ],
)
def test_tampering_with_an_export_is_named_by_its_first_event(
    ledger: Database, tampered: Callable[[list[bytes]], list[bytes]], how: str
) -> None:
    lines = tampered(export_lines(ledger))
    with pytest.raises(chain.Broken, match=how):
        chain.verify_export(lines)


def export_lines(database: Database) -> list[bytes]:
    written: list[bytes] = []
    with database.begin() as connection:
        export(connection, written.append)
    return b"".join(written).splitlines()


def test_versions_are_checked_where_the_chain_was_forged_with_them(ledger: Database) -> None:
    rewrite(ledger, "update ledger.event set version = version + 10 where position = 4")
    with pytest.raises(chain.Broken, match="position 4 is version 12 of stream 'study/0', where 2 was expected"):
        chain.verify_export(export_lines(ledger))


def test_an_export_that_claims_to_begin_at_1_after_something_is_refused(ledger: Database) -> None:
    """Whoever chooses the hash before the first event could pass off another ledger as whole."""
    previous, lines = b"\x01" * 32, []
    with ledger.begin() as connection, stored_events(connection) as stored:
        for event in stored:
            previous = chain.follow(previous, event)
            lines.append(chain.event_line(event._replace(hash=previous)).encode())
    first = chain.Part(1, 10, b"\x01" * 32, previous).as_line().encode()
    with pytest.raises(chain.Broken, match="before position 1"):
        chain.verify_export([first, *lines])


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 2, "it is empty"),
        (b"hello\n", 2, "first line is not that of an export"),
        (b'{"format":"other"}\n', 2, "first line is not that of an export"),
    ],
)
def test_what_is_no_export_is_a_usage_error(verifier: Verifier, content: bytes, code: int, words: str) -> None:
    ended = verifier(given=content)
    assert (ended.code, words in ended.err, ended.out) == (code, True, "")


@pytest.mark.parametrize("arguments", [("missing.jsonl",), ("--head", "nonsense"), ("--nonsense",)])
def test_wrong_arguments_are_a_usage_error_in_plain_words(verifier: Verifier, arguments: tuple[str, ...]) -> None:
    ended = verifier(*arguments)
    assert (ended.code, "Traceback" in ended.err) == (2, False)


def test_a_failure_has_exit_code_4_and_a_plain_message(ledger: Database, verifier: Verifier) -> None:
    lines = export_lines(ledger)
    ended = verifier(given=b"\n".join(lines[:5] + lines[6:]))
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == "chain.py: -: The event at position 5 is missing: 6 is the next one there is.\n"


@pytest.mark.parametrize("key", ["\x1b[2J", "\u202e", "\nEvents 1 to 10: nothing changed, taken out or put in."])
def test_nothing_in_an_export_forges_what_is_said_of_it(ledger: Database, verifier: Verifier, key: str) -> None:
    lines = export_lines(ledger)
    lines[3] = json.dumps({key: 1}).encode()
    ended = verifier(given=b"\n".join(lines))
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.count("\n") == 1
    assert ended.err.removesuffix("\n").isprintable()


# The file


@pytest.mark.usefixtures("ledger")
def test_a_file_is_written_for_its_owner_only_and_replaces_an_older_one_whole(
    program: Program, verifier: Verifier, tmp_path: Path
) -> None:
    file = tmp_path / "elsewhere" / "events.jsonl"
    file.write_text("old")
    file.chmod(0o644)
    ended = program("export", "--from", "2", "--output", str(file), "--json")
    assert (ended.code, ended.data["from"], ended.data["to"]) == (0, 2, 10)
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in file.parent.iterdir()) == ["chain.py", "events.jsonl"]
    assert verifier("events.jsonl").code == 0


@pytest.mark.usefixtures("ledger")
def test_a_file_that_cannot_be_written_is_said_and_leaves_nothing(program: Program, tmp_path: Path) -> None:
    ended = program("export", "--output", str(tmp_path / "missing" / "events.jsonl"))
    assert (ended.code, "cannot be written" in ended.err) == (2, True)


@pytest.mark.usefixtures("ledger")
def test_an_export_that_fails_half_way_leaves_the_older_file(program: Program, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("old")
    ended = program("export", "--from", "99", "--output", str(tmp_path / "events.jsonl"))
    assert (ended.code, "expected positions from 1 to 10" in ended.err) == (2, True)
    assert (tmp_path / "events.jsonl").read_text() == "old"
    assert list(tmp_path.glob(".events*")) == []


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("arguments", [("--from", "0"), ("--to", "11"), ("--from", "6", "--to", "4")])
def test_positions_that_the_ledger_has_not_are_a_usage_error(program: Program, arguments: tuple[str, ...]) -> None:
    ended = program("export", *arguments)
    assert (ended.code, "expected positions from 1 to 10" in ended.err) == (2, True)


@pytest.mark.usefixtures("ledger")
def test_exporting_needs_no_key(program: Program, key_file: Path) -> None:
    key_file.unlink()
    assert exported(program).count(b"\n") == 11


def test_a_large_export_is_written_in_portions_and_tells_its_progress(database: Database) -> None:
    append(database, *(fact() for _ in range(1_201)))
    told: list[tuple[int, int]] = []
    written: list[bytes] = []
    with database.begin() as connection:
        export(connection, written.append, first=101, progress=lambda done, total: told.append((done, total)))
    assert told == [(500, 1_101), (1_000, 1_101)]
    assert len(written) == 4
    assert chain.verify_export(b"".join(written).splitlines()).position == 1_201


def test_the_command_stops_quietly_where_its_reader_has_enough(ledger: Database, program: Program) -> None:
    append(ledger, *(fact(text="x" * 1_000) for _ in range(500)))
    arguments = [sys.executable, "-m", "processors.cli.main", "--config", str(program.config), "export"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
    assert len(everything(ledger)) == 510

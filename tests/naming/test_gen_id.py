"""The command `gen-id`, run as people run it."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from pathlib import Path
from time import monotonic

import pytest

from tests.naming.conftest import COMMAND, Run


def test_one_name_a_line_is_printed(gen_id: Run) -> None:
    done = gen_id("-r", "PROJ_[0-9]{4}", "-n", 20)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(set(lines)) == 20
    assert all(re.fullmatch("PROJ_[0-9]{4}", line) for line in lines)


def test_one_name_is_drawn_unless_more_are_asked_for(gen_id: Run) -> None:
    assert gen_id("-r", "[x]", "-m", "random-id").stdout == "x\n"


@pytest.mark.parametrize("arguments", [("--count", "P_[0-9]{2,3}"), ("-r", "P_[0-9]{2,3}", "--count")])
def test_count_prints_how_many_names_there_are(gen_id: Run, arguments: tuple[str, ...]) -> None:
    assert gen_id(*arguments).stdout == f"{10**2 + 10**3}\n"


def test_the_empty_name_is_neither_counted_nor_given(gen_id: Run) -> None:
    assert gen_id("--count", "a?").stdout == "1\n"
    assert gen_id("-r", "a?").stdout == "a\n"
    assert gen_id("-r", "a?", "-n", 2).returncode == 1


def test_names_in_the_file_are_not_used(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.write_text("\ufeffP_0\n\n  P_1 \r\nsomething else\nP_2\r\nP_3")
    done = gen_id("-r", "P_[0-5]", "-e", used, "-n", 2)
    assert sorted(done.stdout.split()) == ["P_4", "P_5"]


def test_without_append_the_file_is_left_alone(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.write_text("P_0")
    gen_id("-r", "P_[0-5]", "-e", used)
    assert used.read_text() == "P_0"


def test_blanks_that_belong_to_a_name_are_kept(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.write_text("a \n")
    assert gen_id("-r", "a ?", "-e", used).stdout == "a\n"


def test_new_names_are_appended_after_a_last_line_without_end(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.write_text("P_0")
    done = gen_id("-r", "P_[0-2]", "-e", used, "-a", "-n", 2)
    assert used.read_text() == "P_0\n" + done.stdout
    assert sorted(used.read_text().split()) == ["P_0", "P_1", "P_2"]


def test_append_makes_a_missing_file_that_others_cannot_read(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    done = gen_id("-r", "日本_[0-9]{4}", "-e", used, "-a", "-n", 3, env={**os.environ, "LC_ALL": "C"})
    assert used.read_text(encoding="utf-8") == done.stdout
    assert used.stat().st_mode & 0o777 == 0o600


def test_ten_rounds_use_up_ten_names_and_the_eleventh_is_told_so(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    drawn = [gen_id("-r", "[0-9]", "-e", used, "-a").stdout for _ in range(10)]
    assert sorted(drawn) == [f"{number}\n" for number in range(10)]
    done = gen_id("-r", "[0-9]", "-e", used, "-a")
    assert (done.returncode, done.stdout) == (1, "")
    assert "exhausted: the pattern '[0-9]' has 10 names, 10 of them are used" in done.stderr
    assert used.read_text() == "".join(drawn)


def test_processes_at_once_never_give_the_same_name(tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    command = [*COMMAND, "-r", "P_[0-9]{3}", "-e", str(used), "-a", "-n", "250"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") for _ in range(4)]
    drawn = [name for process in running for name in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert sorted(drawn) == [f"P_{number:03}" for number in range(1000)]
    assert sorted(used.read_text().split()) == sorted(drawn)


def test_a_process_killed_half_way_has_printed_nothing_that_is_not_on_record(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    command = [*COMMAND, "-r", "P_[0-9]{5}", "-e", str(used), "-a", "-n", "90000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        until = monotonic() + 60
        while not (used.exists() and used.stat().st_size) and monotonic() < until:
            pass
        process.send_signal(signal.SIGKILL)
        printed = process.communicate(timeout=60)[0].splitlines(keepends=True)
    recorded = used.read_text().splitlines()
    assert {line.strip() for line in printed if line.endswith("\n")} <= set(recorded)
    after = gen_id("-r", "P_[0-9]{5}", "-e", used, "-a", "-n", 1000)
    assert after.returncode == 0
    assert not set(after.stdout.split()) & set(recorded)


def test_a_line_that_was_cut_off_uses_up_no_name_and_spoils_none(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.write_text("P_00\nP_")
    assert gen_id("-r", "P_0[0-1]", "-e", used, "-a").stdout == "P_01\n"
    assert used.read_text() == "P_00\nP_\nP_01\n"


def test_a_full_disk_leaves_the_file_as_it_was_and_gives_no_names(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.write_text("P_00000\n")
    done = gen_id(
        *("-r", "P_[0-9]{5}", "-e", used, "-a", "-n", 1000),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"found {used}: File too large" in done.stderr
    assert used.read_text() == "P_00000\n"


def test_names_that_cannot_be_printed_are_reported_without_a_traceback(gen_id: Run) -> None:
    with Path("/dev/full").open("w") as full:
        done = gen_id("-r", "[0-9]", stdout=full)
    assert done.returncode == 2
    assert done.stderr == (
        "gen-id: expected to print the names, found: No space left on device; with -a they count as used\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-r", "P_[0-9]*"), "    P_[0-9]*\n           ^\n"),
        ((), "expected one pattern (-r PATTERN), found none"),
        (("-r", "a", "b"), "expected one pattern (-r PATTERN), found two"),
        (("-r", "a", "-a"), "expected a file to append to (-e FILE) with -a, found none"),
        (("-r", "a", "-n", "0"), "-n"),
        (("-r", "a", "-m", "hash-id"), "random-id"),
        (("-r", "a", "--unknown"), "--unknown"),
        (("-r", "a", "-e", "/no/such/file"), "/no/such/file: No such file or directory; -a makes it"),
        (("-r", "a", "-a", "-e", "/no/such/file"), "/no/such/file: No such file or directory\n"),
        (("-r", "a", "-e", "/"), "found /: Is a directory"),
        (("-r", "a", "-a", "-e", "/"), "found /: Is a directory"),
        (("-r", "a", "-a", "-e", "/dev/null"), "expected a plain file to append to, found /dev/null"),
        (("-r", "a", "-e", "/dev/null/x"), "found /dev/null/x: Not a directory"),
    ],
)
def test_what_cannot_be_used_is_explained_without_a_traceback(
    gen_id: Run, arguments: tuple[str, ...], message: str
) -> None:
    done = gen_id(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_explained(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.touch(mode=0)
    done = gen_id("-r", "a", "-e", used)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"found {used}: Permission denied" in done.stderr


def test_a_file_that_is_not_utf_8_is_refused_and_left_alone(gen_id: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.write_bytes(b"P_0\nM\xfcller\n")
    done = gen_id("-r", "P_[0-9]", "-e", used, "-a")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"expected UTF-8 text in {used}, found byte 0xfc at position 5" in done.stderr
    assert used.read_bytes() == b"P_0\nM\xfcller\n"


def test_help_shows_an_example_and_needs_no_environment(gen_id: Run) -> None:
    done = gen_id("--help", env={})
    assert done.returncode == 0
    assert "gen-id -r 'PROJ_[0-9]{4}' -e used.txt -a -n 3" in done.stdout

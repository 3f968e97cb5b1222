import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Done, start
from tests.processes import ROOT

AS_BY_MAKE = {"program": str(ROOT / ".venv/bin/fiona-ledger"), "PATH": "/usr/bin:/bin"}
ELSEWHERE = "/opt/elsewhere/bin/fiona-ledger"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short enough for a socket, and below folders that PostgreSQL's own user may pass."""
    parent = Path(tempfile.mkdtemp(prefix="fd-", dir="/var/tmp"))
    parent.chmod(0o711)
    yield parent / "demo"
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def first(folder: Path) -> Done:
    """The first demo in the folder, as `make demo` starts it."""
    return start("demo", "--folder", str(folder), **AS_BY_MAKE)


@pytest.fixture(scope="module")
def second(first: Done, folder: Path) -> Done:
    """Another one after it, by a program elsewhere."""
    assert first.code == 0
    return start("demo", "--folder", str(folder), program=ELSEWHERE)


def test_the_demo_shows_the_whole_job_and_then_an_idle_run(first: Done, second: Done) -> None:
    assert (first.code, first.err.startswith("Made the master key"), first.err.count("\n")) == (0, True, 1)
    assert "61 discovered" in first.out
    assert "coupling entry 1" in first.out
    assert "two studies of one patient get one ID" in first.out
    assert "studies with no PatientID" in first.out
    assert "needs attention: 1 x may have been sent" in first.out
    assert "43 reported sent, 1 failed" in first.out
    assert [line.split()[-2:] for line in first.out.splitlines() if "coupling entry 1" in line] == [
        ["closed", "sent"],
        ["placed", "sent"],
    ]
    assert "needs attention: 1 x sent after it was ended" in first.out
    assert first.out.count("sent, masked") == 1
    assert second.code == 0
    assert "0 discovered" in second.out
    assert "REDCap: 0 studies, 0 series and 0 transfers written" in second.out


def test_the_demo_leaves_no_process_behind(second: Done, folder: Path) -> None:
    assert second.code == 0
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    assert not [pid for pid in pids if str(folder) in command_line(pid)]


def test_what_the_demo_recommends_is_how_it_was_started(second: Done, folder: Path) -> None:
    assert f"  {ELSEWHERE} demo --folder {folder}\n" in second.out
    assert "make demo" not in second.out
    as_a_module = start("demo", "--folder", str(folder), program=str(ROOT / "processors/cli/main.py")).out
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    assert f"  {shown} -m processors.cli.main demo --folder {folder}\n" in as_a_module


def test_what_holds_tokens_is_for_its_owner_alone(first: Done, folder: Path) -> None:
    assert first.code == 0
    assert {name: (folder / name).stat().st_mode & 0o777 for name in ("redcap.json", "fiona-ledger.toml")} == {
        "redcap.json": 0o600,
        "fiona-ledger.toml": 0o600,
    }


def test_the_readme_shows_what_the_demo_prints(first: Done, folder: Path) -> None:
    printed = first.out.replace(str(folder), ".demo")
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = readme.split("<!-- demo -->\n```\n")[1].split("```\n<!-- /demo -->")[0]
    assert shown == "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""

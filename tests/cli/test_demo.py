import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import start
from tests.processes import ROOT


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket, and below folders that PostgreSQL's own user may pass."""
    parent = Path(tempfile.mkdtemp(prefix="fd-", dir="/var/tmp"))
    parent.chmod(0o711)
    yield parent / "demo"
    shutil.rmtree(parent)


def test_the_demo_shows_the_whole_job_and_then_an_idle_run(folder: Path) -> None:
    first = start("demo", "--folder", str(folder))
    assert (first.code, first.err) == (0, "")
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
    second = start("demo", "--folder", str(folder))
    assert second.code == 0
    assert "0 discovered" in second.out
    assert "It was called 11 times" in second.out


def test_the_demo_leaves_no_process_behind(folder: Path) -> None:
    assert start("demo", "--folder", str(folder)).code == 0
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    assert not [pid for pid in pids if str(folder) in command_line(pid)]


def test_what_the_demo_recommends_is_how_it_was_started(folder: Path) -> None:
    by_name = start("demo", "--folder", str(folder), program="/opt/elsewhere/bin/fiona-ledger").out
    assert f"  /opt/elsewhere/bin/fiona-ledger demo --folder {folder}\n" in by_name
    assert "make demo" not in by_name
    as_a_module = start("demo", "--folder", str(folder), program=str(ROOT / "processors/cli/main.py")).out
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    assert f"  {shown} -m processors.cli.main demo --folder {folder}\n" in as_a_module


def test_what_holds_tokens_is_for_its_owner_alone(folder: Path) -> None:
    start("demo", "--folder", str(folder))
    assert {name: (folder / name).stat().st_mode & 0o777 for name in ("redcap.json", "fiona-ledger.toml")} == {
        "redcap.json": 0o600,
        "fiona-ledger.toml": 0o600,
    }


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def test_the_readme_shows_what_the_demo_prints(folder: Path) -> None:
    as_by_make = {"program": str(ROOT / ".venv/bin/fiona-ledger"), "PATH": "/usr/bin:/bin"}
    printed = start("demo", "--folder", str(folder), **as_by_make).out.replace(str(folder), ".demo")
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = readme.split("<!-- demo -->\n```\n")[1].split("```\n<!-- /demo -->")[0]
    assert shown == "".join(f"{line.rstrip()}\n" for line in printed.splitlines())

"""The units of systemd, as systemd itself judges them; where it is not installed, by their settings."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = sorted((ROOT / "deploy").glob("*.service"))
RESIDENT = "fiona-ledger-resident.service"
ANALYZE = shutil.which("systemd-analyze")

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze")


def settings(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text("utf-8"), re.MULTILINE))


@needs_systemd
@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_systemd_finds_little_exposed(service: Path) -> None:
    """It was 8.5."""
    command = [str(ANALYZE), "security", "--offline=true", "--no-pager", "--threshold=20", str(service)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    for path in (ROOT / "deploy").glob("fiona-ledger*.[st]*[er]"):
        text = re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", path.read_text("utf-8"), flags=re.MULTILINE)
        (tmp_path / path.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.iterdir())
    assert len(units) == 5
    done = subprocess.run([str(ANALYZE), "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("logger") is None, reason="no logger")
def test_that_a_run_has_failed_is_said_in_full() -> None:
    """logger took the -u of its own message for an option, and said nothing."""
    program, *arguments = settings(ROOT / "deploy" / "fiona-ledger-failed.service")["ExecStart"].split()
    logged = [Path(program).name, "--no-act", "--stderr", "--socket-errors=off", *arguments]
    done = subprocess.run(logged, capture_output=True, text=True, check=True)
    assert done.stderr.rstrip().endswith("fiona-ledger: A run has failed: see journalctl -u fiona-ledger")


def test_the_run_that_stays_is_fenced_like_the_one_of_each_minute() -> None:
    """What is said of both, they say alike; the one that stays is watched, and takes the other's place."""
    minutely, resident = (fenced(ROOT / "deploy" / name) for name in ("fiona-ledger.service", RESIDENT))
    assert resident == minutely
    found = settings(ROOT / "deploy" / RESIDENT)
    wanted = {"Type": "notify", "Restart": "always", "Conflicts": "fiona-ledger.timer", "WatchdogSec": "1h"}
    assert {name: found.get(name) for name in wanted} == wanted


def fenced(path: Path) -> list[str]:
    """The lines that say what the service may do, and with what."""
    return re.findall(
        r"^\w+=.*$", path.read_text("utf-8").partition("\nUser=")[2].partition("[Install]")[0], re.MULTILINE
    )


def test_the_run_is_fenced_and_bounded() -> None:
    found = settings(ROOT / "deploy" / "fiona-ledger.service")
    wanted = {
        "UMask": "0077",
        "NoNewPrivileges": "true",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
        "OnFailure": "fiona-ledger-failed.service",
        "SuccessExitStatus": "1",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert found.keys() >= {"TimeoutStartSec", "MemoryMax", "TasksMax", "SystemCallFilter"}


def test_after_a_night_without_power_it_runs_at_once() -> None:
    assert settings(ROOT / "deploy" / "fiona-ledger.timer")["Persistent"] == "true"

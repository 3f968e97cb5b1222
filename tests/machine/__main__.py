"""`make machine`: docs/install.md on a machine with systemd and no network, from the bundle in dist/ alone.

The machine is this one's system in namespaces of its own, which takes root; what it changes goes with it. Played are
the packages, which are there already, and REDCap, which is the simulator. Then the units are tried: a run that fails is
told, the run that stays starts and is stopped in order.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.documented import commands
from tests.processes import ROOT
from tests.test_install import TOKENS, alike

_REDCAP = "http://127.0.0.1:8080/api/"
_SIMULATOR = (
    "systemd-run --quiet --unit=redcap --working-directory=/root "
    "/opt/fiona-ledger/bin/python -m processors.demo.simulator --state redcap.json"
)
_HIERARCHIES = ("systemd", "unified", "memory", "pids", "")
_BREAK = "systemctl stop redcap; mv /etc/fiona-ledger/vault.key /root"
_MEND = f"mv /root/vault.key /etc/fiona-ledger/; systemctl reset-failed; {_SIMULATOR}; sleep 3"
_RUN = "systemctl start fiona-ledger; sleep 2"
_TRIED = {
    "a run that fails is told": (
        f"{_BREAK}; {_RUN}; journalctl -t fiona-ledger -o cat -n 1",
        "A run has failed: see journalctl -u fiona-ledger",
    ),
    "once that is mended, the next gets through": (
        f"{_MEND}; {_RUN}; systemctl show --property Result --value fiona-ledger",
        "success",
    ),
    "the run that stays is up, in place of the timer": (
        "systemctl start fiona-ledger-resident; sleep 15; systemctl is-active fiona-ledger-resident fiona-ledger.timer",
        "active\ninactive",
    ),
    "it is stopped in order": (
        "systemctl stop fiona-ledger-resident; systemctl show --property Result --value fiona-ledger-resident",
        "success",
    ),
    "there is no version to go back to": (
        "fiona-ledger-*/install.sh --prefix /opt/fiona-ledger --roll-back",
        "install.sh: /opt/fiona-ledger has no version before this one",
    ),
}


def main() -> int:
    """Ends with 1 where something is not as the page says, with 3 where no such machine can be had."""
    bundles = sorted((ROOT / "dist").glob("fiona-ledger-*.tar.gz"), key=os.path.getmtime)
    lacking = [name for name in ("unshare", "nsenter", "systemctl", "pg_lsclusters") if shutil.which(name) is None]
    if os.geteuid() != 0 or lacking or not bundles:
        sys.stderr.write(
            "make machine: expected root, systemd, util-linux, Debian's PostgreSQL and a bundle (`make bundle`), found "
            f"account {os.geteuid()}, no {', '.join(lacking) or 'lack of programs'}, {len(bundles)} bundles.\n"
        )
        return 3
    with _machine(bundles[-1]) as first:
        differing = [*_by_the_page(first), *_by_hand(first)]
    for what in differing:
        sys.stdout.write(f"{what}\n")
    return bool(differing)


@contextmanager
def _machine(bundle: Path) -> Iterator[int]:
    """The number of a machine's first process, once it is up."""
    groups = [Path("/sys/fs/cgroup", name, f"fiona-machine-{os.getpid()}") for name in _HIERARCHIES]
    groups = [group for group in groups if (group.parent / "cgroup.procs").exists()]
    with tempfile.TemporaryDirectory() as root:
        for group in groups:
            group.mkdir()
        enter = [f"echo 0 > {group}/cgroup.procs" for group in groups]
        spaces = "unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child"
        boot = f"{'; '.join(enter)}; exec {spaces} {Path(__file__).with_name('boot.sh')} {root} {bundle}"
        started = subprocess.Popen(["/bin/bash", "-c", boot])
        try:
            yield _up(started)
        finally:
            started.kill()
            started.wait()
            time.sleep(2)
            for group in groups:
                _remove(group)


def _up(started: subprocess.Popen[bytes]) -> int:
    for _ in range(60):
        time.sleep(1)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text("ascii").split()
        if children and "running" in _given(int(children[0]), "systemctl is-system-running")[1].split():
            return int(children[0])
    raise TimeoutError("the machine did not come up within a minute")


def _remove(group: Path) -> None:
    for folder in (*sorted(group.rglob("*/"), reverse=True), group):
        folder.rmdir()


def _given(first: int, line: str, typed: str = "") -> tuple[int, str]:
    """How a command of root's on the machine ends, and what it says."""
    spaces = ["nsenter", "--target", str(first), *("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root")]
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    done = subprocess.run(
        [*spaces, "env", "--ignore-environment", path, "HOME=/root", "LANG=C.UTF-8", "bash", "-c", f"cd /root; {line}"],
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout


def _by_the_page(first: int) -> Iterator[str]:
    """What is not as docs/install.md says."""
    tokens: dict[str, str] = {}
    for command in commands("install.md"):
        line = command.line.replace("https://redcap.hospital.example/api/", _REDCAP)
        if line.startswith("apt-get"):
            line = "systemctl start postgresql"
        sys.stdout.write(f"# {line}\n")
        typed = "".join(f"{tokens[name]}\n" for name in TOKENS) if "read -rsp" in line else ""
        code, said = _given(first, line, typed)
        if alike(said) != alike(command.output) or (code and "| grep" not in line):
            yield f"{line}\n  ended with {code}; expected:\n{command.output}\n  found:\n{said}"
        if "install.sh" in line:
            _given(first, f"{_SIMULATOR}; sleep 3")
            told = _given(first, "journalctl -u redcap -o cat")[1]
            tokens = dict(re.findall(r"^(\w+) ([0-9A-F]{32})$", told, re.MULTILINE))


def _by_hand(first: int) -> Iterator[str]:
    """What the units do not do as they should."""
    for what, (line, expected) in _TRIED.items():
        sys.stdout.write(f"# {line}\n")
        _, said = _given(first, line)
        if not said.strip().endswith(expected):
            yield f"Expected that {what}: {expected}; found:\n{said}"


if __name__ == "__main__":
    sys.exit(main())

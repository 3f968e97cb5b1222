"""`make lock`: requirements.lock anew, each package at its newest version that fits, with the hashes of its wheels."""

import json
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"

_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
_HEAD = """\
# What an installation consists of beside fiona-ledger itself, and the sums of its files for Linux on x86-64 and Python
# {pythons}. Made by `make lock`; `make bundle` takes nothing else. pip is there to install the rest.
"""


def main() -> None:
    """Writes the file."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for python in _PYTHONS:
        for package in _resolved(python):
            metadata, file = package["metadata"], package["download_info"]["archive_info"]
            found[f"{metadata['name'].lower().replace('_', '-')}=={metadata['version']}"].add(file["hashes"]["sha256"])
    lines = [
        " \\\n    ".join([requirement, *(f"--hash=sha256:{each}" for each in sorted(found[requirement]))])
        for requirement in sorted(found)
    ]
    LOCK.write_text(_HEAD.format(pythons=", ".join(_PYTHONS)) + "\n".join(lines) + "\n", "utf-8")


def _resolved(python: str) -> list[dict[str, Any]]:
    """What pip would install of our dependencies, and of itself."""
    platforms = [part for platform in _PLATFORMS for part in ("--platform", platform)]
    report = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"),
            *("--only-binary", ":all:", "--python-version", python, "--target", "nowhere", *platforms),
            *dependencies(),
            "pip",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    packages: list[dict[str, Any]] = json.loads(report)["install"]
    return packages


def dependencies() -> list[str]:
    """What pyproject.toml asks for."""
    wanted: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    return wanted


if __name__ == "__main__":
    main()

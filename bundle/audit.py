"""`make audit`: whether a vulnerability is known in what requirements.lock names, by pip-audit.

pip-audit asks a database on the internet. Of a package that it cannot ask about it says so and ends well, as if nothing
were known against it: here that is a failure of its own.
"""

import json
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

from bundle.lock import LOCK, ROOT

FOUND, NOT_ASKED = 1, 3
"""Exit codes."""

_FOLDER = ROOT / ".venv" / "audit"
_OPTIONS = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")


def main() -> None:
    """Tells what is known, and ends with 0 only where all was asked and nothing is."""
    try:
        program = _installed()
    except subprocess.CalledProcessError:
        sys.exit(_not_asked("pip-audit could not be installed from the package index."))
    sys.exit(audit(program))


def _installed() -> Path:
    """pip-audit, in an environment of its own: it brings thirty packages that nothing else here needs."""
    if not (_FOLDER / "bin" / "pip-audit").exists():
        venv.create(_FOLDER, with_pip=True)
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        pip = [str(_FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *extras["audit"]], check=True)
    return _FOLDER / "bin" / "pip-audit"


def audit(program: Path) -> int:
    """The exit code, once what the program says of the lock file has been told."""
    done = subprocess.run(
        [str(program), "--requirement", str(LOCK), *_OPTIONS], capture_output=True, text=True, check=False
    )
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return _not_asked((done.stderr.strip().splitlines() or ["pip-audit said nothing."])[-1])
    known = [(package, each) for package in packages for each in package.get("vulns", ())]
    for package, each in known:
        mended = " or ".join(each["fix_versions"]) or "no version yet"
        sys.stdout.write(f"{package['name']} {package['version']}: {each['id']}, mended in {mended}\n")
    skipped = [package for package in packages if "skip_reason" in package]
    if skipped:
        _not_asked(f"{len(skipped)} of {len(packages)} packages, as: {skipped[0]['skip_reason']}")
    if known:
        sys.stdout.write("Known vulnerabilities: `make lock` takes newer versions, `make test` tries them.\n")
        return FOUND
    if skipped:
        return NOT_ASKED
    sys.stdout.write(f"No vulnerability is known in the {len(packages)} packages of {LOCK.name}.\n")
    return 0


def _not_asked(why: str) -> int:
    sys.stderr.write(
        f"make audit: expected an answer about each package of {LOCK.name}, found none. {why}\n"
        "Nothing is known of those, good or bad: repeat it where PyPI is reached.\n"
    )
    return NOT_ASKED


if __name__ == "__main__":
    main()

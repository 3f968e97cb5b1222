"""The bundle and its `install.sh`, with a program that only tells its version: the real one takes half a minute."""

import ensurepip
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bundle.__main__ import assembled
from bundle.lock import LOCK, dependencies

PIP = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))

needs_pip = pytest.mark.skipif(not PIP, reason="a Python without a pip of its own")


QUICK_PIP = """
import sys, zipfile
from pathlib import Path
(wheel,) = Path(sys.argv[sys.argv.index("--find-links") + 1]).glob("fiona_ledger-*.whl")
zipfile.ZipFile(wheel).extractall(Path(sys.prefix, "lib"))
program = Path(sys.prefix, "bin", "fiona-ledger")
program.write_text(f"#!{sys.executable}\\nimport sys\\nsys.path.insert(0, {str(Path(sys.prefix, 'lib'))!r})\\n"
                   "from fiona import main\\nmain()\\n")
program.chmod(0o755)
"""
"""Installs the one wheel there is; pip itself, which is not compiled in its wheel, takes seconds."""


def a_quick_pip(folder: Path) -> Path:
    wheel = folder / "pip-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pip/__main__.py", QUICK_PIP)
        archive.writestr("pip-0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pip\nVersion: 0\n")
    return wheel


def a_wheel(folder: Path, version: str) -> Path:
    """A wheel of a program `fiona-ledger`."""
    wheel = folder / f"fiona_ledger-{version}-py3-none-any.whl"
    about = f"fiona_ledger-{version}.dist-info"
    files = {
        "fiona.py": f"def main():\n    print('fiona-ledger {version}')\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: fiona-ledger\nVersion: {version}\nLicense: Apache-2.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\nfiona-ledger = fiona:main\n",
        f"{about}/licenses/LICENSE": "Its licence.\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in (*files.items(), (f"{about}/RECORD", record)):
            archive.writestr(zipfile.ZipInfo(name), text)
    return wheel


def unpacked(bundle: Path, folder: Path) -> Path:
    with tarfile.open(bundle) as archive:
        archive.extractall(folder, filter="data")
    return folder / bundle.name.removesuffix(".tar.gz")


def made(folder: Path, version: str, pip: Path) -> Path:
    """A bundle of this version, unpacked."""
    return unpacked(assembled([a_wheel(folder, version), pip], folder), folder)


def install(bundle: Path, prefix: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(bundle / "install.sh"), "--prefix", str(prefix), "--python", sys.executable, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})


def version(prefix: Path) -> str:
    return subprocess.run([prefix / "bin" / "fiona-ledger"], capture_output=True, text=True, check=True).stdout.strip()


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path, "1.0")
    first = assembled([wheel], tmp_path / "a").read_bytes()
    assert assembled([wheel], tmp_path / "b").read_bytes() == first


def test_it_holds_what_a_hospital_asks_for(tmp_path: Path) -> None:
    folder = made(tmp_path, "1.0", a_quick_pip(tmp_path))
    bill = json.loads((folder / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["purl"]) == ("CycloneDX", "pkg:pypi/fiona-ledger@1.0")
    assert [component["name"] for component in bill["components"]] == ["pip"]
    assert (folder / "licences" / "fiona-ledger.txt").read_text() == "Its licence.\n"
    assert (folder / "docs" / "database.md").exists()
    assert (folder / "deploy" / "fiona-ledger.service").exists()
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {line.split("  ")[1] for line in sums} == files - {"SHA256SUMS"}


@needs_pip
def test_it_installs_with_nothing_but_python(tmp_path: Path) -> None:
    done = install(made(tmp_path, "1.0", PIP[-1]), tmp_path / "opt")
    assert (done.returncode, done.stderr) == (0, "")
    assert version(tmp_path / "opt") == "fiona-ledger 1.0"


def test_it_upgrades_in_place_and_rolls_back(tmp_path: Path) -> None:
    pip, prefix = a_quick_pip(tmp_path), tmp_path / "opt"
    older, newer = made(tmp_path, "1.0", pip), made(tmp_path, "2.0", pip)
    assert install(older, prefix, "--roll-back").returncode == 2
    for bundle, expected in ((older, "1.0"), (newer, "2.0"), (newer, "2.0")):
        done = install(bundle, prefix)
        assert (done.returncode, done.stderr) == (0, "")
        assert version(prefix) == f"fiona-ledger {expected}"
    assert install(newer, prefix, "--roll-back").returncode == 0
    assert version(prefix) == "fiona-ledger 1.0"
    assert install(newer, prefix, "--roll-back").returncode == 0
    assert version(prefix) == "fiona-ledger 2.0"


def test_what_was_changed_on_the_way_is_not_installed(tmp_path: Path) -> None:
    bundle = made(tmp_path, "1.0", a_quick_pip(tmp_path))
    (bundle / "README.md").write_text("Something else.\n")
    done = install(bundle, tmp_path / "opt")
    assert (done.returncode, "is not as it was made" in done.stderr) == (2, True)
    assert not (tmp_path / "opt").exists()


def test_the_lock_names_what_is_needed_with_sums() -> None:
    entries = [entry.split() for entry in LOCK.read_text("utf-8").replace("\\\n", " ").splitlines() if "==" in entry]
    locked = dict(words[0].split("==") for words in entries)
    assert all(word.startswith("--hash=sha256:") for words in entries for word in words[1:])
    assert all(len(words) > 1 for words in entries)
    for dependency in map(Requirement, dependencies()):
        assert dependency.specifier.contains(locked[dependency.name.lower()]), f"{dependency}: run `make lock`"

"""`make bundle`: fiona-ledger-VERSION-PLATFORM.tar.gz, from which a machine without a network installs.

It holds the wheels of requirements.lock for the Python that makes it, our own, `install.sh`, the documentation,
deploy/, the licences of all, a bill of materials (CycloneDX), and the sums of all files. The same sources give the
same bytes.
"""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

from bundle.lock import LOCK, ROOT

_TEXTS = ("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "docs", "deploy")
_SUMS = "SHA256SUMS"
_EPOCH = 315_532_800  # 1980, the first year that an archive of wheels can tell


def main() -> None:
    """Makes the file in dist/, and says which."""
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
        _pip("download", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--dest", folder, "-r", str(LOCK))
        made = assembled(sorted(wheels.glob("*.whl")), ROOT / "dist")
    sys.stdout.write(f"{made}\n")


def _pip(command: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", command, "--quiet", *arguments], check=True)


def assembled(wheels: list[Path], target: Path) -> Path:
    """The bundle of these wheels, of which one is ours."""
    (ours,) = (wheel for wheel in wheels if wheel.name.startswith("fiona_ledger-"))
    version = _metadata(ours)["Version"]
    platform = f"cp{sys.version_info.major}{sys.version_info.minor}-{sysconfig.get_platform().replace('-', '_')}"
    name = f"fiona-ledger-{version}-{platform}"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above, name)
        (folder / "wheels").mkdir(parents=True)
        for wheel in wheels:
            shutil.copy(wheel, folder / "wheels")
            _extract_licences(wheel, folder / "licences")
        for text in _TEXTS:
            _copy(ROOT / text, folder / text)
        _copy(Path(__file__).with_name("install.sh"), folder / "install.sh")
        requirements = [f"{_pinned(wheel)} --hash=sha256:{_sum(wheel)}" for wheel in wheels]
        (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", "utf-8")
        (folder / "sbom.cdx.json").write_text(json.dumps(_bill(ours, wheels), indent=2) + "\n", "utf-8")
        sums = [f"{_sum(path)}  {path.relative_to(folder)}" for path in _files(folder)]
        (folder / _SUMS).write_text("\n".join(sums) + "\n", "utf-8")
        made = target / f"{name}.tar.gz"
        made.write_bytes(_packed(folder))
    return made


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def _pinned(wheel: Path) -> str:
    metadata = _metadata(wheel)
    return f"{metadata['Name'].lower().replace('_', '-')}=={metadata['Version']}"


def _extract_licences(wheel: Path, folder: Path) -> None:
    """What a wheel says of its licence: its files, or its own words where it brings none."""
    metadata = _metadata(wheel)
    with zipfile.ZipFile(wheel) as archive:
        texts = [
            archive.read(name)
            for name in archive.namelist()
            if ".dist-info/" in name and Path(name).name.upper().startswith(("LICEN", "COPYING", "NOTICE", "AUTHORS"))
        ]
    folder.mkdir(exist_ok=True)
    content = b"\n\n".join(texts) or f"{_licence(metadata)}\n".encode()
    (folder / f"{metadata['Name']}.txt").write_bytes(content)


def _licence(metadata: Message) -> str:
    classified = [each.rpartition(":: ")[2] for each in metadata.get_all("Classifier", []) if "License ::" in each]
    return str(metadata["License-Expression"] or metadata["License"] or ", ".join(classified) or "not told")


def _bill(ours: Path, wheels: list[Path]) -> dict[str, object]:
    """The bill of materials, as CycloneDX 1.5 has it."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": _component(ours)},
        "components": [_component(wheel) for wheel in wheels if wheel != ours],
    }


def _component(wheel: Path) -> dict[str, object]:
    metadata = _metadata(wheel)
    name, _, version = _pinned(wheel).partition("==")
    return {
        "type": "application" if wheel.name.startswith("fiona_ledger-") else "library",
        "bom-ref": f"pkg:pypi/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "hashes": [{"alg": "SHA-256", "content": _sum(wheel)}],
        "licenses": [{"license": {"name": _licence(metadata).splitlines()[0]}}],
    }


def _packed(folder: Path) -> bytes:
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for path in _files(folder):
            archive.add(path, str(path.relative_to(folder.parent)), filter=_anonymous)
    return content.getvalue()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who packed it, and when."""
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = _EPOCH, 0, 0, "root", "root"
    entry.mode = 0o755 if entry.name.endswith(".sh") else 0o644
    return entry


if __name__ == "__main__":
    main()

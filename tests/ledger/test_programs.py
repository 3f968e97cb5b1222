"""Which PostgreSQL the embedded one is: programs of versions that are made up, but for what they say of themselves."""

from pathlib import Path

import pytest

from ledger.errors import Misconfigured
from ledger.programs import Programs, fitting, installed

NONE = "no_such_package"


def lay(folder: Path, version: str, *others: str) -> Path:
    """A folder with programs, which say that they are of this version."""
    folder.mkdir(parents=True)
    for name in ("postgres", *others):
        (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


def whole(folder: Path, version: str) -> Path:
    return lay(folder, version, "initdb", "pg_ctl")


def test_the_distributions_newest_come_first(tmp_path: Path) -> None:
    older = whole(tmp_path / "usr/lib/postgresql/15/bin", "15.14 (Debian 15.14-0+deb12u1)")
    newer = whole(tmp_path / "usr/pgsql-17/bin", "17.6")
    plain = whole(tmp_path / "usr/bin", "16.10")
    found = installed(tmp_path, NONE)
    assert found == [Programs(17, newer), Programs(16, plain), Programs(15, older)]


def test_too_old_ones_and_a_client_without_server_are_none(tmp_path: Path) -> None:
    whole(tmp_path / "usr/lib/postgresql/14/bin", "14.19")
    lay(tmp_path / "usr/lib/postgresql/16/bin", "16.10")
    assert installed(tmp_path, NONE) == []


def test_those_of_the_extra_come_after_the_distributions(tmp_path: Path) -> None:
    system = whole(tmp_path / "usr/lib/postgresql/15/bin", "15.14")
    first, *others = installed(tmp_path)
    assert first == Programs(15, system)
    assert others == sorted(installed(tmp_path / "nowhere"), reverse=True)
    assert [programs.version for programs in others] == [18, 16]


def test_without_any_programs_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"apt install postgresql.*fiona-ledger\[embedded\].*url = "):
        fitting(tmp_path / "postgres", [])


def test_data_are_worked_on_by_the_version_that_made_them(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("16\n")
    found = [Programs(18, Path("/a")), Programs(16, Path("/b"))]
    assert fitting(tmp_path, found) == found[1]
    assert fitting(tmp_path / "new", found) == found[0]


def test_data_of_another_major_version_are_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("16\n")
    with pytest.raises(Misconfigured, match=r"made by PostgreSQL 16; found 18 \(/a\)\. .*backup FILE.*restore FILE"):
        fitting(tmp_path, [Programs(18, Path("/a"))])

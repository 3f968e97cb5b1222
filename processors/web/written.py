"""The overview as files, for a web server that serves a folder: each replaces the one before when it is whole."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ledger.private_files import written_whole
from processors.gateway import Gateway
from processors.operations.health import Finding, worst
from processors.operations.status import Status
from processors.web.overview import overview, volume
from processors.web.rendering import STATIC, environment


def write(folder: Path, gateway: Gateway, told: Status) -> None:
    """Writes index.html and what it needs into the folder. Raises `OSError` where that cannot be done."""
    template = environment(gateway.local, live=False).get_template("overview.html")
    _put_page(
        folder, template.render(site=gateway.site, overview=overview(gateway, told, volume(gateway, told.totals)))
    )


def write_trouble(folder: Path, site: str, found: Sequence[Finding], at: datetime) -> None:
    """The same where the ledger cannot be asked: what is wrong, and no more."""
    template = environment(datetime.astimezone, live=False).get_template("trouble.html")
    _put_page(folder, template.render(site=site, found=found, severity=worst(found), at=at))


def _put_page(folder: Path, page: str) -> None:
    for file in sorted(STATIC.iterdir()):
        _put(folder / file.name, file.read_bytes())
    _put(folder / "index.html", page.encode())


def _put(path: Path, content: bytes) -> None:
    with written_whole(path) as file:
        # Whatever the umask: another program serves it, and it tells of nobody.
        os.fchmod(file.fileno(), 0o644)
        file.write(content)

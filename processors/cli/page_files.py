"""The overview as files, as commands write it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from processors.configuration.own_files import require_foreign
from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.operations.health import Finding
from processors.operations.status import Status

GENERATOR = '<meta name="generator" content="fiona-ledger">'
"""What each page has in its head."""


def require_extra() -> None:
    """Raises `ConfigurationError` where what the page is made with is not installed."""
    missing = [name for name in ("jinja2", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The page needs {' and '.join(missing)}, which is not installed: install the extra as the README "
            "says, 'PATH[web]'."
        )


def write_page(folder: Path, configuration: Configuration, gateway: Gateway, told: Status) -> None:
    """Writes the overview with this status into the folder. Raises `ConfigurationError` where that cannot be done."""
    with _written_into(folder, configuration) as written:
        written.write(folder, gateway, told)


def write_trouble(folder: Path, configuration: Configuration, found: Sequence[Finding], at: datetime) -> None:
    """The same where the ledger cannot be asked: what is wrong, and no more."""
    with _written_into(folder, configuration) as written:
        written.write_trouble(folder, configuration.ledger.site, found, at)


def is_ours(folder: Path) -> bool:
    """Whether the overview of an earlier run is there."""
    try:
        return GENERATOR in (folder / "index.html").read_text("utf-8", errors="replace")
    except OSError:
        return False


@contextmanager
def _written_into(folder: Path, configuration: Configuration) -> Iterator[ModuleType]:
    require_extra()
    require_foreign(folder / "index.html", "The page", configuration)
    # Imported here: it takes a while, and most sites have none.
    from processors.web import written

    try:
        yield written
    except OSError as exc:
        raise ConfigurationError(
            f"The page cannot be written into {folder}: {exc.strerror}. Let the folder be there, and the "
            "user of this command write into it."
        ) from exc

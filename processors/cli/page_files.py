"""The overview as files, as commands write it."""

from importlib.util import find_spec
from pathlib import Path

from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.operations.status import Status


def require_extra() -> None:
    """Raises `ConfigurationError` where what the page is made with is not installed."""
    missing = [name for name in ("jinja2", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The page needs {' and '.join(missing)}, which is not installed: install the extra as the README "
            "says, 'PATH[web]'."
        )


def write_page(folder: Path, gateway: Gateway, told: Status) -> None:
    """Writes the overview with this status into the folder. Raises `ConfigurationError` where that cannot be done."""
    require_extra()
    # Imported here: it takes a while, and most sites have none.
    from processors.web import written

    try:
        written.write(folder, gateway, told)
    except OSError as exc:
        raise ConfigurationError(
            f"The page cannot be written into {folder}: {exc.strerror}. Let the folder be there, and the "
            "user of this command write into it."
        ) from exc

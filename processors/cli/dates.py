"""Dates on the command line, in the machine's own zone: read, unless they name another zone, and shown."""

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from processors.errors import ConfigurationError

_LOCALTIME: Final = Path("/etc/localtime")

_LENGTH_OF_A_DAY = len("2026-03-31")


def local_time(moment: datetime, pattern: str = "%Y-%m-%d %H:%M") -> str:
    """The moment as the clocks here show it; with the offset in the night in which they show it twice."""
    local = moment.astimezone()
    shown = local.replace(tzinfo=None)
    offsets = {shown.replace(fold=fold).astimezone().utcoffset() for fold in (0, 1)}
    return local.strftime(f"{pattern} %z" if len(offsets) > 1 else pattern)


def zone_name(environment: Mapping[str, str] = os.environ, localtime: Path = _LOCALTIME) -> str | None:
    """The machine's time zone as zones are named everywhere, such as Europe/Oslo; None where it has no such name."""
    named = environment.get("TZ", "").removeprefix(":") or str(localtime.resolve())
    name = named.rpartition("/zoneinfo/")[2]
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, ZoneInfoNotFoundError):  # what is no name, or of no zone that there is
        return None


def since(option: str, text: str | None) -> datetime | None:
    """The first moment that is meant."""
    return None if text is None else _moment(option, text)


def until(option: str, text: str | None) -> datetime | None:
    """The first moment that is not meant any more: a day is meant to its end."""
    if text is None:
        return None
    moment = _moment(option, text)
    is_day = len(text.strip()) <= _LENGTH_OF_A_DAY
    try:
        return moment + timedelta(days=1) if is_day else moment
    except OverflowError:
        return moment  # the last day that there is


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{option}: expected a day or a moment such as 2026-03-31 or 2026-03-31T14:30, found {text!r}."
        ) from None

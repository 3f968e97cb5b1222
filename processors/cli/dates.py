"""Dates on the command line: a day, or a day and a time, in the machine's own zone unless they name another."""

from datetime import datetime, timedelta

from processors.errors import ConfigurationError

_LENGTH_OF_A_DAY = len("2026-03-31")


def since(option: str, text: str | None) -> datetime | None:
    """The first moment that is meant."""
    return None if text is None else _moment(option, text)


def until(option: str, text: str | None) -> datetime | None:
    """The first moment that is not meant any more: a day is meant to its end."""
    if text is None:
        return None
    moment = _moment(option, text)
    return moment + timedelta(days=1) if len(text.strip()) <= _LENGTH_OF_A_DAY else moment


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{option}: expected a day or a moment such as 2026-03-31 or 2026-03-31T14:30, found {text!r}."
        ) from None

"""When a day begins and ends where the hospital is, whatever the clocks there did since."""

from datetime import date, datetime, time, timedelta

from processors.errors import ConfigurationError
from processors.gateway import Work


def beginning(work: Work, day: date) -> datetime:
    """The first moment of the day. Raises `ConfigurationError` for one at an end of the calendar."""
    try:
        begins = datetime.combine(day, time(), work.gateway.zone)
        return begins.astimezone() if begins.tzinfo is None else begins
    except (OverflowError, ValueError):
        raise ConfigurationError("Expected a day of these centuries, found another one.") from None


def end(work: Work, day: date) -> datetime:
    """The first moment after the day. Raises `ConfigurationError` as `beginning` does."""
    return beginning(work, day + timedelta(days=1) if day < date.max else day)

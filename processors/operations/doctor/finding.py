"""One finding of the doctor's: something that was looked at, in order or not. Pure."""

from typing import NamedTuple

from processors.operations.health import Severity

from .facts import Trouble


class Finding(NamedTuple):
    """One thing that was looked at. Where it is not in order: what was expected of it, and what to do."""

    area: str
    name: str
    severity: Severity
    found: str
    expected: str = ""
    advice: str = ""


def ok(area: str, name: str, found: str) -> Finding:
    """What is in order."""
    return Finding(area, name, Severity.OK, found)


def wrong(area: str, name: str, expected: str, found: str, advice: str) -> Finding:
    """What keeps runs from their work, or makes them do it wrong."""
    return Finding(area, name, Severity.CRITICAL, found, expected, advice)


def doubtful(area: str, name: str, expected: str, found: str, advice: str) -> Finding:
    """What may do harm one day."""
    return Finding(area, name, Severity.WARNING, found, expected, advice)


def trouble(area: str, name: str, words: Trouble) -> Finding:
    """What is told of something that could not be asked, or in whose answer all is said."""
    return Finding(area, name, Severity.CRITICAL, words.words)

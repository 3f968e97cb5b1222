"""Findings about the gateway's health in words, with moments as the clocks here show them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from processors.cli.dates import local_time
from processors.clocks import duration
from processors.operations.health import Finding, Severity, worst


def moments(finding: Finding, now: datetime) -> str:
    """Since when it is so, or until when; blank where nobody knows."""
    if finding.since is not None:
        return f"since {local_time(finding.since)} ({duration(now - finding.since)})"
    return "" if finding.until is None else f"until {local_time(finding.until)}"


def in_a_sentence(finding: Finding, now: datetime) -> str:
    """The finding on one line, without what to do."""
    when = moments(finding, now)
    return f"{finding.words} {when.capitalize()}." if when else finding.words


def as_data(found: Sequence[Finding]) -> dict[str, Any]:
    """The judgement for a program to read."""
    return {
        "state": worst(found).name.lower(),
        "findings": [finding._asdict() | {"severity": finding.severity.name.lower()} for finding in found],
    }


def is_told(finding: Finding) -> bool:
    """Whether it is wrong now, and not only in a while."""
    return finding.severity > Severity.OK

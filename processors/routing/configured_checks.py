"""The checks that a request has to pass, as they are configured, in their order."""

from processors.configuration import Configuration
from processors.routing.checks import Check
from processors.routing.fit_check import fit_check


def checks_of(configuration: Configuration) -> tuple[Check, ...]:
    """The checks: what can be said of a request alone comes first."""
    return (fit_check(configuration.identity),)

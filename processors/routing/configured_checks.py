"""The checks that a request has to pass, as they are configured, in their order."""

from processors.configuration.settings import Configuration
from processors.routing.checks import Check
from processors.routing.fit_check import fit_check
from processors.routing.open_check import open_check
from processors.routing.withdrawals import withdrawal_check

LASTING: tuple[Check, ...] = (withdrawal_check, open_check)
"""Those that a request has to pass until it is placed, too."""


def checks_of(configuration: Configuration) -> tuple[Check, ...]:
    """The checks: whether anything at all may go there comes first, then what can be said of a request alone."""
    return (*LASTING, fit_check(configuration.identity))

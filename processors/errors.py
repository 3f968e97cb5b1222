"""What can go wrong in a run, split by what the operator does next: branches of the tree of `ledger.errors`.

    LedgerError
    ├── Misconfigured
    │   └── ConfigurationError   mend the configuration or the command line (exit code 2)
    │       └── LedgerBehind     the ledger has lost events: a person says how to go on (exit code 4)
    │           └── LedgerMissing    all of them: its data folder is not there
    └── ServiceError             a service is away or refuses us; the next run tries again (exit code 3)
        ├── Refused              REDCap answered, and said no: a token, a right, a ban
        ├── Unanswered           no answer that can be trusted: down, cut off, an error page
        └── WrongClock           our clock and another one differ by hours: nothing is decided

With one tree, nobody who catches what can be foreseen catches REDCap's half of it and lets PostgreSQL's pass.

Messages never hold patient names, patient IDs, tokens or keys.
"""

from ledger.errors import LedgerError, Misconfigured


class ConfigurationError(Misconfigured):
    """The configuration or a command's argument cannot be used."""


class LedgerBehind(ConfigurationError):
    """The ledger lacks what it held, or what was done: it was restored from a backup, or lost its last events."""


class LedgerMissing(LedgerBehind):
    """The data folder of an embedded ledger is not there, though it once was."""


class ServiceError(LedgerError):
    """A service that the run needs does not do its part."""


class Refused(ServiceError):
    """REDCap answered and refuses us as we are: trying again changes nothing until a person acts."""


class Unanswered(ServiceError):
    """REDCap gave no answer that can be trusted; whether an import was applied is unknown."""


class WrongClock(ServiceError):
    """Our clock contradicts another one by more than is tolerated."""

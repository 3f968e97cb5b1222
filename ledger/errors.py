"""What can go wrong with a ledger, split by what the caller does next.

    LedgerError
    ├── Unreachable          the service is away or refuses us: end the run, try again later
    ├── LeaseLost            another command works instead of this one: stop at once
    ├── Conflict             the ledger has moved since it was read: read again, decide again
    ├── Misconfigured        a person has to set something right before anything works
    │   ├── NotMigrated      run `fiona-ledger migrate`
    │   ├── LedgerIsNewer    update the program
    │   └── KeyProblem       the master key is missing, unreadable, open to others, or a wrong one
    └── Corrupt              the ledger contradicts itself: stop and call for help

A program's own errors belong into the same tree, so that `except LedgerError` means all that can be foreseen.
Messages are whole sentences for a person and never hold sealed values, passwords or keys.
"""


class LedgerError(Exception):
    """Base of all errors that are foreseen, each with a message for a person."""


class Unreachable(LedgerError):
    """PostgreSQL cannot be reached, or ended the connection."""


class LeaseLost(LedgerError):
    """The lease that is to keep others away is not in force any more."""


class Conflict(LedgerError):
    """Other events stand where these were to be appended."""


class Misconfigured(LedgerError):
    """Something that a person must set right."""


class NotMigrated(Misconfigured):
    """The ledger's tables are missing or older than the program."""


class LedgerIsNewer(Misconfigured):
    """The ledger's tables were made by a newer version of the program."""


class KeyProblem(Misconfigured):
    """The master key cannot be used with this ledger."""


class Corrupt(LedgerError):
    """The ledger contradicts itself."""

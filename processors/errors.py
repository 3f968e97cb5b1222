"""What can go wrong in a run, split by what the operator does next.

    GatewayError
    ├── ConfigurationError   mend the configuration or the command line (exit code 2)
    └── ServiceError         a service is away or refuses us; the next run tries again (exit code 3)
        ├── Refused          REDCap answered, and said no: a token, a right, a ban
        └── Unanswered       no answer that can be trusted: down, cut off, an error page

Messages never hold patient names, patient IDs, tokens or keys.
"""


class GatewayError(Exception):
    """Base of all errors of this package that end a run."""


class ConfigurationError(GatewayError):
    """The configuration or a command's argument cannot be used."""


class ServiceError(GatewayError):
    """A service that the run needs does not do its part."""


class Refused(ServiceError):
    """REDCap answered and refuses us as we are: trying again changes nothing until a person acts."""


class Unanswered(ServiceError):
    """REDCap gave no answer that can be trusted; whether an import was applied is unknown."""

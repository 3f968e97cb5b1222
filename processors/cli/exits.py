"""What commands end with: 0 done, 1 something needs attention, 2 usage or configuration, 3 a service, 4 the ledger.

Errors become one message on standard error. A traceback shows values of variables and messages of
libraries, which may be a patient's; for an error nobody foresaw, only the place is told.
"""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ledger.errors import Conflict, Corrupt, LedgerError, Misconfigured
from processors.errors import ConfigurationError, GatewayError

DONE = 0
ATTENTION = 1
USAGE = 2
SERVICE = 3
CORRUPT = 4
UNFORESEEN = 70
INTERRUPTED = 130


@contextmanager
def exit_codes() -> Iterator[None]:
    """Ends the command with the code and message that an error stands for."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        end("Interrupted. Nothing is lost: the next run goes on from here.", INTERRUPTED)
    except (ConfigurationError, Misconfigured) as exc:
        end(str(exc), USAGE)
    except Corrupt as exc:
        end(str(exc), CORRUPT)
    except Conflict:
        end("Another run appended to the ledger at the same moment. The next run goes on.", SERVICE)
    except (GatewayError, LedgerError) as exc:
        end(str(exc), SERVICE)
    except Exception as exc:
        ours = [frame for frame in traceback.extract_tb(exc.__traceback__) if "site-packages" not in frame.filename]
        places = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in ours[:-5:-1])
        end(
            f"An error that nobody foresaw: {type(exc).__name__} at {places}. Please report this line. What was "
            "recorded so far is safe, and the next run tries again.",
            UNFORESEEN,
        )


def end(message: str, code: int) -> None:
    """Prints the message on standard error and ends the command."""
    print(f"fiona-ledger: {message}", file=sys.stderr)  # noqa: T201 - the one place that prints errors
    raise typer.Exit(code)

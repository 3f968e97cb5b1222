"""Why a call got no answer, in our own words: those of the libraries may hold addresses with passwords."""

import socket
import ssl
from collections.abc import Iterator


def certificate_problem(exc: BaseException) -> str:
    """Why the server's certificate was not accepted; blank where that is not what happened."""
    refused = next((c for c in _causes(exc) if isinstance(c, ssl.SSLCertVerificationError)), None)
    return refused.verify_message if refused is not None else ""


def problem(exc: BaseException, timeout_seconds: float) -> str:
    """What happened to the connection, from the error that a call ended with and what lies behind it."""
    causes = list(_causes(exc))
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"no answer within {timeout_seconds:g} s"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "that the server's name is not known here; check redcap.url and the name service"
    cut = next(
        (c for c in causes if isinstance(c, ConnectionResetError | ConnectionAbortedError | BrokenPipeError)), None
    )
    if cut is not None:
        return f"a connection that was cut off ({cut.strerror or 'no reason given'})"
    strerror = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), None)
    if strerror is not None:
        return f"no connection ({strerror}); check redcap.url and the environment's proxy settings"
    if type(exc) is OSError:  # how requests says that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names no file
        return "that the file of certificates named in the environment cannot be read"
    return "a connection that was cut off"


def _causes(exc: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__

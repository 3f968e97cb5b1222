"""Kinds of values in the configuration, each refused with what was expected."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, Strict

from ledger.chain import parse_witness_key
from processors.national_numbers import known_countries, national_numbers

_NAMED_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_HOST = 253


def _a_path(given: Any) -> Any:
    if isinstance(given, str) and not given.strip():
        raise ValueError("expected a path, found nothing")  # as a path, it would be the current folder
    if isinstance(given, str) and "\0" in given:
        raise ValueError("expected a path, found a NUL character in it")
    return given


def _printable(given: str) -> str:
    if not given.isprintable():
        raise ValueError("expected printable text, found a control character in it")
    return given


def _file_name(given: str) -> str:
    if not re.fullmatch(r"[\w.-]+", given) or given.startswith("."):
        raise ValueError("expected the name of a credential: letters, digits, dots, _ and -")
    return given


def _web_address(given: str) -> str:
    """The address as it is, if requests can be sent there. The value is not told: it may hold a password."""
    expected = "expected an address such as https://redcap.example/api/"
    if not re.match(r"https?://[^/?#\\]*/", given):
        raise ValueError(f"{expected}: http or https, a host, and a path from its first slash")
    if not given.isprintable() or " " in given:
        raise ValueError(f"{expected}, found a blank or control character in it")
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"{expected}, found a host or port that is none") from exc
    if "@" in parts.netloc:
        raise ValueError(f"{expected}, found a user or password in it: REDCap is asked with tokens only")
    if port == 0 or not _is_host(parts.hostname or ""):
        raise ValueError(f"{expected}, found a host or port that is none")
    return given


def _secret_web_address(given: SecretStr) -> SecretStr:
    """A web address that whoever knows it can call: it is not shown."""
    _web_address(given.get_secret_value())
    return given


def is_loopback(host: str) -> bool:
    """Whether it is this machine alone."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_host(name: str) -> bool:
    if ":" in name:
        return _is_address(name)
    try:
        plain = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return False
    return len(plain) <= _LONGEST_HOST and _NAMED_HOST.fullmatch(plain) is not None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _country(given: str) -> str:
    if not national_numbers(given):
        raise ValueError(
            f"expected one of the countries whose identity numbers are known: {', '.join(known_countries())}"
        )
    return given


def _witness_key(given: str) -> str:
    parse_witness_key(given)
    return given


Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Switch = Annotated[bool, Strict()]
FilePath = Annotated[Path, BeforeValidator(_a_path)]
Printable = Annotated[str, AfterValidator(_printable)]
CredentialName = Annotated[str, AfterValidator(_file_name)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
SecretWebAddress = Annotated[SecretStr, AfterValidator(_secret_web_address)]
Country = Annotated[str, AfterValidator(_country)]
WitnessKey = Annotated[str, AfterValidator(_printable), AfterValidator(_witness_key)]

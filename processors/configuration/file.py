"""The configuration file: where it is found, what it and the tokens' own places say, and messages for a person.

The file is TOML, found as `--config`, else `$FIONA_LEDGER_CONFIG`, else `./fiona-ledger.toml`, else
`/etc/fiona-ledger.toml`.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError

from processors.configuration.settings import Configuration, HealthSection, LedgerSection, TokenSource
from processors.errors import ConfigurationError
from processors.text import without_padding
from processors.trusted_files import require_trusted

VARIABLE = "FIONA_LEDGER_CONFIG"
LOCAL_FILE = Path("fiona-ledger.toml")
SYSTEM_FILE = Path("/etc/fiona-ledger.toml")

_Section = TypeVar("_Section", LedgerSection, HealthSection)

_STRAIGHT = str.maketrans("\u201c\u201d\u201e\u2018\u2019", '"""\'\'')
_HALF_A_TABLE = re.compile(r"\s*(?:\[\s*([a-z.]+)|([a-z.]+)\s*\])\s*(?:#.*)?$")

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TOKEN = re.compile(r"[0-9A-Fa-f]{32,}")


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Configuration:
    """The configuration in `path`, or where it is usually found. Raises `ConfigurationError`."""
    file = find(path, environment)
    require_trusted(file, "The configuration")
    try:
        return Configuration.model_validate(_read(file)).read_from(file)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{file} is not valid TOML: {exc}.") from exc
    except ValidationError as exc:
        raise ConfigurationError(_explained(file, exc)) from exc
    except OSError as exc:
        raise ConfigurationError(f"The configuration {file} cannot be read: {_words(exc)}.") from exc


def known_of_health(path: Path | None) -> Configuration:
    """What the file says of the ledger and of who is to know of its health, whatever else is wrong with it.

    Lines that are no TOML, and keys that are wrong, count as not there. Raises `ConfigurationError` where it cannot be
    read.
    """
    file = find(path, os.environ)
    require_trusted(file, "The configuration")
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"The configuration {file} cannot be read: {_words(exc)}.") from exc
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    tables = _understood(content.decode(encoding, errors="replace"))
    known = {
        "ledger": _without_wrong_keys(LedgerSection, tables.get("ledger")),
        "health": _without_wrong_keys(HealthSection, tables.get("health")),
    }
    return Configuration.model_validate(known).read_from(file)


def _understood(text: str) -> dict[str, Any]:
    """What a text says, without the lines that make it no TOML."""
    lines: list[str] = []
    content: dict[str, Any] = {}
    for line in text.splitlines():
        for meant in _meant(line):
            with suppress(tomllib.TOMLDecodeError):
                content = tomllib.loads("\n".join([*lines, meant]))
                lines.append(meant)
                break
    return content


def _meant(line: str) -> Iterator[str]:
    """The line, and what it was without a slip of the hand: a word processor's quotes, a table that lacks a bracket."""
    yield line
    yield line.translate(_STRAIGHT)
    if table := _HALF_A_TABLE.match(line):
        yield f"[{table[1] or table[2]}]"


def _without_wrong_keys(section: type[_Section], content: object) -> _Section:
    given = content if isinstance(content, dict) else {}
    try:
        return section.model_validate(given)
    except ValidationError as exc:
        wrong = {problem["loc"][0] for problem in exc.errors()}
        return section.model_validate({key: value for key, value in given.items() if key not in wrong})


def _read(file: Path) -> dict[str, Any]:
    """The TOML in a file as editors leave it, with a byte order mark or without."""
    content = file.read_bytes()
    if content.startswith(_UTF_16):
        raise ConfigurationError(
            f"The configuration {file} cannot be read: expected UTF-8, found UTF-16, as editors on Windows "
            'write it for "Unicode". Save it as UTF-8.'
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigurationError(
            f"The configuration {file} cannot be read: expected UTF-8, found other bytes in line {line}, as editors "
            "write them for another encoding, such as Latin-1. Save it as UTF-8."
        ) from exc
    return tomllib.loads(text)


def parse(text: str, name: str) -> Configuration:
    """The configuration in a text, which `name` stands for in what is said of it. Raises `ConfigurationError`."""
    try:
        return Configuration.model_validate(tomllib.loads(text))
    except ValidationError as exc:
        raise ConfigurationError(_explained(name, exc)) from exc


def find(path: Path | None, environment: Mapping[str, str]) -> Path:
    """The configuration file that applies. Raises `ConfigurationError` where there is none."""
    named = path or (Path(environment[VARIABLE]) if environment.get(VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            raise ConfigurationError(f"The configuration {named} does not exist or is not a file.")
        return named
    for candidate in (LOCAL_FILE, SYSTEM_FILE):
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        f"No configuration found: expected --config FILE, ${VARIABLE}, ./{LOCAL_FILE} or {SYSTEM_FILE}."
    )


def withhold(configuration: Configuration, environment: MutableMapping[str, str]) -> Configuration:
    """The configuration with the tokens that `environment` holds, which are gone from there afterwards."""
    if configuration.redcap_section is None:
        return configuration
    tokens = configuration.redcap_section.tokens
    taken = {
        name: source.model_copy(update={"value": SecretStr(environment[source.env])})
        for name, source in tokens
        if source is not None and source.env is not None and source.env in environment
    }
    for source in taken.values():
        # Several tokens may be found under one name.
        environment.pop(source.env, None)
    redcap = configuration.redcap_section.model_copy(update={"tokens": tokens.model_copy(update=taken)})
    return configuration.model_copy(update={"redcap_section": redcap})


def resolve(source: TokenSource, name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The token itself. Raises `ConfigurationError`; no message ever shows a token."""
    setting = f"redcap.tokens.{name}"
    if any(_TOKEN.search(str(place)) for place in (source.env, source.credential, source.file)):
        raise ConfigurationError(
            f"{setting}: expected the name of a file or variable, found what looks like a token itself. Write it as "
            f'{name} = "...", and have the token replaced if others have seen it where it stood.'
        )
    if source.env is not None:
        token = source.value.get_secret_value() if source.value is not None else environment.get(source.env, "")
        setting += f" (environment variable {source.env})"
    elif source.value is not None:
        token = source.value.get_secret_value()
    else:
        file = source.file or _credential(source.credential or "", setting, environment)
        setting += f" (file {file})"
        require_trusted(file, f"{setting}: the file", secret=True)
        try:
            token = file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"{setting}: the file cannot be read: {_words(exc)}.") from exc
    token = without_padding(token)
    if not token:
        raise ConfigurationError(f"{setting}: expected a REDCap API token, found nothing.")
    if len(token.split()) > 1:
        raise ConfigurationError(f"{setting}: expected a REDCap API token, found several words.")
    if not (token.isascii() and token.isprintable()):
        raise ConfigurationError(f"{setting}: expected a REDCap API token, found characters that none has.")
    return token


def _credential(name: str, setting: str, environment: Mapping[str, str]) -> Path:
    """The file in which systemd hands a credential to what it starts."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigurationError(
            f"{setting}: expected the credential {name} from systemd, which did not start this command. Give it as "
            'root with `fiona-ledger-as-service`; where cron starts it, name a file: { file = "..." }.'
        )
    return Path(folder, name)


def _explained(file: Path | str, exc: ValidationError) -> str:
    """One line a problem: which key, and what was expected. The value is not shown: it may be a token."""
    lines = []
    for problem in exc.errors(include_input=False, include_url=False):
        key = ".".join(_TOKEN.sub("…", str(part)) for part in problem["loc"])
        words = "this key is unknown" if problem["type"] == "extra_forbidden" else problem["msg"]
        words = words.removeprefix("Value error, ")
        lines.append(f"{key}: {words}")
    return f"{file} cannot be used:\n  " + "\n  ".join(lines)


def _words(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or type(exc).__name__

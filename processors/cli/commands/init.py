"""`fiona-ledger init`: a configuration, units for systemd, and SQL for role and database."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import orjson
import typer
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from ledger.database import EMBEDDED
from processors import shipped
from processors.cli import console
from processors.cli.options import JsonOption
from processors.configuration.file import SYSTEM_FILE, parse
from processors.errors import ConfigurationError

_CONFIGURATION = "fiona-ledger.toml"
_RUNS = ("fiona-ledger.service", "fiona-ledger-resident.service")
_PAGE = "fiona-ledger-page.service"
_UNITS = (*_RUNS, "fiona-ledger.timer", "fiona-ledger-failed.service")
_DATABASE = "database.sql"

# As deploy/ has them.
_PROGRAM = "/opt/fiona-ledger/bin/fiona-ledger"
_RAW = "/data/site/raw"
_REDCAP = "https://redcap.hospital.example/api/"
_LEDGER = "postgresql://fiona@db.hospital.example/fiona"
_CA_BUNDLE = "# ca_bundle = "
_SITE = "main"
_USER = "fiona"
_OF_AUTOID = ("projects", "autoid")


def command(
    *,
    output: Annotated[Path, typer.Option("--output", metavar="FOLDER", help="Where the files go.")] = Path(),
    redcap: Annotated[str | None, typer.Option("--redcap", metavar="URL", help="REDCap's address, to /api/.")] = None,
    ledger: Annotated[
        str | None, typer.Option("--ledger", metavar="URL", help="postgresql://USER@HOST/DATABASE, or embedded.")
    ] = None,
    raw: Annotated[Path | None, typer.Option("--raw", metavar="FOLDER", help="Where series summaries arrive.")] = None,
    autoid: Annotated[
        bool | None, typer.Option("--autoid/--no-autoid", help="Whether pseudonyms are to be drawn.")
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Also the unit of the page, which `serve` is for.")] = False,
    ca_bundle: Annotated[
        Path | None, typer.Option("--ca-bundle", metavar="FILE", help="Who signs REDCap's certificate.")
    ] = None,
    site: Annotated[
        str, typer.Option("--site", metavar="NAME", help="This gateway, if several share a ledger.")
    ] = _SITE,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="The system's user who runs it.")] = _USER,
    json: JsonOption = False,
) -> None:
    """Write a commented configuration, units for systemd, and SQL for the role and database of the ledger.

    On a terminal, it asks for what is not given. Files that are there already are left as they are, and nothing outside
    the folder is touched: what to do with the files is told at the end.

    Example: fiona-ledger init --output setup --redcap https://redcap.hospital.example/api/ --ledger embedded
    """
    redcap = redcap or _answer("REDCap's address, to /api/", "--redcap")
    ledger = ledger or _answer("PostgreSQL, as postgresql://USER@HOST/DATABASE, or embedded", "--ledger", EMBEDDED)
    raw = raw or Path(_answer("The folder of series summaries", "--raw", _RAW))
    if autoid is None:
        autoid = not sys.stdin.isatty() or typer.confirm("Are pseudonyms to be drawn (auto-ID)?", default=True)
    configuration = _configuration(redcap=redcap, ledger=ledger, raw=raw, ca_bundle=ca_bundle, site=site, autoid=autoid)
    parse(configuration, _CONFIGURATION)
    files = {_CONFIGURATION: configuration, **_units(raw=raw, user=user, autoid=autoid, page=page)}
    if ledger != EMBEDDED:
        files[_DATABASE] = _statements(ledger)
    written = _write(output, files)
    steps = _steps(output, user=user, embedded=ledger == EMBEDDED, page=page)
    if json:
        console.print_json({"folder": str(output), "written": written, "next": steps})
        return
    out = console.output()
    for name, is_new in written.items():
        out.print(f"{'Wrote' if is_new else 'Left as it was:'} {output / name}")
    out.print("Look through them; then, as root:")
    for step in steps:
        out.print(f"  {step}")
    out.print(f"{shipped.FOLDER / 'README.md'} tells of each, and of the tokens.")


def _answer(question: str, option: str, default: str | None = None) -> str:
    """What a person types; where nobody is asked, the default."""
    if sys.stdin.isatty():
        return str(typer.prompt(question, default=default))
    if default is None:
        raise ConfigurationError(
            f"{option}: expected {question}, found nothing; without a terminal nobody can be asked."
        )
    return default


def _configuration(*, redcap: str, ledger: str, raw: Path, ca_bundle: Path | None, site: str, autoid: bool) -> str:
    written = shipped.deployed(_CONFIGURATION)
    for example, value in ((_REDCAP, redcap), (_LEDGER, ledger), (_RAW, str(raw.absolute())), (_SITE, site)):
        written = _replaced(written, f'"{example}"', _quoted(value))
    if ca_bundle is not None:
        written = re.sub(
            rf'{_CA_BUNDLE}"[^"]*"', lambda _: f"ca_bundle = {_quoted(str(ca_bundle.absolute()))}", written
        )
    if not autoid:
        for name in _OF_AUTOID:
            written = re.sub(rf"^({name} = )", r"# \1", written, flags=re.MULTILINE)
    return written


def _quoted(value: str) -> str:
    """A string of TOML: one of JSON is one."""
    return orjson.dumps(value).decode()


def _units(*, raw: Path, user: str, autoid: bool, page: bool) -> dict[str, str]:
    program = _program(sys.argv[0])
    for what, value in (("--raw", str(raw.absolute())), ("--user", user), ("the program", str(program))):
        if re.search(r"[^\w./+@-]", value):
            raise ConfigurationError(f"{what}: expected letters, digits and ./_-+@, as units of systemd have them.")
    units = {name: shipped.deployed(name) for name in _unit_names(page=page)}
    for service in (*_RUNS, *([_PAGE] if page else ())):
        units[service] = _replaced(units[service], f"={_PROGRAM} ", f"={program} ")
        units[service] = _replaced(units[service], f"User={_USER}\n", f"User={user}\n")
    for service in _RUNS:
        units[service] = _replaced(units[service], f"-{_RAW}\n", f"-{raw.absolute()}\n")
        if not autoid:
            for name in _OF_AUTOID:
                units[service] = re.sub(rf"^LoadCredential={name}:.*\n", "", units[service], flags=re.MULTILINE)
    return units


def _unit_names(*, page: bool) -> tuple[str, ...]:
    return (*_UNITS, _PAGE) if page else _UNITS


def _program(started: str) -> Path:
    """This program as it was called: where several versions are installed, by the path that leads to the one in use.

    A link from a folder of the PATH is followed: beside it, the other programs are not found.
    """
    called = Path(started).absolute()
    if called.is_symlink():
        called = called.parent / called.readlink()
    return called if called.name == "fiona-ledger" else Path(sys.prefix) / "bin" / "fiona-ledger"


def _statements(ledger: str) -> str:
    """The SQL for the role and the database of an address."""
    try:
        parts: Mapping[str, object] = conninfo_to_dict(ledger)
    except ProgrammingError:
        parts = {}
    role, database = parts.get("user"), parts.get("dbname")
    if not (role and database):
        raise ConfigurationError(f"--ledger: expected {EMBEDDED!r} or postgresql://USER@HOST/DATABASE.")
    written = _replaced(shipped.deployed(_DATABASE), f"\\set role '{_USER}'", f"\\set role {_literal(str(role))}")
    return _replaced(written, f"\\set database '{_USER}'", f"\\set database {_literal(str(database))}")


def _literal(name: str) -> str:
    """The name as psql reads it."""
    if not name.isprintable():
        raise ConfigurationError("--ledger: expected printable names of user and database.")
    return "'{}'".format(name.replace("\\", "\\\\").replace("'", "''"))


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise ValueError(f"expected {old} in what is shipped")
    return text.replace(old, new)


def _write(folder: Path, files: Mapping[str, str]) -> dict[str, bool]:
    """Writes those that are not there; tells of each whether it was."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _is_written(folder / name, text) for name, text in files.items()}
    except OSError as exc:
        raise ConfigurationError(f"--output {folder}: the files cannot be written: {exc.strerror}.") from exc


def _is_written(path: Path, text: str) -> bool:
    try:
        # The configuration may hold a password.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return True


def _steps(folder: Path, *, user: str, embedded: bool, page: bool) -> list[str]:
    """Commands for a shell."""
    units = " ".join(str(folder / name) for name in _unit_names(page=page))
    # On standard input: the server's account need not be able to read the folder.
    psql = f"runuser -u postgres -- psql --dbname postgres < {folder / _DATABASE}    # where PostgreSQL runs"
    database = [] if embedded else [psql]
    return [
        f"useradd --system --user-group --home-dir /var/lib/fiona-ledger --shell /usr/sbin/nologin {user}",
        f"install -d -o {user} -g {user} -m 0700 /var/lib/fiona-ledger /etc/fiona-ledger",
        *database,
        f"install -o root -g {user} -m 0640 {folder / _CONFIGURATION} {SYSTEM_FILE}",
        f"install -m 0644 {units} /etc/systemd/system/",
        "systemctl daemon-reload",
    ]

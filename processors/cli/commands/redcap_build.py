"""`fiona-ledger redcap build`: REDCap's projects made over its API, their tokens kept in files."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import configured, now
from processors.cli.files import written_where_none_is
from processors.cli.options import DestinationsOption, JsonOption, project_names
from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError, Refused
from processors.project_designs import ProjectDesign, project_designs
from processors.redcap import NoRateLimit, NotPermitted, Redcap

_SUPER_TOKEN = re.compile(r"[0-9A-Fa-f]{64}")


def command(
    context: typer.Context,
    *,
    output: Annotated[
        Path, typer.Option("--output", metavar="FOLDER", help="Where a file goes for the token of each project.")
    ],
    super_token_stdin: Annotated[
        bool, typer.Option("--super-token-stdin", help="The super token comes on standard input.")
    ] = False,
    project: DestinationsOption = None,
    json: JsonOption = False,
) -> None:
    """Have REDCap make each project that the configuration names a token of, and keep its token in a file.

    It takes a super token, which REDCap's administrators give: the tokens are its user's, with all rights. The files
    (mode 0600) are called as the tokens in the configuration; of a project whose file is there, none is made.

    Example: fiona-ledger redcap build --super-token-stdin --output /etc/fiona-ledger/tokens < super-token
    """
    destinations = project_names(project)
    configuration = configured(context.obj)
    designs = _designs(configuration, destinations)
    super_token = _super_token(given=super_token_stdin)
    try:
        output.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise ConfigurationError(f"--output {output}: the folder cannot be made: {exc.strerror}.") from exc
    files = {name: output / name for name in designs}
    there = {name for name, file in files.items() if file.exists()}
    for name, design in designs.items():
        if name not in there:
            with console.step(f"Making {design.title}"):
                _make(configuration, super_token, design, files[name])
    _tell(designs, files, there, json=json)


def _designs(configuration: Configuration, destinations: list[str]) -> dict[str, ProjectDesign]:
    tokens = configuration.redcap.tokens
    designs = project_designs(
        separate_transfers=tokens.transfers is not None, with_withdrawals=True, destinations=destinations
    )
    return {name: design for name, design in designs.items() if getattr(tokens, name) is not None}


def _super_token(*, given: bool) -> str:
    if not given:
        raise ConfigurationError("Expected --super-token-stdin, and the super token on standard input.")
    token = sys.stdin.read().strip()
    if not _SUPER_TOKEN.fullmatch(token):
        raise ConfigurationError(
            "--super-token-stdin: expected a super token on standard input, 64 letters and digits, found something "
            "else. REDCap's administrators make one: Control Center → API Tokens."
        )
    return token


def _make(configuration: Configuration, super_token: str, design: ProjectDesign, file: Path) -> None:
    """Makes the project; the file is open before, so that no token is lost for want of one."""
    section = configuration.redcap
    with (
        Redcap(
            url=section.url,
            tokens={design.name: super_token},
            rate_limit=NoRateLimit(),
            timeout_seconds=section.timeout_seconds,
            ca_bundle=section.ca_bundle,
        ) as redcap,
        written_where_none_is(file) as kept,
    ):
        try:
            token = redcap.create_project(design, now())
        except NotPermitted as exc:
            raise Refused(
                f"{design.title}: expected REDCap to make it, found that it does not take the super token. Have its "
                "administrators look: Control Center → API Tokens, and whether its user may create projects."
            ) from exc
        kept.write(f"{token}\n".encode())


def _tell(designs: Mapping[str, ProjectDesign], files: Mapping[str, Path], there: set[str], *, json: bool) -> None:
    if json:
        projects = {
            name: {"title": design.title, "token_file": str(files[name]), "made": name not in there}
            for name, design in designs.items()
        }
        console.print_json({"projects": projects})
        return
    out = console.output()
    for name, design in designs.items():
        out.print(
            f"Left as it was: {files[name]}, and its project"
            if name in there
            else f"Made {design.title}: {files[name]}"
        )
    out.print("The tokens are the super token's user's, with all rights; docs/redcap.md tells which are needed.")
    out.print("Then: `fiona-ledger redcap check`.")

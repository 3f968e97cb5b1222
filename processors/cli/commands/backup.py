"""`fiona-ledger backup`: an embedded ledger saved to a file."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from ledger import clients, erasures, store
from ledger.database import EMBEDDED
from ledger.errors import KeyProblem
from ledger.vault import Vault
from processors.cli import console
from processors.cli.bootstrap import opened_ledger
from processors.cli.files import written_privately
from processors.cli.options import JsonOption
from processors.errors import ConfigurationError


def command(
    context: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; one of that name is replaced.")],
    json: JsonOption = False,
) -> bool:
    """Save an embedded ledger to a file, as it is at one moment; runs go on meanwhile. `restore` reads it.

    The file is readable to its owner only, and appears when it is whole. The master key is not in it; where
    ledger.key_file does not open it, the command says so and ends with 1. A server that ledger.url names is saved by
    its own tools: see docs/backup.md.

    Example: fiona-ledger backup /mnt/backup/fiona-ledger.dump
    """
    with opened_ledger(context.obj) as (configuration, database):
        section = configuration.ledger
        if section.url != EMBEDDED:
            raise ConfigurationError(
                "ledger.url names a server, which is saved by its own tools: docs/backup.md tells how (`fiona-ledger "
                "docs` where that is). Expected an embedded ledger."
            )
        with database.begin() as connection:
            problem = _key_problem(connection, section.key_file)
            if not problem:
                erasures.keep(connection, section.key_file)
            position = store.head(connection).position
        with written_privately(file, configuration, "FILE") as output:
            clients.dump(database, output)
    if json:
        said = {"file": str(file), "position": position, "key_file": str(section.key_file), "opens": not problem}
        console.print_json(said)
        return bool(problem)
    journal = erasures.journal(section.key_file).name
    console.output().print(
        f"Saved the ledger with all events up to {position} to {file}. "
        + (
            f"Nobody can read who is in it without its master key, and here that is not to be had: {problem}"
            if problem
            else f"It opens with the master key {section.key_file}: keep a copy of that elsewhere, and of {journal} "
            "beside it, which tells who is forgotten."
        )
    )
    return bool(problem)


def _key_problem(connection: Connection, key_file: Path) -> str:
    """Why the key does not open the ledger; blank where it does."""
    try:
        Vault.open(connection, key_file)
    except KeyProblem as error:
        return str(error)
    return ""

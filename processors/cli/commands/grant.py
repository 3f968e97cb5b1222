"""`fiona-ledger grant`: PostgreSQL roles with few rights."""

import sys
from typing import Annotated

import typer

from ledger import roles
from ledger.roles import Roles
from processors.cli import console
from processors.cli.bootstrap import opened_ledger
from processors.cli.harmless import on_a_line
from processors.cli.options import JsonOption


def command(
    context: typer.Context,
    *,
    writer: Annotated[
        str | None, typer.Option("--writer", metavar="ROLE", help="The PostgreSQL role of the periodic run.")
    ] = None,
    auditor: Annotated[
        str | None, typer.Option("--auditor", metavar="ROLE", help="The PostgreSQL role that may read the audit views.")
    ] = None,
    reader: Annotated[
        str | None, typer.Option("--reader", metavar="ROLE", help="The PostgreSQL role of the page (web.url).")
    ] = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of executing them.")] = False,
    json: JsonOption = False,
) -> bool:
    """Give PostgreSQL roles the least privileges that work. Harmless to repeat.

    The writer appends, and keeps the gateway's tables; it cannot change or delete an event. The auditor reads
    the views of schema audit and nothing else, the reader what the page is made of. What else a role can do, by
    whatever way, is told, and the exit code is 1 then. To be run by the role that owns the tables, after each
    `migrate`.

    Example: fiona-ledger grant --writer fiona_writer --auditor fiona_auditor
    """
    wanted = Roles(writer, auditor, reader)
    with opened_ledger(context.obj) as (_, database), database.begin() as connection:
        statements = roles.as_text(connection, wanted)
        if not sql:
            roles.grant(connection, wanted)
        besides = {} if sql else roles.besides(connection, wanted)
    if json:
        granted = {"granted": not sql, "statements": statements.splitlines(), "besides": besides}
        console.print_json(wanted._asdict() | granted)
    elif sql:
        sys.stdout.write(statements)
    else:
        for role, what in (
            (writer, "may do the periodic run: append events, keep the gateway's tables"),
            (auditor, "may read the views of schema audit"),
            (reader, "may read what the page shows"),
        ):
            if role is not None:
                console.output().print(f"{role} {what}{_besides(besides[role])}")
    return any(besides.values())


def _besides(powers: list[str]) -> str:
    return f". But it may also: {on_a_line('; '.join(powers))}." if powers else ", and nothing else."

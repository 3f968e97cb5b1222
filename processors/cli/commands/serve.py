"""`fiona-ledger serve`: the page, for a web server that knows who asks."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from ledger.database import Database, open_database
from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.exit_codes import ending
from processors.cli.harmless import on_a_line
from processors.cli.page_files import require_extra
from processors.cli.unrecorded import unrecorded_run
from processors.configuration.settings import Configuration
from processors.gateway import Gateway


def command(
    context: typer.Context,
    *,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=0, max=65535, help="Another port than web.port.")
    ] = None,
) -> None:
    """Serve the page until it is interrupted: health, what needs a person, studies, projects and rules. It only reads.

    It answers this machine alone and asks nobody who they are: let a web server with a sign-in stand before it.
    docs/page.md tells how.

    Example: fiona-ledger serve
    """
    require_extra()
    # Imported here: most sites have none of it.
    import uvicorn

    from processors.web.app import Site

    with opened_tables(context.obj) as (configuration, gateway), _reading(configuration, gateway) as database:
        web = configuration.web
        site = Site(
            gateway, configuration, unrecorded=lambda: unrecorded_run(context.obj), told=_told, database=database
        )
        listening = web.port if port is None else port
        console.output().print(f"http://{web.address}:{listening}/ for a web server on this machine; Ctrl-C ends it.")
        # No log of what was asked: an address may name a study. Errors are told by `_told`, without a value.
        uvicorn.run(
            site.application(), host=web.address, port=listening, log_config=None, access_log=False, server_header=False
        )


@contextmanager
def _reading(configuration: Configuration, gateway: Gateway) -> Iterator[Database]:
    """The way by which pages are read: with the role of `web.url`, where there is one."""
    if configuration.web.url is None:
        yield gateway.database
        return
    with closing(open_database(configuration.web.url, configuration.ledger.data_dir)) as database:
        yield database


def _told(error: BaseException) -> str:
    """The place of an error that nobody foresaw, printed for whoever runs it as well."""
    message = on_a_line(ending(error).message)
    print(f"fiona-ledger: {message}", file=sys.stderr)  # noqa: T201 - the log of a service
    return message

"""`fiona-ledger report project`: what a project asked for and got, to be printed or handed on."""

from typing import Annotated

import typer

from processors.cli import dates
from processors.cli.bootstrap import now, opened_database
from processors.cli.options import CsvOption
from processors.cli.printed import print_report
from processors.operations import audit
from processors.operations.reports.project import project_report


def command(
    context: typer.Context,
    project: Annotated[str, typer.Argument(metavar="NAME", help="The research project, to the letter.")],
    *,
    csv: CsvOption = False,
) -> None:
    """Report what a project asked for, got, waits for and does not get, as a page that prints well.

    Studies are named by UID; nothing tells of a person. A role that may read the schema audit is enough.

    Example: fiona-ledger report project "Heart Study" > heart-study.html
    """
    with opened_database(context.obj) as (_, database), database.begin() as connection:
        audit.require_views(connection)
        audit.in_zone(connection, dates.zone_name())
        report = project_report(connection, project)
    print_report(report, as_csv=csv, at=now())

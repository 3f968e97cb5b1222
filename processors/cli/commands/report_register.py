"""`fiona-ledger report register`: what the record of processing activities takes from here."""

import typer

from processors.cli import dates
from processors.cli.bootstrap import now, opened_database
from processors.cli.options import CsvOption
from processors.cli.printed import print_report
from processors.operations import audit
from processors.operations.reports.register import register_report


def command(context: typer.Context, *, csv: CsvOption = False) -> None:
    """Report what the record of processing activities (GDPR, article 30) takes from here, as a page.

    What only the hospital can say is left to be filled in. A role that may read the schema audit is enough.

    Example: fiona-ledger report register > register.html
    """
    with opened_database(context.obj) as (_, database), database.begin() as connection:
        audit.require_views(connection)
        audit.in_zone(connection, dates.zone_name())
        report = register_report(connection)
    print_report(report, as_csv=csv, at=now())

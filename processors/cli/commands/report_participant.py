"""`fiona-ledger report participant`: which data of one person went where, when, and why."""

import sys
from typing import Annotated

import typer

from processors.cli import dates
from processors.cli.bootstrap import now, opened_gateway, operator
from processors.cli.options import CsvOption, one_line
from processors.cli.printed import print_report
from processors.errors import ConfigurationError
from processors.operations import audit
from processors.operations.reports.participant import participant_report


def command(
    context: typer.Context,
    *,
    patient_id_stdin: Annotated[
        bool, typer.Option("--patient-id-stdin", help="The person whose PatientID comes on standard input.")
    ] = False,
    csv: CsvOption = False,
) -> None:
    """Report which data of a person went where, when and why (GDPR, article 15), as a page that prints well.

    Takes the master key. That you asked is recorded; the page names nobody, and shows no pseudonym.

    Example: fiona-ledger report participant --patient-id-stdin < patient.txt > report.html
    """
    if not patient_id_stdin:
        raise ConfigurationError(
            "Expected --patient-id-stdin, and the PatientID on standard input: as an argument, `ps` and the shell's "
            "history would show it."
        )
    patient_id = one_line(sys.stdin.buffer.read())
    with opened_gateway(context.obj) as (_, gateway), gateway.begin() as work:
        audit.in_zone(work.connection, dates.zone_name())
        report = participant_report(work, patient_id, by=operator())
    print_report(report, as_csv=csv, at=now())

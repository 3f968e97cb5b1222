"""`fiona-ledger identity check`: who shares a pseudonym or has two, which ones tell, what is for closed projects."""

from dataclasses import asdict

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.options import JsonOption
from processors.operations.identity_check import IdentityReport, identity_check

_STUDIES_SHOWN = 12


def command(context: typer.Context, *, json: JsonOption = False) -> bool:
    """Look through all that the ledger holds for shared, second and telling pseudonyms, and closed projects.

    Requests of every origin count, those that stood in REDCap before this system, too. Nothing is recorded, and no
    pseudonym is shown. Ends with 1 where something was found.

    Example: fiona-ledger identity check
    """
    with (
        opened_tables(context.obj) as (configuration, gateway),
        gateway.begin() as work,
        console.step("Looking at pseudonyms") as progress,
    ):
        report = identity_check(work, configuration.identity, progress)
    if json:
        findings = [asdict(finding) for finding in report.findings]
        console.print_json(
            {
                "requests": report.requests,
                "unknown": report.unknown,
                "projects": report.counts(),
                "findings": findings,
            }
        )
    else:
        _print(report)
    return bool(report.findings)


def _print(report: IdentityReport) -> None:
    out = console.output()
    console.say(out, f"{report.requests} requests looked at; of {report.unknown} nobody can tell whose they are.")
    if not report.findings:
        console.say(out, "Nobody shares a pseudonym, or has two; none tells whose it is, and no project is closed.")
        return
    rows = [[finding.project, finding.kind, finding.details, _named(finding.studies)] for finding in report.findings]
    console.print_table(out, ("project", "what", "in words", "studies"), rows)


def _named(studies: tuple[str, ...]) -> str:
    more = f" and {len(studies) - _STUDIES_SHOWN} more" if len(studies) > _STUDIES_SHOWN else ""
    return f"{', '.join(studies[:_STUDIES_SHOWN])}{more}"

"""`fiona-ledger reassign`: a transfer request that gets another pseudonym, by hand."""

from typing import Annotated

import typer

from processors.cli.options import JsonOption
from processors.cli.override import EventOption, ProjectOption, ReasonOption, StudyArgument, override


def command(
    context: typer.Context,
    study: StudyArgument,
    *,
    project: ProjectOption,
    to_subject: Annotated[str, typer.Option("--to-subject", metavar="ID", help="The pseudonym that is right.")],
    reason: ReasonOption = None,
    event: EventOption = None,
    json: JsonOption = False,
) -> bool:
    """Give a transfer request another pseudonym. It stands over rules, and over coupling entries of before.

    If it has not been sent, its row in REDCap is amended. If it has, a new one is placed, and this says what must be
    removed downstream.

    Example: fiona-ledger reassign 1.2.840.1 --project "Heart Study" --to-subject H-017 --reason "ticket 4711"
    """
    return override(context.obj, study, project=project, event=event, pseudonym=to_subject, reason=reason, json=json)

"""`fiona-ledger retract`: a transfer request that is withdrawn, by hand."""

import typer

from processors.cli.options import JsonOption
from processors.cli.override import EventOption, ProjectOption, ReasonOption, StudyArgument, override


def command(
    context: typer.Context,
    study: StudyArgument,
    *,
    project: ProjectOption,
    reason: ReasonOption = None,
    event: EventOption = None,
    json: JsonOption = False,
) -> bool:
    """Withdraw a transfer request, for good: no rule, and no coupling entry of before, asks for it again.

    If it has not been sent, its row in REDCap is emptied. If it has, this says what must be removed downstream.

    Example: fiona-ledger retract 1.2.840.1 --project "Heart Study" --reason "wrong patient, ticket 4711"
    """
    return override(context.obj, study, project=project, event=event, pseudonym=None, reason=reason, json=json)

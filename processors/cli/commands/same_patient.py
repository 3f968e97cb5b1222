"""`fiona-ledger same-patient`: two PatientIDs that are one person's."""

from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_exclusively, operator
from processors.cli.options import JsonOption, require_reason
from processors.cli.override import ReasonOption, StudyArgument
from processors.explain.search import named_study
from processors.routing.join import Joining, join


def command(
    context: typer.Context,
    study: StudyArgument,
    *,
    project: Annotated[str, typer.Option("--project", metavar="NAME", help="The project; in others they stay two.")],
    reason: ReasonOption = None,
    other: Annotated[
        str | None,
        typer.Option("--with", metavar="STUDY", help="A study of the other, if several patients share it."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say that a study's patient is the one who has its pseudonym already, under another PatientID.

    What is held as `two patients, one pseudonym` because of that goes on with the next run. It cannot be taken back.

    Example: fiona-ledger same-patient 1.2.840.1 --project "Heart Study" --reason "new number, ticket 4711"
    """
    why = require_reason(reason)
    with opened_exclusively(context.obj) as (_, gateway):
        with gateway.begin() as work:
            study = named_study(work, study)
            other = None if other is None else named_study(work, other)
        joining = Joining(study=study, project=project, other=other, by=operator(), reason=why)
        studies = join(gateway, joining)
    if json:
        console.print_json({"study": study, "project": project, "with": studies})
    else:
        console.say(
            console.output(),
            f"In {project!r}, study {study} and {', '.join(studies) or 'the one to whom AutoID gives its pseudonym'} "
            "count as one person's. What was held because of that goes on with the next run.",
        )

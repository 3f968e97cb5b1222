"""`fiona-ledger acknowledge`: a notice that was looked at."""

from typing import Annotated

import typer
from sqlalchemy import text

from processors.cli import console
from processors.cli.bootstrap import opened_gateway, operator
from processors.cli.options import JsonOption, require_reason
from processors.errors import ConfigurationError
from processors.events.deliveries import Acknowledged
from processors.events.rules import ExpectedStudyDismissed

_NEVER_CAME = text("select record_id, asked from gateway.expected_study where position = :position and removed")
_NOTICE = text("""
    select study, kind from gateway.notice where position = :position
    union all
    select study, kind || ' deleted or changed in REDCap' from gateway.missing_row
     where position = :position and not acknowledged
    union all
    select study, 'transfer failed' from gateway.outcome
     where position = :position and state <> 'awaited' and not acknowledged
""")


def command(
    context: typer.Context,
    position: Annotated[int, typer.Argument(help="The position that `status` shows.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="What was found and done.")],
    json: JsonOption = False,
) -> None:
    """Take a notice off the list of what needs attention, saying why; the ledger keeps both.

    Example: fiona-ledger acknowledge 4711 --reason "checked with the study nurse, right patient"
    """
    require_reason(reason)
    with opened_gateway(context.obj, with_keys=False) as (_, gateway), gateway.begin() as work:
        never_came = work.execute(_NEVER_CAME, {"position": position}).one_or_none()
        row = work.execute(_NOTICE, {"position": position}).one_or_none()
        if never_came is not None:
            about = f"coupling entry {never_came.record_id} never met a study"
            dismissed = ExpectedStudyDismissed(
                record_id=never_came.record_id, asked=never_came.asked, by=operator(), reason=reason.strip()
            )
            work.record([dismissed])
        elif row is not None:
            about = f"{row.kind}, study {row.study}"
            work.record([Acknowledged(study=row.study, position=position, by=operator(), reason=reason.strip())])
        else:
            raise ConfigurationError(
                f"Position {position} is no notice that waits to be acknowledged. `fiona-ledger status` lists those "
                "that do; everything else on the list settles itself when its cause is mended."
            )
    if json:
        console.print_json({"acknowledged": position})
    else:
        console.output().print(f"Acknowledged: {about}.")

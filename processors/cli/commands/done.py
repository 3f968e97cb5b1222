"""`fiona-ledger done`: a task that was seen to."""

from typing import Annotated, Any

import typer
from sqlalchemy import text

from processors.cli import console
from processors.cli.bootstrap import opened_gateway, operator
from processors.cli.options import JsonOption, require_reason
from processors.errors import ConfigurationError
from processors.events.withdrawals import TaskDone, WithdrawalEntryDismissed

_TASK = text("""
    select study, project, instance, what, sent_at, mapped_uids from audit.task where position = :position and open
""")
_ENTRY = text("""
    select record_id from gateway.withdrawal_entry
     where (position = :position and (removed or problems <> '{}'))
        or (changed_position = :position and not removed)
""")


def command(
    context: typer.Context,
    position: Annotated[int, typer.Argument(help="The position that `status` shows.")],
    *,
    reason: Annotated[str | None, typer.Option("--reason", help="What was done.")] = None,
    json: JsonOption = False,
) -> None:
    """Say that a task is done: what a participant who withdrew had been sent is removed downstream.

    Example: fiona-ledger done 4711 --reason "removed from the archive of the Heart Study, ticket 12"
    """
    why = require_reason(reason)
    with opened_gateway(context.obj, with_keys=False) as (_, gateway), gateway.begin() as work:
        row = work.execute(_TASK, {"position": position}).one_or_none()
        entry = work.execute(_ENTRY, {"position": position}).scalar_one_or_none()
        decision: dict[str, Any] = {"by": operator(), "reason": why}
        if row is not None:
            about = f"study {row.study}, project {row.project!r}"
            task = row._asdict() | {"mapped_uids": tuple(row.mapped_uids)}
            work.record([TaskDone(position=position, **task, **decision)])
        elif entry is not None:
            about = f"record {entry} of REDCap's list of withdrawals, which stands"
            work.record([WithdrawalEntryDismissed(record_id=entry, **decision)])
        else:
            raise ConfigurationError(
                f"Position {position} is no task that waits to be done. `fiona-ledger audit task` lists those that do."
            )
    if json:
        console.print_json({"done": position})
    else:
        console.say(console.output(), f"Done: {about}.")

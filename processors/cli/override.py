"""What an operator decides by hand with `retract` and `reassign`: recorded, carried out in REDCap, and told."""

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import text

from processors.cli import console
from processors.cli.bootstrap import opened_exclusively, opened_redcap, operator
from processors.cli.exit_codes import exit_codes
from processors.cli.options import require_reason
from processors.delivery.deliver import deliver
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.routing.overrides import Amendment, Request, SentRow, amend, sent_row

StudyArgument = Annotated[str, typer.Argument(help="Its StudyInstanceUID.")]
ProjectOption = Annotated[str, typer.Option("--project", metavar="NAME", help="The project that it was requested for.")]
EventOption = Annotated[
    str | None, typer.Option("--event", metavar="NAME", help="Its event, where there are several in the project.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the ledger keeps it, with your account's name.")]


def override(
    config: Path | None,
    study: str,
    *,
    project: str,
    event: str | None,
    pseudonym: str | None,
    reason: str,
    json: bool,
) -> bool:
    """Withdraws a request or gives it another pseudonym; True where something must be removed downstream."""
    require_reason(reason)
    if pseudonym is not None and not pseudonym.strip():
        raise ConfigurationError("--to-subject: expected a pseudonym, found nothing but blanks.")
    with exit_codes() as afterwords, opened_exclusively(config) as (configuration, gateway):
        amendment = Amendment(
            study=study,
            project=project,
            event_name=event,
            pseudonym=None if pseudonym is None else pseudonym.strip(),
            by=operator(),
            reason=reason.strip(),
        )
        request = amend(gateway, amendment)
        afterwords.append("What you decided is recorded; the next run that gets through carries it out.")
        with opened_redcap(configuration, gateway) as redcap:
            sent = sent_row(redcap, request)
            deliver(gateway, redcap, batch_rows=configuration.redcap.batch_rows)
        outcome = _outcome(gateway, request)
    _print(amendment, request, outcome, sent, json=json)
    return sent is not None or outcome["untouched"]


_OUTCOME = text("""
    select transfer.state, later.position as new, later.state as new_state, later.instance as new_instance,
           (select (data ->> 'instance')::integer from ledger.event
             where stream = 'study/' || transfer.study and type = 'RetractionDelivered'
               and data ->> 'request' = transfer.position::text) as emptied
      from gateway.transfer left join gateway.transfer as later on later.replaces @> array[transfer.position]
     where transfer.position = :position
     order by later.position desc limit 1
""")


def _outcome(gateway: Gateway, request: Request) -> dict[str, Any]:
    """What became of the request. `untouched`: REDCap still holds a row like it that is somebody else's."""
    with gateway.begin() as connection:
        row = connection.execute(_OUTCOME, {"position": request.position}).mappings().one()
    untouched = row["state"] == "retracted" and request.instance is not None and row["emptied"] is None
    return dict(row) | {"untouched": untouched}


def _print(
    amendment: Amendment, request: Request, outcome: dict[str, Any], sent: SentRow | None, *, json: bool
) -> None:
    if json:
        data = {"request": request._asdict(), "action": amendment.action, "outcome": outcome}
        console.print_json(data | {"sent": None if sent is None else sent._asdict()})
        return
    out = console.output()
    about = f"study {request.study}, project {request.project!r}, event {request.event_name!r}"
    done = "Withdrawn" if amendment.action == "retract" else "Given another pseudonym"
    out.print(f"{done}: {about} (request {request.position}).", markup=False)
    if amendment.action == "reassign":
        out.print(f"The new request {outcome['new']} is {outcome['new_state']}.", markup=False)
    if sent is not None:
        out.print(
            f"It was sent on {sent.sent_at} by instance {sent.instance}. Remove downstream, in the archive of "
            f"{request.project!r}: study {sent.mapped_uid or '(REDCap names no mapped UID)'}. Then acknowledge the "
            "notice that `fiona-ledger status` shows.",
            markup=False,
            style="bold",
        )
    elif outcome["untouched"]:
        out.print(
            f"REDCap's instance {request.instance} was not touched: somebody else requested the same there, or has "
            "changed the row. If it must not be sent, remove it in REDCap.",
            markup=False,
            style="bold",
        )

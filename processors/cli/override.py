"""What an operator decides by hand with `retract` and `reassign`: recorded, carried out in REDCap, and told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from sqlalchemy import text

from processors.cli import console
from processors.cli.bootstrap import opened_exclusively, opened_redcap, operator
from processors.cli.exit_codes import exit_codes
from processors.cli.options import require_reason
from processors.delivery.deliver import deliver
from processors.delivery.recognition import recognise
from processors.delivery.sender.poll import look
from processors.errors import ConfigurationError
from processors.explain.search import find_study
from processors.explain.sentences import destination, hold_in_words
from processors.gateway import Gateway
from processors.requests import TransferRequest
from processors.routing.configured_checks import LASTING
from processors.routing.decisions import Obstacle
from processors.routing.overrides import Amendment, RowsThere, amend, rows_there
from processors.routing.unplaced import hold_unplaced
from processors.text import is_blank, without_padding

StudyArgument = Annotated[str, typer.Argument(help="Its StudyInstanceUID or accession number.")]
ProjectOption = Annotated[str, typer.Option("--project", metavar="NAME", help="The project that it was requested for.")]
EventOption = Annotated[
    str | None, typer.Option("--event", metavar="NAME", help="Its event, where there are several in the project.")
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Why; the ledger keeps it, with your account's name.")
]


def override(
    config: Path | None,
    study: str,
    *,
    project: str,
    event: str | None,
    pseudonym: str | None,
    reason: str | None,
    json: bool,
) -> bool:
    """Withdraws a request or gives it another pseudonym; True where something must be removed downstream."""
    why = require_reason(reason)
    if pseudonym is not None and is_blank(pseudonym):
        raise ConfigurationError("--to-subject: expected a pseudonym, found nothing but blanks.")
    with exit_codes() as afterwords, opened_exclusively(config) as (configuration, gateway):
        batch_rows = configuration.redcap.batch_rows  # before anything is recorded that REDCap is to be told of
        with gateway.begin() as work:
            study = find_study(work, study)
        amendment = Amendment(
            study=study,
            project=project,
            event_name=event,
            pseudonym=None if pseudonym is None else without_padding(pseudonym),
            by=operator(),
            reason=why,
        )
        requests, given_up, obstacle = amend(gateway, amendment, holds_split=configuration.identity.split == "hold")
        afterwords.append("What you decided is recorded; the next run that gets through carries it out.")
        hold_unplaced(gateway, LASTING)
        obstacle = obstacle or _held_since(gateway, requests)
        with opened_redcap(configuration, gateway) as redcap:
            recognise(gateway, redcap)
            look(gateway, redcap)
            there = rows_there(gateway, redcap, amendment, requests)
            deliver(gateway, redcap, batch_rows=batch_rows)
        ends = [end_of(gateway, request) for request in requests]
    if json:
        rows = [
            {
                "instance": row.instance,
                "sent_at": row.report.sent_at,
                "mapped_uid": ",".join(row.report.mapped_uids),
            }
            for row in there.sent
        ]
        console.print_json(
            {
                "action": amendment.action,
                "requests": [end._asdict() for end in ends],
                "held": None if obstacle is None else obstacle._asdict(),
                "given_up": [key._asdict() for key in given_up],
                "sent": rows,
                "of_others": [row.instance for row in there.of_others],
            }
        )
    else:
        _print(ends, there, is_withdrawn=amendment.action == "retract" or obstacle is not None)
        if obstacle is not None:
            console.say(
                console.output(),
                f"The new pseudonym is held ({hold_in_words(*obstacle)}): nothing is requested under it, and what was "
                "requested ends. `fiona-ledger status` tells how it is settled.",
                style="bold",
            )
        for key in given_up:
            console.say(console.output(), f"Given up, as it was held: study {study}, {destination(*key)}.")
    return any(there) or obstacle is not None or any(end.needs_attention for end in ends)


_HELD = text("""
    select kind, details, studies from gateway.held_request
      join gateway.transfer as before using (study, project, event_name)
     where before.position = any(:replaced) and held_request.position > before.position
       and exists (select from gateway.transfer as new where new.replaces @> array[before.position])
""")


def _held_since(gateway: Gateway, requests: Sequence[TransferRequest]) -> Obstacle | None:
    """What keeps that from being written which was requested in place of these, if anything does."""
    with gateway.begin() as work:
        held = work.execute(_HELD, {"replaced": [request.position for request in requests]}).first()
    return None if held is None else Obstacle(held.kind, held.details, tuple(held.studies))


class End(NamedTuple):
    """What became of a request: its state now, that of the one in its place, and why something waits or is left.

    `elsewhere` is the other site whose study it is, None where it is this one's: runs there write its rows.
    `sendable` are the instances of what was requested for the same and has still to be ended, also before it.
    `untouched`: REDCap still holds a row like it that is somebody else's.
    """

    position: int
    study: str
    project: str
    event_name: str
    instance: int | None
    sendable: list[int]
    elsewhere: str | None
    state: str
    new: int | None
    new_state: str | None
    untouched: bool
    refusal: str | None

    @property
    def waits(self) -> bool:
        """Whether REDCap does not say yet what was decided."""
        return self.state == "ending" or self.new_state == "requested"

    @property
    def about(self) -> str:
        """Which request it is, for a person."""
        event = f", event {self.event_name!r}" if self.event_name else ""
        return f"study {self.study}, project {self.project!r}{event} (request {self.position})"

    def not_yet(self, otherwise: str) -> str:
        """That it waits, for a person, and why: REDCap's words, or else those given."""
        at = "" if self.elsewhere is None else f" of site {self.elsewhere!r}"
        why = self.refusal or ("the study is that site's" if at else otherwise)
        instances = " and ".join(map(str, self.sendable))
        until = f"'s instances {instances} can be sent as they read"
        if len(self.sendable) < 2:
            until = f"'s instance {instances} can be sent as it reads" if instances else " does not say so"
        return (
            f"Not yet: {self.about}. It is recorded, and every run{at} tries to carry it out; until then REDCap"
            f"{until} ({why}). `fiona-ledger status`{' there' * bool(at)} shows it for as long as that is so."
        )

    @property
    def needs_attention(self) -> bool:
        """Whether a person must look at something."""
        return self.waits or self.untouched or self.state == "closed"


_END = text("""
    select transfer.position, transfer.study, transfer.project, transfer.event_name, transfer.instance,
           array(select distinct standing.instance from gateway.transfer as standing
                  where (standing.study, standing.project, standing.event_name)
                      = (transfer.study, transfer.project, transfer.event_name)
                    and standing.state = 'ending' and standing.instance is not null order by 1) as sendable,
           nullif(study.site, :site) as elsewhere, transfer.state, later.position as new, later.state as new_state,
           transfer.state = 'withdrawn' and transfer.instance is not null and later.instance is distinct from
           transfer.instance and withdrawn.instance is null as untouched,
           (select field || ': ' || message from gateway.refused_row as refused
             where refused.study = transfer.study and refused.kind = 'transfer'
               and refused.key in (transfer.position::text, later.position::text) limit 1) as refusal
      from gateway.transfer left join gateway.study using (study)
      left join gateway.transfer as later on later.replaces @> array[transfer.position]
      left join lateral (
           select (data ->> 'instance')::integer as instance from ledger.event
            where stream = 'study/' || transfer.study and type = 'TransferWithdrawn'
              and data ->> 'request' = transfer.position::text) as withdrawn on true
     where transfer.position = :position
     order by later.position desc limit 1
""")


def end_of(gateway: Gateway, request: TransferRequest) -> End:
    """What has become of the request."""
    with gateway.begin() as work:
        asked = {"position": request.position, "site": work.site}
        return End(**work.execute(_END, asked).mappings().one())


def _print(ends: Sequence[End], there: RowsThere, *, is_withdrawn: bool) -> None:
    out = console.output()
    done = "Withdrawn" if is_withdrawn else "Given another pseudonym"
    for end in ends:
        if end.waits:
            out.print(end.not_yet("REDCap was not written to"), style="bold")
            continue
        out.print(f"{done}: {end.about}.")
        if end.new is not None and not is_withdrawn:
            out.print(f"The new request {end.new} is {end.new_state}.")
        if end.state == "closed" and not there.sent:
            out.print(
                "It may have been sent: the sender may hold a copy of the request. `fiona-ledger status` tells what "
                "came of it.",
                style="bold",
            )
    for row in there.of_others:
        out.print(
            f"REDCap's instance {row.instance} was not touched: somebody else requested the study for {row.project!r} "
            "there, or has changed the row. If it must not be sent, remove it in REDCap.",
            style="bold",
        )
    for row in there.sent:
        out.print(
            f"It was sent on {row.report.sent_at} by instance {row.instance}. Remove downstream, in the archive of "
            f"{row.project!r}: study {', '.join(row.report.mapped_uids) or '(REDCap names no mapped UID)'}. Then "
            "acknowledge the notice that `fiona-ledger status` shows.",
            style="bold",
        )

"""`fiona-ledger acknowledge`: notices that were looked at."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer
from sqlalchemy import text

from processors.attention import notices
from processors.cli import console
from processors.cli.bootstrap import opened_gateway, operator
from processors.cli.options import JsonOption, require_reason
from processors.errors import ConfigurationError
from processors.events.deliveries import Acknowledged
from processors.events.fact import Fact
from processors.events.rules import ExpectedStudyDismissed
from processors.gateway import Work


class Waiting(NamedTuple):
    """What can be acknowledged at a position: a study's, or a coupling entry that never met one."""

    position: int
    kind: str
    study: str | None
    record_id: str | None
    asked: int | None
    rule: str | None

    @property
    def about(self) -> str:
        """What it is, for a person."""
        if self.study is None:
            return f"coupling entry {self.record_id} never met a study"
        return f"{self.kind}, study {self.study}"

    def seen(self, by: str, reason: str) -> Fact:
        """That a person has looked at it."""
        if self.study is not None:
            return Acknowledged(study=self.study, position=self.position, by=by, reason=reason)
        return ExpectedStudyDismissed(record_id=self.record_id or "", asked=self.asked or 0, by=by, reason=reason)


_WAITING = text("""
    select waiting.* from (
           select position, kind, study, null as record_id, null::bigint as asked, details ->> 'rule' as rule
             from gateway.notice
            union all
           select position, 'row deleted or changed in REDCap', study, null, null, null from gateway.missing_row
            where not acknowledged
            union all
           select position, case state when 'failed' then 'transfer failed'
                                       when 'possibly sent' then 'may have been sent'
                                       else 'sent after it was ended' end,
                  study, null, null, null from gateway.outcome
            where state <> 'awaited' and not acknowledged
            union all
           select position, 'expected, not arrived', null, record_id, asked, null from gateway.expected_study
            where removed) as waiting
     where position = any(:positions)
""")


def command(
    context: typer.Context,
    positions: Annotated[
        list[int] | None, typer.Argument(metavar="[POSITION]...", help="The positions that `status` shows in brackets.")
    ] = None,
    *,
    kind: Annotated[str | None, typer.Option("--kind", help="All of this kind, as `status` names it.")] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Of a kind, those of this project.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option("--rule", metavar="ID", help="Of a kind, those that this routing rule has led to."),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="What was found and done.")] = None,
    json: JsonOption = False,
) -> None:
    """Take notices off the list of what needs attention, saying why; the ledger keeps both.

    All of them, or none: where one position is no notice, nothing is acknowledged.

    Example: fiona-ledger acknowledge 4711 4712 --reason "checked with the study nurse, right patient"
    """
    if bool(positions) == any(narrowing is not None for narrowing in (kind, project, rule)):
        raise ConfigurationError(
            "Expected the positions to acknowledge, or --kind, --project or --rule for all of them; found "
            f"{'both' if positions else 'neither'}."
        )
    why = require_reason(reason)
    with opened_gateway(context.obj, with_keys=False) as (_, gateway), gateway.begin() as work:
        waiting = _at(work, positions) if positions else _alike(work, kind=kind, project=project, rule=rule)
        work.record([each.seen(operator(), why) for each in waiting])
    if json:
        console.print_json({"acknowledged": [each.position for each in waiting]})
    else:
        for each in waiting:
            console.output().print(f"Acknowledged: {each.about}.")


def _at(work: Work, positions: Sequence[int]) -> list[Waiting]:
    """What waits at these positions. Raises `ConfigurationError` where one of them is no notice."""
    waiting = waiting_at(work, positions)
    unknown = sorted(set(positions) - waiting.keys())
    if unknown:
        raise ConfigurationError(
            f"Position {', '.join(map(str, unknown))} is no notice that waits to be acknowledged, and nothing was. "
            "`fiona-ledger status` shows those that do in brackets; everything else on the list settles itself when "
            "its cause is mended."
        )
    return [waiting[position] for position in dict.fromkeys(positions)]


def _alike(work: Work, *, kind: str | None, project: str | None, rule: str | None) -> list[Waiting]:
    """What is listed of this kind, project and rule. Raises `ConfigurationError` where nothing is."""
    listed = [
        notice.position
        for notice in notices(work)
        if notice.position is not None and kind in (None, notice.kind) and project in (None, notice.project)
    ]
    found = [each for each in waiting_at(work, listed).values() if rule in (None, each.rule)]
    if not found:
        raise ConfigurationError(
            "Nothing of the kind waits to be acknowledged. `fiona-ledger status` lists what does, by kind and project."
        )
    return found


def waiting_at(work: Work, positions: Sequence[int]) -> dict[int, Waiting]:
    """What can be acknowledged of these positions."""
    rows = work.execute(_WAITING, {"positions": list(positions)}).mappings()
    return {row["position"]: Waiting(**row) for row in rows}

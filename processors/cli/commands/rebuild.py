"""`fiona-ledger rebuild`: the tables derived from events, derived anew."""

from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_ledger
from processors.cli.options import JsonOption
from processors.errors import ConfigurationError
from processors.locks import no_runs
from processors.operations.rebuild import rebuild
from processors.projections import PROJECTIONS


def command(
    context: typer.Context,
    projection: Annotated[str | None, typer.Argument(help="The projection; else all of them.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Empty the tables derived from events and derive them again. Events are not touched.

    Needs no master key. While a run is under way it does nothing, says so and ends with 0.

    Example: fiona-ledger rebuild studies
    """
    names = [p.name for p in PROJECTIONS] if projection is None else [projection]
    unknown = [given for given in names if given not in {p.name for p in PROJECTIONS}]
    if unknown:
        known = ", ".join(p.name for p in PROJECTIONS)
        raise ConfigurationError(f"There is no projection {unknown[0]!r}. Expected one of: {known}.")
    with opened_ledger(context.obj) as (_, database), no_runs(database) as busy:
        if busy is None:
            with console.step("Rebuilding") as progress:
                events = rebuild(database, names, progress)
    if busy is not None:
        if json:
            console.print_json({"busy": True} | busy.as_data())
        else:
            console.output().print(f"{busy.sentence()} Nothing was rebuilt: try again when it has ended.")
    elif json:
        console.print_json({"rebuilt": names, "events": events})
    else:
        console.output().print(f"Rebuilt {', '.join(names)} from {events} events.")

"""`fiona-ledger find`: studies, and how far each has come."""

from itertools import islice
from typing import Annotated

import typer
from rich.console import Console

from processors.cli import console, dates
from processors.cli.bootstrap import opened_tables
from processors.cli.exit_codes import readers_may_leave
from processors.cli.harmless import on_a_line
from processors.cli.options import JsonOption
from processors.errors import ConfigurationError
from processors.explain.find import STAGES, Found, Sought, Stage, find
from processors.explain.search import known_before
from processors.explain.sentences import destination

_SHOWN = 50


_Study = Annotated[str | None, typer.Option("--study", metavar="UID", help="This StudyInstanceUID.")]
_Accession = Annotated[str | None, typer.Option("--accession", metavar="NUMBER", help="This accession number.")]
_Project = Annotated[str | None, typer.Option("--project", metavar="NAME", help="What this project was asked for.")]
_State = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help=f"In this state; may be repeated: {', '.join(STAGES)}."),
]
_Since = Annotated[str | None, typer.Option("--since", metavar="DATE", help="Arrived on this day or later.")]
_Until = Annotated[str | None, typer.Option("--until", metavar="DATE", help="Arrived on this day or earlier.")]
_Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help=f"At most so many; for people, else {_SHOWN}.")
]


def command(
    context: typer.Context,
    *,
    study: _Study = None,
    accession: _Accession = None,
    project: _Project = None,
    state: _State = None,
    since: _Since = None,
    until: _Until = None,
    limit: _Limit = None,
    json: JsonOption = False,
) -> None:
    """List studies, the newest first, each with where it was asked for and how far that has come.

    No patient is told. `explain` tells of one study why.

    Example: fiona-ledger find --state held --state conflict --since 2026-03-01
    """
    sought = Sought(
        study=_printable("--study", study),
        accession=_printable("--accession", accession),
        project=_printable("--project", project),
        stages=_stages(state or []),
        since=dates.since("--since", since),
        until=dates.until("--until", until),
    )
    with readers_may_leave(), opened_tables(context.obj) as (_, gateway), gateway.begin() as work:
        if json:
            found = islice(find(work, sought), limit)
            console.print_json([each._asdict() for each in found])
        else:
            most = limit or _SHOWN
            found_here = list(islice(find(work, sought), most + 1))
            nothing = None if study is None or found_here else known_before(work, study.strip())
            _print(found_here, most, nothing or "No study is like that.")


def _printable(option: str, given: str | None) -> str | None:
    # Bytes that are no text come as what PostgreSQL cannot be asked for.
    if given is not None and (not given.strip() or not given.isprintable()):
        raise ConfigurationError(f"{option}: expected printable text, found something else.")
    return given


def _stages(given: list[str]) -> tuple[Stage, ...]:
    chosen = tuple(stage for stage in STAGES if stage in given)
    unknown = sorted(set(given) - set(STAGES))
    if unknown:
        raise ConfigurationError(f"--state: expected one of {', '.join(STAGES)}, found {on_a_line(unknown[0])!r}.")
    return chosen or STAGES


def _print(found: list[Found], most: int, nothing: str) -> None:
    out = console.output()
    if not found:
        console.paragraph(out, nothing)
    before = ""
    for each in found[:most]:
        if each.study != before:
            _print_heading(out, each)
            before = each.study
        if each.stage == "nothing":
            console.say(out, "    nothing asks for it")
        else:
            details = "; ".join(filter(None, (each.details, "sent before" * each.is_sent_before)))
            told = f" ({details})" if details else ""
            place = f": {destination(each.project, each.event_name)}" if each.project else ""
            console.say(out, f"    {each.stage}{told}{place}")
    if len(found) > most:
        console.say(out, "... and more: --limit N shows more of them, --json all.")


def _print_heading(out: Console, found: Found) -> None:
    gone = "" if found.on_disk else ", vanished from disk"
    more = f"{dates.local_time(found.arrived_at)}  {found.site}, {found.series} series{gone}"
    line = f"{found.study}  {more}"
    for part in [line] if len(line) <= out.width else [found.study, f"  {more}"]:
        console.say(out, part, "bold")

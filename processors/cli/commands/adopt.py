"""`fiona-ledger adopt`: what REDCap holds already, recorded; after a restore, what of it is ours, taken back."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger import erasures, store
from processors.cli import console
from processors.cli.bootstrap import (
    opened_exclusively,
    opened_gateway,
    opened_run,
    operator,
    prepare,
)
from processors.cli.dry_run import opened_dry_run
from processors.cli.identity_counts import identity_counts, print_identity_counts
from processors.cli.key_changes import NOT_COMPACTED
from processors.cli.options import JsonOption
from processors.errors import ConfigurationError
from processors.operations.adopt.adopt import adopt
from processors.operations.adopt.after_restore import TakenBack, Transfer, take_back
from processors.operations.adopt.placed import placed_after
from processors.operations.forget.again import forget_again
from processors.run import Report

_LISTED = 40


def command(
    context: typer.Context,
    *,
    after_restore: Annotated[
        bool,
        typer.Option(
            "--after-restore", help="Take back what a restored ledger has lost; show first what would come of it."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --after-restore: go on without asking, where nobody can be asked.")
    ] = False,
    json: JsonOption = False,
) -> bool:
    """Record what REDCap holds already, so that nothing of it is requested or placed again.

    Reads Incoming and AutoID and writes nothing there. Interrupted, give it again: it goes on where it was.

    Example: fiona-ledger adopt
    """
    if after_restore:
        return _after_restore(context.obj, yes=yes, json=json)
    with opened_exclusively(context.obj) as (configuration, gateway):
        report = Report()
        with opened_run(configuration, gateway, "adopt", report) as run:
            adopted = adopt(run, by=operator())
        counts = identity_counts(gateway, configuration.identity)
    if json:
        console.print_json(asdict(adopted) | {"calls": report.calls, "identity": counts})
        return False
    out = console.output()
    out.print(
        f"Adopted {adopted.studies} studies with {adopted.series} series, {adopted.transfers} transfer requests and "
        f"{adopted.ids} IDs; {report.calls} calls. Whatever else REDCap holds, the ledger knew already."
    )
    print_identity_counts(out, counts)
    if adopted.no_uids:
        out.print(f"Left alone: {adopted.no_uids} records of Incoming whose record id is no UID, and so no study's.")
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Preview:
    """What would be taken back, and what the next run would place and draw then."""

    taken: TakenBack
    placed: Sequence[Transfer]
    drawn: int

    def as_data(self) -> dict[str, Any]:
        return {
            **{name: [each._asdict() for each in getattr(self.taken, name)] for name in ("transfers", "ended")},
            "deleted": self.taken.deleted,
            "adopted": None if self.taken.adopted is None else asdict(self.taken.adopted),
            "would_place": [each._asdict() for each in self.placed],
            "would_draw": self.drawn,
            "warnings": self.taken.warnings,
        }


def _after_restore(config: Path | None, *, yes: bool, json: bool) -> bool:
    """Shows, asks and takes back; True where something is left for a person to look at."""
    forgotten, compacted, journal = _forget_again(config)
    preview = _previewed(config)
    if json:
        console.print_json({**preview.as_data(), "forgotten_again": forgotten, "accepted": yes})
    else:
        _print(preview, forgotten, compacted=compacted, journal=journal)
    _confirm(yes=yes)
    with opened_exclusively(config) as (configuration, gateway):
        with opened_run(configuration, gateway, "adopt --after-restore", Report()) as run:
            take_back(run, by=operator())
        gateway.accept_loss(configuration.ledger.key_file)
    if not json:
        console.output().print("Recorded. The next run places what is listed above, and nothing else of before.")
    return bool(preview.taken.warnings) or not compacted or journal is not None


def _forget_again(config: Path | None) -> tuple[int, bool, Path | None]:
    """How many were forgotten again, whether no copy of their keys is left, and where the journal is missing."""
    with opened_gateway(config) as (configuration, gateway):
        key_file = configuration.ledger.key_file
        prepare(gateway)
        forgotten, compacted = forget_again(gateway, key_file, by=operator())
        return forgotten, compacted, erasures.journal(key_file) if erasures.kept(key_file) is None else None


def _previewed(config: Path | None) -> _Preview:
    with opened_dry_run(config) as run:
        prepare(run.gateway, exclusive=True)
        taken = take_back(run, by=operator())
        run.gateway.loss = ""
        with run.gateway.begin() as work:
            accepted = store.head(work.connection).position
        run.poll()
        run.deliver()
        run.autoid()
        with run.gateway.begin() as work:
            placed = list(placed_after(work, accepted))
    drawn = run.report.assigned.drawn if run.report.assigned is not None else 0
    return _Preview(taken=taken, placed=placed, drawn=drawn)


def _confirm(*, yes: bool) -> None:
    """Asks the person at the terminal. Raises `ConfigurationError` where there is none, or who says no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "Nobody can be asked here: look through the list, then give --yes. Nothing was taken back."
        )
    if not typer.confirm("Take this back, and let the next run place what is listed?", err=True):
        raise ConfigurationError("Nothing was taken back; runs go on refusing.")


def _print(preview: _Preview, forgotten: int, *, compacted: bool, journal: Path | None) -> None:
    out, taken = console.output(), preview.taken
    for line in _remarks(preview, forgotten, compacted=compacted, journal=journal):
        console.paragraph(out, line)
    for title, transfers in (
        ("Taken back as ours, as REDCap holds it", taken.transfers),
        ("Not placed again: it has ended since the backup", taken.ended),
        ("The next run would place", preview.placed),
    ):
        if transfers:
            out.print(console.table(title, ("study", "project", "event", "why"), transfers[:_LISTED]))
        if len(transfers) > _LISTED:
            out.print(f"... and {len(transfers) - _LISTED} more (`--json` lists them all)")
    out.print(
        f"In all: {len(taken.transfers)} requests taken back, {len(taken.ended)} not placed again; the next run would "
        f"place {len(preview.placed)} and draw {preview.drawn} IDs."
    )


def _remarks(preview: _Preview, forgotten: int, *, compacted: bool, journal: Path | None) -> Iterator[str]:
    if forgotten:
        yield f"Destroyed {forgotten} keys again, of who was forgotten since the backup."
    if not compacted:
        yield NOT_COMPACTED
    if journal is not None:
        yield (
            f"There is no {journal}: whoever was forgotten after the backup is known again. Put the file back and give "
            "this again, or forget them once more (docs/privacy.md)."
        )
    adopted = preview.taken.adopted
    if adopted is not None:
        yield (
            f"Of what REDCap holds and the ledger does not know: {adopted.studies} studies with {adopted.series} "
            f"series; {adopted.transfers} requests that nothing explains count as somebody else's."
        )
    for study in preview.taken.deleted:
        yield f"Study {study} was in REDCap and is not: it counts as deleted by people, and is not written again."
    yield from preview.taken.warnings
    yield (
        "What was recorded by hand since the backup is not known: give `withdraw`, `same-patient`, `done` and "
        "`acknowledge` again; and `forget` for whoever was forgotten since and is not in the file beside the key (its "
        "name ends in .forgotten), as it is an older copy, or another gateway forgot them. `retract` is known where "
        "its row tells."
    )

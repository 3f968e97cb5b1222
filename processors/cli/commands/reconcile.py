"""`fiona-ledger reconcile`: REDCap compared with the ledger, and what differs settled."""

import csv
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from processors.autoid.lost import ComparedIds, compare_ids, store_again
from processors.cli import console, dates
from processors.cli.bootstrap import opened_gateway, opened_redcap, operator, prepare
from processors.cli.harmless import in_a_cell
from processors.cli.options import JsonOption, require_reason
from processors.configuration.settings import Configuration
from processors.delivery.delivered import Delivered
from processors.delivery.recognition import recognise
from processors.delivery.reconcile.compare import Reconciled, compare
from processors.delivery.reconcile.compare import reconcile as reconciled
from processors.delivery.reconcile.diff import Difference
from processors.delivery.reconcile.scope import Scope
from processors.delivery.reconcile.settle import accept, restorable, restore
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.locks import only_run
from processors.redcap import Redcap
from processors.routing.configured_checks import LASTING
from processors.routing.projects import closed_projects
from processors.routing.unplaced import hold_unplaced

_COLUMNS = ("study", "kind", "key", "instance", "what", "fields", "note")
_LISTED = 40


class Format(StrEnum):
    """How differences are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Settle:
    """What to do about differences beside telling them."""

    restore: bool
    accept: bool
    reason: str | None

    def check(self) -> None:
        """Raises `ConfigurationError` for what cannot be meant."""
        if self.restore and self.accept:
            raise ConfigurationError("Expected --restore or --accept, found both: one undoes what the other confirms.")
        if self.accept:
            require_reason(self.reason or "")
        elif self.reason is not None:
            raise ConfigurationError("--reason: expected it together with --accept, which records it.")


@dataclass(kw_only=True, slots=True)
class _Outcome:
    """What there was, and what was done about it; `left` is what still differs.

    `ids` is None where AutoID was not meant; `ids_restored` are those that were stored there again.
    """

    reconciliation: Reconciled
    ids: ComparedIds | None
    left: Sequence[Difference]
    restored: Delivered | None = None
    ids_restored: int = 0
    accepted: int | None = None

    @property
    def needs_attention(self) -> bool:
        return bool(self.left) or (self.restored is not None and self.restored.refused > 0)

    def as_data(self) -> dict[str, Any]:
        return {
            "studies": self.reconciliation.studies,
            "generated_ids": None if self.ids is None else self.ids.stored,
            "waiting": self.reconciliation.waiting,
            "contested": self.reconciliation.contested,
            "differences": [different.as_data() for different in self.left],
            "restored": None if self.restored is None else asdict(self.restored) | {"ids": self.ids_restored},
            "accepted": self.accepted,
            "needs_attention": self.needs_attention,
        }


def command(
    context: typer.Context,
    *,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Studies that were requested for it.")
    ] = None,
    study: Annotated[str | None, typer.Option("--study", metavar="UID", help="This study alone.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Studies that arrived since then.")
    ] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Write ours again where rows are gone or changed.")
    ] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Record that REDCap may say what it says.")] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why it may differ; the ledger keeps it. With --accept.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print what differs.")] = Format.TABLE,
    json: JsonOption = False,
) -> bool:
    """Compare REDCap with the ledger: rows missing, changed or extra, requests by others, deleted records, lost IDs.

    Reports only, unless told otherwise; ends with 1 where something differs. Values are never shown, only the names
    of fields. Rows that still wait to be written are no differences. Interrupted, what was settled stays settled.

    Example: fiona-ledger reconcile --since 2026-03-01 --format csv
    """
    settle = _Settle(restore=restore, accept=accept, reason=reason)
    settle.check()
    shown = Format.JSON if json else output
    scope = Scope(project=project, study=study, since=dates.since("--since", since))
    with opened_gateway(context.obj) as (configuration, gateway):
        if not (settle.restore or settle.accept):
            outcome = _work(configuration, gateway, scope, settle)
        else:
            with only_run(gateway) as busy:
                if busy is not None:
                    console.say_busy(busy, json=shown == Format.JSON)
                    return False
                outcome = _work(configuration, gateway, scope, settle)
    _PRINTED[shown](outcome)
    return outcome.needs_attention


def _work(configuration: Configuration, gateway: Gateway, scope: Scope, settle: _Settle) -> _Outcome:
    prepare(gateway)
    with opened_redcap(configuration, gateway) as redcap:
        with gateway.begin() as work:
            closed = list(closed_projects(work))
        with console.step("Comparing with REDCap") as progress:
            reconciliation = reconciled(gateway, redcap, scope, progress, closed=closed)
        ids = _compared_ids(gateway, redcap, scope)
        if settle.restore:
            recognise(gateway, redcap)
            hold_unplaced(gateway, LASTING)
            outcome = _restored(configuration, gateway, redcap, reconciliation, closed)
            return _with_ids(gateway, redcap, scope, outcome, ids)
    if settle.accept:
        with console.step("Recording") as progress:
            accept(
                gateway,
                reconciliation.differences,
                by=operator(),
                reason=(settle.reason or "").strip(),
                progress=progress,
            )
        accepted = len(reconciliation.differences)
        return _Outcome(reconciliation=reconciliation, ids=ids, left=_of_ids(ids), accepted=accepted)
    left = [*reconciliation.differences, *_of_ids(ids)]
    return _Outcome(reconciliation=reconciliation, ids=ids, left=left)


def _compared_ids(gateway: Gateway, redcap: Redcap, scope: Scope) -> ComparedIds | None:
    """The drawn IDs beside AutoID, but where single studies are meant: an ID is a patient's."""
    if not redcap.has("autoid") or scope.study is not None or scope.since is not None:
        return None
    with console.step("Comparing AutoID"):
        return compare_ids(gateway, redcap, scope.project)


def _of_ids(ids: ComparedIds | None) -> list[Difference]:
    return [] if ids is None else [each.difference for each in ids.lost]


def _with_ids(gateway: Gateway, redcap: Redcap, scope: Scope, outcome: _Outcome, ids: ComparedIds | None) -> _Outcome:
    """The outcome, the lost IDs stored in AutoID again, and what is lost all the same."""
    restored = 0
    if ids is not None and ids.lost:
        with console.step("Writing to AutoID"):
            restored = store_again(gateway, redcap, ids.lost)
    left = [*outcome.left, *_of_ids(_compared_ids(gateway, redcap, scope) if restored else ids)]
    return replace(outcome, ids=ids, ids_restored=restored, left=left)


def _restored(
    configuration: Configuration,
    gateway: Gateway,
    redcap: Redcap,
    reconciliation: Reconciled,
    closed: Collection[str],
) -> _Outcome:
    with console.step("Writing to REDCap") as progress:
        delivered = restore(
            gateway, redcap, reconciliation.differences, batch_rows=configuration.redcap.batch_rows, progress=progress
        )
    # What came of it is read, not assumed: REDCap may have refused rows, and people go on meanwhile.
    studies = sorted({different.study for different in reconciliation.differences if restorable(different)})
    again = compare(gateway, redcap, studies, closed=closed).differences
    others = [different for different in reconciliation.differences if different.study not in studies]
    return _Outcome(reconciliation=reconciliation, ids=None, left=[*again, *others], restored=delivered)


def _print_json(outcome: _Outcome) -> None:
    console.print_json(outcome.as_data())


def _print_csv(outcome: _Outcome) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([in_a_cell(cell) for cell in _cells(different)] for different in outcome.left)


def _print_table(outcome: _Outcome) -> None:
    out = console.output()
    for line in _lines(outcome):
        out.print(line)
    if outcome.left:
        cells = [_cells(different) for different in outcome.left[:_LISTED]]
        out.print(console.table("", _COLUMNS, cells))
    if len(outcome.left) > _LISTED:
        out.print(f"... and {len(outcome.left) - _LISTED} more (`--format csv` lists them all)")


def _lines(outcome: _Outcome) -> list[str]:
    reconciliation = outcome.reconciliation
    lines = [
        f"Compared {reconciliation.studies} studies with REDCap: {len(reconciliation.differences) or 'no'} differences."
    ]
    if outcome.ids is not None:
        lines.append(
            f"Compared {outcome.ids.stored} generated IDs with AutoID: {len(outcome.ids.lost) or 'no'} differences."
        )
    if reconciliation.waiting or reconciliation.contested:
        lines.append(
            f"Not counted: {reconciliation.waiting} rows that wait to be written by a run, "
            f"{reconciliation.contested} requests that stand back for a person's."
        )
    if outcome.restored is not None:
        lines.append(
            f"Written again: {outcome.restored.studies} studies, {outcome.restored.series} series, "
            f"{outcome.restored.transfers} transfers, {outcome.ids_restored} generated IDs; "
            f"{outcome.restored.refused} rows refused, {outcome.restored.contested} requests contested. "
            f"{len(outcome.left)} differences are left."
        )
        lines += outcome.restored.warnings
    if outcome.accepted is not None:
        lines.append(f"Recorded as accepted: {outcome.accepted}.")
        if outcome.left:
            lines.append(
                f"Not accepted: {len(outcome.left)} lost IDs, as whoever goes by AutoID would draw second ones. "
                "`fiona-ledger reconcile --restore` stores them again, once what their notes ask for is done."
            )
    return lines


def _cells(different: Difference) -> list[str]:
    shown = different.as_data() | {"fields": " ".join(different.fields), "instance": different.instance or ""}
    return [str(shown[name]) for name in _COLUMNS]


_PRINTED = {Format.TABLE: _print_table, Format.JSON: _print_json, Format.CSV: _print_csv}

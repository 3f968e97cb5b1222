"""What `reconcile` does, once its arguments are understood."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from processors.cli import dates, screen
from processors.cli.commands import prepare, require_reason, say_busy
from processors.cli.opening import opened_gateway, opened_redcap, operator
from processors.configuration import Configuration
from processors.delivery.deliver import Delivered
from processors.delivery.reconcile.compare import Reconciled, compare
from processors.delivery.reconcile.compare import reconcile as reconciled
from processors.delivery.reconcile.diff import Difference
from processors.delivery.reconcile.scope import Scope
from processors.delivery.reconcile.settle import accept, restorable, restore
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.locks import only_run
from processors.redcap import Redcap

_COLUMNS = ("study", "kind", "key", "instance", "what", "fields", "note")
_LISTED = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Settle:
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
    """What there was, and what was done about it; `left` is what still differs."""

    found: Reconciled
    left: Sequence[Difference]
    restored: Delivered | None = None
    accepted: int | None = None

    @property
    def needs_attention(self) -> bool:
        return bool(self.left) or (self.restored is not None and self.restored.refused > 0)

    def as_data(self) -> dict[str, Any]:
        return {
            "studies": self.found.studies,
            "waiting": self.found.waiting,
            "contested": self.found.contested,
            "differences": [different.as_data() for different in self.left],
            "restored": None if self.restored is None else asdict(self.restored),
            "accepted": self.accepted,
            "needs_attention": self.needs_attention,
        }


def reconcile(
    config: Path | None, *, project: str | None, study: str | None, since: str | None, settle: Settle, output: str
) -> bool:
    """Compares, settles what is to be settled, and prints what differs; True where something still does."""
    settle.check()
    scope = Scope(project=project, study=study, since=dates.since("--since", since))
    with opened_gateway(config) as (configuration, gateway):
        if not (settle.restore or settle.accept):
            outcome = _work(configuration, gateway, scope, settle)
        else:
            with only_run(gateway) as alone:
                if not alone:
                    say_busy(gateway, json=output == "json")
                    return False
                outcome = _work(configuration, gateway, scope, settle)
    _PRINTED[output](outcome)
    return outcome.needs_attention


def _work(configuration: Configuration, gateway: Gateway, scope: Scope, settle: Settle) -> _Outcome:
    prepare(gateway)
    with opened_redcap(configuration, gateway) as redcap:
        with screen.step("Comparing with REDCap") as progress:
            found = reconciled(gateway, redcap, scope, progress)
        if settle.restore:
            return _restored(configuration, gateway, redcap, found)
    if settle.accept:
        with screen.step("Recording") as progress:
            accept(gateway, found.differences, by=operator(), reason=(settle.reason or "").strip(), progress=progress)
        return _Outcome(found=found, left=[], accepted=len(found.differences))
    return _Outcome(found=found, left=found.differences)


def _restored(configuration: Configuration, gateway: Gateway, redcap: Redcap, found: Reconciled) -> _Outcome:
    with screen.step("Writing to REDCap") as progress:
        delivered = restore(
            gateway, redcap, found.differences, batch_rows=configuration.redcap.batch_rows, progress=progress
        )
    # What came of it is read, not assumed: REDCap may have refused rows, and people go on meanwhile.
    studies = sorted({different.study for different in found.differences if restorable(different)})
    again = compare(gateway, redcap, studies).differences
    others = [different for different in found.differences if different.study not in studies]
    return _Outcome(found=found, left=[*again, *others], restored=delivered)


def _print_json(outcome: _Outcome) -> None:
    screen.print_json(outcome.as_data())


def _print_csv(outcome: _Outcome) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_cells(different) for different in outcome.left)


def _print_table(outcome: _Outcome) -> None:
    out = screen.console()
    for line in _lines(outcome):
        out.print(line, markup=False)
    if outcome.left:
        # A record id may be anything that somebody typed, brackets included.
        cells = [[escape(cell) for cell in _cells(different)] for different in outcome.left[:_LISTED]]
        out.print(screen.table("", _COLUMNS, cells))
    if len(outcome.left) > _LISTED:
        out.print(f"... and {len(outcome.left) - _LISTED} more (`--format csv` lists them all)", markup=False)


def _lines(outcome: _Outcome) -> list[str]:
    found = outcome.found
    lines = [f"Compared {found.studies} studies with REDCap: {len(found.differences) or 'no'} differences."]
    if found.waiting or found.contested:
        lines.append(
            f"Not counted: {found.waiting} rows that wait to be written by a run, {found.contested} requests that "
            "stand back for a person's."
        )
    if outcome.restored is not None:
        lines.append(
            f"Written again: {outcome.restored.studies} studies, {outcome.restored.series} series, "
            f"{outcome.restored.transfers} transfers; {outcome.restored.refused} rows refused, "
            f"{outcome.restored.contested} requests contested. {len(outcome.left)} differences are left."
        )
    if outcome.accepted is not None:
        lines.append(f"Recorded as accepted: {outcome.accepted}.")
    return lines


def _cells(different: Difference) -> list[str]:
    told = different.as_data() | {"fields": " ".join(different.fields), "instance": different.instance or ""}
    return [str(told[name]) for name in _COLUMNS]


_PRINTED = {"table": _print_table, "json": _print_json, "csv": _print_csv}

"""What a run came to, in lines for a person."""

from collections.abc import Iterator
from typing import NamedTuple

from processors.run import Report


class Line(NamedTuple):
    """A line; `is_news` where something happened that it tells of, `is_warning` where a person should read it."""

    words: str
    is_news: bool = False
    is_warning: bool = False


def lines(report: Report) -> Iterator[Line]:
    """The parts that the run has reached, each with its warnings."""
    yield from _source(report)
    if report.looked is not None and report.looked.is_anything:
        told_again = f", {again} told otherwise than before" if (again := report.looked.told_again) else ""
        yield Line(
            f"Transfers: {report.looked.sent} reported sent{told_again}, {report.looked.failed} failed, "
            f"{report.looked.reopened} opened again; {report.looked.requested} requested by others.",
            is_news=True,
        )
    yield from _decisions(report)
    if report.assigned is not None:
        yield Line(
            f"IDs: {report.assigned.drawn} drawn, {report.assigned.requested} transfers requested.",
            is_news=bool(report.assigned.drawn or report.assigned.requested),
        )
    yield from _delivery(report)
    for warning in (*report.checked.warnings, *report.warnings):
        yield Line(warning, is_warning=True)
    if report.error is not None:
        yield Line(
            f"It did not get to its end. Until then, {report.events} events were recorded, and REDCap was called "
            f"{report.calls} times.",
            is_news=report.events > 0,
        )


def _source(report: Report) -> Iterator[Line]:
    found = report.discovery
    if found is None:
        return
    yield Line(
        f"Source: {found.folders} study folders, {found.read} files read; "
        f"series: {found.discovered} discovered, {found.revised} revised; "
        f"{found.rejected} files rejected, {found.unsettled} still arriving; "
        f"studies: {found.vanished} vanished, {found.returned} returned.",
        is_news=any((found.discovered, found.revised, found.rejected, found.resolved, found.vanished, found.returned)),
    )
    if found.warning is not None:
        yield Line(f"WARNING: {found.warning}", is_warning=True)


def _decisions(report: Report) -> Iterator[Line]:
    decided = report.decided
    if decided is None:
        return
    held = f", {decided.held} held" * bool(decided.held)
    left_open = f", {decided.deferred} left open before the next export" * bool(decided.deferred)
    yield Line(
        f"Decisions: {report.observed_changes} changes of rules and couplings, {decided.studies} studies "
        f"looked at, {decided.requested} transfers requested{held}, {decided.retracted} withdrawn, "
        f"{decided.conflicts} conflicts{left_open}.",
        is_news=any((report.observed_changes, decided.requested, decided.held, decided.retracted, decided.conflicts)),
    )
    if decided.rules_switched_off:
        yield Line(
            "WARNING: kept running out of time, and were switched off for the rest of this run: routing rules "
            f"{', '.join(decided.rules_switched_off)}. Studies that they may concern wait: simplify the "
            "patterns.",
            is_warning=True,
        )


def _delivery(report: Report) -> Iterator[Line]:
    written = report.delivered
    if written is None:
        return
    rows_left = f", {written.rows_left} left to the next round" * bool(written.rows_left)
    yield Line(
        f"REDCap: {written.studies} studies, {written.series} series and "
        f"{written.transfers} transfers written, {report.withdrawn} withdrawn, "
        f"{written.refused} rows refused{rows_left}; {report.calls} calls.",
        is_news=any((written.studies, written.series, written.transfers, report.withdrawn, written.refused)),
    )
    for warning in written.warnings:
        yield Line(warning, is_warning=True)
    if written.left_out:
        yield Line(f"Left out, as REDCap's dictionary lacks them: {', '.join(written.left_out)}.", is_warning=True)

"""The replay as commands start it: recorded, and told of however it ends."""

from dataclasses import asdict
from pathlib import Path

from processors.cli import console
from processors.cli.bootstrap import now, opened_gateway, opened_run, operator, prepare
from processors.cli.news import Audience, Teller
from processors.cli.pings import pinged
from processors.cli.runs import health_told, reported, stopwatch_of
from processors.configuration.file import load
from processors.delivery.restored import require_whole
from processors.locks import only_run
from processors.operations.adopt.guard import require_moved_in
from processors.operations.replay import Replayed, Scope, replay
from processors.run import Report


def replay_run(config: Path | None, audience: Audience, scope: Scope, *, command: str) -> bool:
    """Replays and tells what it came to; True where something needs attention."""
    report, teller, replayed = Report(), Teller(config, command, audience, now), None
    with (
        health_told(config, report),
        teller.error_told(report),
        pinged(config, lambda: load(config)) as pings,
        opened_gateway(config) as (configuration, gateway),
        only_run(gateway) as busy,
    ):
        if busy is not None:
            teller.busy(busy)
            return False
        pings.start()
        recorded = opened_run(configuration, gateway, command, report, stopwatch_of(configuration))
        with reported(configuration, gateway, report, recorded, lambda: _tell_replay(report, replayed, teller)) as run:
            prepare(gateway)
            require_whole(gateway)
            require_moved_in(gateway, run.redcap, fresh=False, by=operator())
            replayed = replay(run, scope, by=operator())
            run.count_attention()
        teller.got_through()
    return report.needs_attention


def _tell_replay(report: Report, replayed: Replayed | None, teller: Teller) -> None:
    if teller.audience.json:
        console.print_json(report.as_data() | {"replayed": None if replayed is None else asdict(replayed)})
        return
    done = "" if replayed is None else _replayed_in_words(replayed)
    if teller.audience.is_cron:
        teller.report(report, before=done)
        return
    if teller.report_all(report, before=done):
        return
    if done:
        console.output().print(done)
    console.print_report(report)


def _replayed_in_words(replayed: Replayed) -> str:
    before = f", {replayed.written_before} of them written before it was interrupted" * bool(replayed.written_before)
    return f"Replayed: {replayed.studies} studies{before}."

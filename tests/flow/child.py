"""A run in a process of its own, which can be killed like one."""

import multiprocessing
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path

from tests.conftest import SettableClock
from tests.flow.harness import Site, Steps, run_once


def context() -> ForkServerContext:
    """Processes forked from one that has imported all that a run needs and has no threads."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["__main__", "tests.flow.harness", "tests.flow.child"])
    return made


class Hold:
    """Keeps a child from starting its run until it is released."""

    def __init__(self) -> None:
        self.event = context().Event()

    def release(self) -> None:
        self.event.set()


def start(site: Site, *, fatal: int | None = None, hold: Hold | None = None) -> ForkServerProcess:
    """A run of the site in a child, which kills itself at the step with the number `fatal`."""
    site.clock.advance(60)
    event = hold.event if hold is not None else None
    process = context().Process(
        target=_run,
        args=(
            site.database_url,
            site.key_file,
            site.receiver.raw,
            site.simulator.url,
            site.tokens,
            site.clock,
            fatal,
            event,
        ),
    )
    process.start()
    return process


def _run(
    database_url: str,
    key_file: Path,
    raw: Path,
    redcap_url: str,
    tokens: dict[str, str],
    clock: SettableClock,
    fatal: int | None,
    event: Event | None,
) -> None:
    if event is not None:
        event.wait()
    run_once(
        database_url=database_url,
        key_file=key_file,
        raw=raw,
        redcap_url=redcap_url,
        tokens=tokens,
        clock=clock,
        steps=Steps(fatal=fatal, kill=Steps.sigkill),
    )

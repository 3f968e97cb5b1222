"""A run in a process of its own, which can be killed like one."""

from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event

from tests.autoid.machine import Machine
from tests.flow.harness import Steps
from tests.processes import context


class Hold:
    """Keeps a child from starting its run until it is released."""

    def __init__(self) -> None:
        self.event = context().Event()

    def release(self) -> None:
        self.event.set()


def start(machine: Machine, *, fatal: int | None = None, hold: Hold | None = None) -> ForkServerProcess:
    """A run in a child, which kills itself at the step with the number `fatal`."""
    process = context().Process(target=_run, args=(machine, fatal, hold.event if hold is not None else None))
    process.start()
    return process


def _run(machine: Machine, fatal: int | None, event: Event | None) -> None:
    if event is not None:
        event.wait()
    machine.run(Steps(fatal=fatal, kill=Steps.sigkill))

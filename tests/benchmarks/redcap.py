"""A REDCap in a process of its own: prints where it is and its tokens, and answers until it is ended.

python -m tests.benchmarks.redcap SECONDS STATUS   how long it thinks about each call; whether Incoming takes rows
"""

import signal
import sys
from typing import TYPE_CHECKING, cast

import orjson

from processors.demo.simulator import Simulator, standard_projects
from processors.demo.simulator.faults import Fault

if TYPE_CHECKING:
    from processors.demo.simulator.project import Status

PROJECT = "Heart Study"
PATIENTS = "PID[0-9]{6}[0-3]"
"""Two patients of five, as `tree` names them."""


def route(simulator: Simulator) -> None:
    """Makes the rule that sends two studies of five to the project."""
    simulator.projects["routing"].set_choices("routing_dest_project", [("1", PROJECT)])
    rule = {
        "record_id": "1",
        "routing_active": "1",
        "routing_dest_project": "1",
        "routing_incoming_aetitle": "FIONA",
        "routing_allowed_patientid": PATIENTS,
    }
    simulator.projects["routing"].put([rule])


def main() -> None:
    """Serves until a signal comes."""
    with Simulator(standard_projects()) as simulator:
        route(simulator)
        simulator.projects["incoming"].status = cast("Status", sys.argv[2])
        if seconds := float(sys.argv[1]):
            simulator.inject(Fault(kind="delay", seconds=seconds, times=None))
        # Like a site that uses no auto-ID: its projects are not asked for.
        wanted = ("incoming", "coupling", "routing")
        tokens = {name: simulator.projects[name].token for name in wanted}
        sys.stdout.write(orjson.dumps({"url": simulator.url, "tokens": tokens}).decode() + "\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()

"""`python -m processors.demo.simulator`: a server with the standard projects, until it is interrupted."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from .simulator import Simulator
from .standard import standard_projects


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, then write the state file; prints the address and the tokens."""
    parser = argparse.ArgumentParser(prog="python -m processors.demo.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--state", type=Path, help="JSON file: read at the start, written at the end")
    parser.add_argument("--separate-transfers", action="store_true", help="transfers in a project of their own")
    options = parser.parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    projects = standard_projects(separate_transfers=options.separate_transfers)
    with Simulator(projects, options.port, options.state, host=options.host) as simulator:
        lines = [simulator.url, *(f"{name} {project.token}" for name, project in simulator.projects.items())]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs a command and tells what it took; started by `processes`, as a small process of its own.

What the system tells of a process' peak of memory is never less than that of the process that started
it was at the time, and a benchmark that has measured for minutes is large.

    stopwatch.py FILE COMMAND ...   the command's output goes to ours; FILE gets code, seconds, CPU and peak
"""

import json
import os
import sys
import time


def main() -> None:
    """Runs the command to its end."""
    file, *command = sys.argv[1:]
    begun = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - begun
    with open(file, "w") as out:  # noqa: PTH123 - importing pathlib would make this process larger
        json.dump([os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss], out)


if __name__ == "__main__":
    main()

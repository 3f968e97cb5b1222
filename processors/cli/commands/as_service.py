"""`fiona-ledger-as-service`: a command by hand, with what the unit of the periodic run gives: its user, tokens, fences.

Tokens reach the periodic run as credentials of systemd, and belong to root. A command that calls REDCap needs the same.
So systemd starts it, by the settings of the unit as they are: drop-ins of the site's included.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from processors.cli.exit_codes import exit_codes
from processors.configuration.file import load
from processors.errors import ConfigurationError

UNIT = "fiona-ledger.service"

_HELP = """\
Usage: fiona-ledger-as-service COMMAND [ARGUMENTS]

Give a command as the periodic run is given: by the same user, with the same configuration and tokens, within the same
fences. For root, on a machine with systemd. What it reads or writes beside that goes through its standard input and
output. COMMAND is one of fiona-ledger's, or populateIncoming or populateAutoID.

Example: fiona-ledger-as-service replay --project "Heart Study"
"""

_NAMES_OF_OLD = ("populateIncoming", "populateAutoID")
_OF_THE_RUN = re.compile(r"Type|Exec\w+|SuccessExitStatus|Timeout\w+|Restart\w*|RemainAfterExit|Standard\w+")
"""Settings that make the unit the periodic run; a command ends when it ends, and says so where it was given."""


def main() -> None:
    """Entry point of `fiona-ledger-as-service`."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_HELP)
        return
    with exit_codes():
        unit = _printed("systemctl", "cat", UNIT)
        require_credentials(unit)
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        command = command_line(unit, arguments, terminal=terminal, environment=os.environ)
        program = _found(command[0])
        os.execv(program, command)  # noqa: S606 - what root has written  # nosec B606


def command_line(unit: str, arguments: Sequence[str], *, terminal: bool, environment: Mapping[str, str]) -> list[str]:
    """What has systemd give the command by the settings of a unit."""
    settings = _settings(unit)
    started = [value for name, value in settings if name == "ExecStart" and value]
    program, *options = _program(started[-1] if started else "")
    # `migrate` and `rekey` write it; the periodic run does not.
    key_folder = load(_named(options), environment).ledger.key_file.parent
    properties = [
        *(f"--property={name}={value}" for name, value in settings if not _OF_THE_RUN.fullmatch(name)),
        f"--property=ReadWritePaths=-{key_folder}",
    ]
    # The ledger records who gave the command.
    said = [f"--setenv=SUDO_USER={environment['SUDO_USER']}"] if "SUDO_USER" in environment else []
    command, *rest = arguments
    called = (
        [str(Path(program).with_name(command)), *options] if command in _NAMES_OF_OLD else [program, *options, command]
    )
    return [
        *("systemd-run", "--quiet", "--collect", "--wait", "--pty" if terminal else "--pipe", "--service-type=exec"),
        *properties,
        *said,
        "--",
        *called,
        *rest,
    ]


def require_credentials(unit: str) -> None:
    """Raises `ConfigurationError` where a token's file is missing: systemd ends with 243 then, without a word."""
    named = (value.partition(":")[2] for name, value in _settings(unit) if name == "LoadCredential")
    missing = [path for path in named if path.startswith("/") and not Path(path).exists()]
    if missing:
        raise ConfigurationError(
            f"{UNIT}: expected the files of tokens that its lines LoadCredential= name, found no {', '.join(missing)}. "
            "Put each token into its file, as docs/redcap.md tells; where a project is not used, delete its line."
        )


def _settings(unit: str) -> list[tuple[str, str]]:
    """The settings of section [Service] in their order; one that is empty ends what came before of its name."""
    section, found = "", []
    for line in unit.replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[Service]" and "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            found.append((name.strip(), value.strip()))
    return found


def _program(started: str) -> list[str]:
    """The program and its options, as the unit names them before the command."""
    words = shlex.split(started)
    if "run" not in words:
        raise ConfigurationError(f"{UNIT}: expected ExecStart=.../fiona-ledger --config FILE run, found another.")
    return words[: words.index("run")]


def _named(options: Sequence[str]) -> Path | None:
    """The configuration."""
    return Path(options[options.index("--config") + 1]) if "--config" in options else None


def _printed(program: str, *arguments: str) -> str:
    command = [_found(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as above  # nosec B603
    if done.returncode:
        raise ConfigurationError(
            f"Expected the unit {UNIT}, found none: `fiona-ledger init` writes it, to be put into /etc/systemd/system."
        )
    return done.stdout


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ConfigurationError(
            f"Expected systemd, found no program {program}. Where cron starts the runs, give commands as their user."
        )
    return path


if __name__ == "__main__":
    main()

"""Whether a file may be believed: nobody but its reader and root can have written it.

Root who gives a command in another user's folder would otherwise read that user's configuration, and send
a token where it says.
"""

import os
import stat
from pathlib import Path

from processors.errors import ConfigurationError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def require_trusted(file: Path, what: str, *, secret: bool = False) -> None:
    """Raises `ConfigurationError` where somebody else owns or may write the file or its folder.

    `secret`: nor may everybody read it. A file that is not there is for its reader to report.
    """
    try:
        status, folder = file.stat(), file.resolve().parent.stat()
    except OSError:
        return
    problem = _problem(file, status, secret=secret) or _problem_of_folder(file.resolve().parent, folder)
    if problem:
        raise ConfigurationError(f"{what} {file} is not used: {problem}.")


def _problem(file: Path, status: os.stat_result, *, secret: bool) -> str:
    if not stat.S_ISREG(status.st_mode):  # a pipe that a shell made for `--config <(...)`
        return ""
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {status.st_uid}; expected root, or the user of this command ({os.geteuid()})"
    if status.st_mode & _OTHERS_WRITE:
        return f"others may write it (mode {stat.S_IMODE(status.st_mode):04o}); run `chmod go-w {file}`"
    if secret and status.st_mode & stat.S_IROTH:
        return f"everybody may read it (mode {stat.S_IMODE(status.st_mode):04o}); run `chmod o-r {file}`"
    return ""


def _problem_of_folder(folder: Path, status: os.stat_result) -> str:
    """In a folder like /tmp, where the sticky bit is set, nobody replaces what is another's."""
    if status.st_mode & stat.S_ISVTX:
        return ""
    if status.st_uid not in (0, os.geteuid()):
        return f"its folder {folder} belongs to user {status.st_uid}, who can put another in its place"
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may put another in its place; run `chmod o-w {folder}`"
    return ""

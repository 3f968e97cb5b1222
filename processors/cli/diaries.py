"""Where the diary of a configuration's runs lies."""

import os
from pathlib import Path

from processors.configuration.file import find
from processors.errors import ConfigurationError
from processors.operations import diary


def diary_file(config: Path | None) -> Path | None:
    """Where the diary lies; None where there is no configuration, and so nothing that runs."""
    try:
        return diary.diary_file(find(config, os.environ))
    except ConfigurationError:
        return None

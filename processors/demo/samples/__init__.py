"""Real series summaries to try things with: 61 series of 54 studies, from public DICOM test data.

* `raw/`: the summaries, a folder a study and a file a series, named by their UIDs
"""

import os
import shutil
import time
from importlib import resources
from pathlib import Path


def raw_folder() -> Path:
    """The folder that holds the summaries, laid out as a receiver does: a folder per study."""
    return Path(str(resources.files(__name__).joinpath("raw")))


def lay_out(target: Path, *, age_seconds: float = 120) -> int:
    """Copies the summaries below `target` and returns how many; they look `age_seconds` old, folders too."""
    written = time.time() - age_seconds
    count = 0
    for source in sorted(raw_folder().iterdir()):
        folder = target / source.name
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(source.glob("*.json")):
            copy = folder / file.name
            shutil.copyfile(file, copy)
            os.utime(copy, (written, written))
            count += 1
        os.utime(folder, (written, written))
    return count

"""Trees of series summaries as a receiver leaves them, of any size, the same every time.

Each study is made after a real one of `processors.demo.samples`: the same keys, texts and lengths, under UIDs
of its own, and with the series of several real ones where it has many, all of one patient and from one
scanner. A patient has about two studies.
"""

from __future__ import annotations

import os
import time
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from processors.demo import samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERIES_A_STUDY = 8
"""As in the issue: 100,000 series of 12,500 studies."""

_AGE_SECONDS = 3_600
_SAME_IN_A_STUDY = (
    "InstitutionName",
    "IncomingConnection",
    "StudyDescription",
    "StudyDate",
    "StudyTime",
)


class Made(NamedTuple):
    """One made summary."""

    study: str
    series: str
    content: bytes


def summaries(series: int) -> Iterator[Made]:
    """So many summaries, study by study, always the same."""
    chance = Random(7)
    documents = _real()
    for number in range(-(-series // SERIES_A_STUDY)):
        study = f"1.2.826.0.1.3680043.8.498.{chance.randrange(10**30)}.{number}"
        whom = chance.randrange(series // (2 * SERIES_A_STUDY) + 1)
        patient = {
            "PatientID": f"PID{whom:07d}",
            "PatientName": documents[whom % len(documents)].get("PatientName", ""),
        }
        accession = f"ACC{number:08d}"
        whose = {key: value for key, value in chance.choice(documents).items() if key in _SAME_IN_A_STUDY}
        for place in range(min(SERIES_A_STUDY, series - number * SERIES_A_STUDY)):
            document = chance.choice(documents) | whose
            document |= {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.{place}"}
            document |= patient | {"AccessionNumber": accession}
            yield Made(study, f"{study}.{place}", orjson.dumps(document, option=orjson.OPT_INDENT_2))


def lay_out(raw: Path, series: int) -> None:
    """Writes the summaries below `raw`, an hour old, folders too."""
    moment = time.time_ns() - _AGE_SECONDS * 10**9
    folder, study = -1, ""
    raw.mkdir(parents=True)
    for made in summaries(series):
        if made.study != study:
            _close(folder, moment)
            study = made.study
            (raw / study).mkdir()
            folder = os.open(raw / study, os.O_RDONLY)
        file = os.open(f"{made.series}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
        os.write(file, made.content)
        os.utime(file, ns=(moment, moment))
        os.close(file)
    _close(folder, moment)


def _close(folder: int, moment: int) -> None:
    if folder >= 0:
        os.utime(folder, ns=(moment, moment))
        os.close(folder)


def _real() -> list[dict[str, Any]]:
    return [orjson.loads(path.read_bytes()) for path in sorted(samples.raw_folder().glob("*/*.json"))]

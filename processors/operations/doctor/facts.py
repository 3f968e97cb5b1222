"""What the doctor has asked, of this machine, of the database and of REDCap. Pure.

`Trouble` stands for an answer that could not be had, or for what is wrong in the words of whoever noticed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from processors.project_designs import ProjectDesign

Row = Mapping[str, str]
_T = TypeVar("_T")


class Trouble(NamedTuple):
    """What is wrong and what to do, in a message for a person."""

    words: str


Told: TypeAlias = _T | Trouble
"""What was told, or why it could not be."""


class Folder(NamedTuple):
    """A folder that the configuration names: what this account must be able to do there, and what is wrong with it.

    What is to be `replaced` should be a file; of what is to be `foreign` to all that the program lives by, the problem
    says everything.
    """

    key: str
    path: Path
    needed: str
    problem: str


class KeyCopy(NamedTuple):
    """The copy of the key file: its age, whether it holds the same key, and the forgotten beside it."""

    age: timedelta
    is_same: bool
    knows_the_forgotten: bool


class Disk(NamedTuple):
    """The bytes that are free where a folder lies."""

    key: str
    path: Path
    free: Told[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineFacts:
    """What was found on this machine."""

    account: str
    configuration: Path
    is_overheard: bool
    folders: Sequence[Folder]
    key_file: Path
    key: Trouble | None
    forgotten: Trouble | None
    key_copy_file: Path | None
    key_copy: Told[KeyCopy] | None
    disks: Sequence[Disk]


class Standby(NamedTuple):
    """A server that follows: whether it is waited for at commits, and how far it is behind, where that is told."""

    is_synchronous: bool
    lag: timedelta | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFacts:
    """What PostgreSQL tells of itself, as the role of `ledger.url` sees it.

    `lost_at_crash` are settings by which what was committed can be lost. `lacking` are rights that the role needs,
    `beyond` sentences about rights that others should not have.
    """

    version: str
    encoding: str
    zone: str
    role: str
    is_superuser: bool
    is_embedded: bool
    is_pooled: bool
    is_standby: bool
    lost_at_crash: Sequence[str]
    standbys: Sequence[Standby]
    ahead: timedelta
    clock_tolerance: timedelta
    migrated: Trouble | None
    connections: Trouble | None
    key_fits: Told[bool] | None
    lacking: Told[Sequence[str]]
    beyond: Told[Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectFacts:
    """What a REDCap project tells of itself to the user of its token; `needed` are fields without which it is not read.

    `info` is all that is known where it is `Trouble`. `reading`: whether there were rows, by which alone it shows that
    fields are left out.
    """

    design: ProjectDesign
    needed: Collection[str]
    info: Told[Row]
    dictionary: Told[Sequence[Row]] = field(default_factory=tuple)
    repeating: Told[Collection[str]] = ()
    group: Trouble | None = None
    reading: Told[bool] = True
    importing: Trouble | None = None
    logging: Trouble | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RedcapFacts:
    """What REDCap's server showed. `log_ahead`: how much later than ours the times in its log are, as they read."""

    now: datetime
    unreadable_tokens: Mapping[str, Trouble]
    projects: Sequence[ProjectFacts]
    clock_ahead: timedelta | None
    clock_tolerance: timedelta
    log_ahead: Told[timedelta | None] = None
    certificate_ends: datetime | None = None

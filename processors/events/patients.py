"""Whose a study is: where that changed after something was requested, and where its series contradict each other."""

from dataclasses import dataclass
from typing import Literal

from processors.events.fact import OfStudy

Consequence = Literal["stands", "amended", "withdrawn"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyChangeFound(OfStudy):
    """What a request rests on has changed: its study's series say something else now.

    `changed` are DICOM's keywords of what they say otherwise. A request that is `withdrawn` or `amended` may have
    been sent by then: its TransferWithdrawn tells.
    """

    project: str
    request: int
    changed: tuple[str, ...]
    consequence: Consequence


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoPatientsFound(OfStudy):
    """The study's series on disk are of two patients or more. `patients`: the series of each."""

    patients: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoPatientsResolved(OfStudy):
    """The study's series on disk are of one patient again."""

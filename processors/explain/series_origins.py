"""The recorded series of a study by what rules look at: where each came from, and whose it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from processors.gateway import Work
from processors.routing.rules import Identity


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Series that are all one to a rule. `forgotten`: PatientID and PatientName cannot be read any more."""

    identity: Identity
    forgotten: bool
    series: Sequence[str]


def origins(work: Work, study: str) -> list[Origin]:
    """The origins of a study's series, that of the most series first."""
    positions = {row.position: row.series for row in work.execute(_SERIES, {"study": study})}
    found: dict[tuple[Identity, bool], list[str]] = {}
    for position, (event, sealed) in sorted(work.identities(positions.keys()).items()):
        found.setdefault((_identity(event.data, sealed), not sealed), []).append(positions[position])
    made = [Origin(identity=key[0], forgotten=key[1], series=series) for key, series in found.items()]
    return sorted(made, key=lambda origin: -len(origin.series))


_SERIES = text("select series, position from gateway.series where study = :study")


def _identity(data: Mapping[str, Any], sealed: Mapping[str, Any]) -> Identity:
    return Identity(
        called=data["AETitleCalled"],
        calling=data["AETitleCaller"],
        patient_id=sealed.get("PatientID", ""),
        patient_name=sealed.get("PatientName", ""),
    )

"""The entries of REDCap's AutoID, and which of them contradict each other. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from processors import bounds
from processors.text import same_to_people


class AutoidEntry(NamedTuple):
    """An entry of AutoID: the ID (`value`) of the patient with that key in a project."""

    record_id: str
    project: str
    key: str
    value: str

    @property
    def is_complete(self) -> bool:
        """Whether it says whose ID it is."""
        return bool(self.project and self.key and self.value)

    @property
    def number(self) -> int | None:
        """The number that its record id is, None where it is none that could be counted on from."""
        return bounds.count(self.record_id)


def entries_from_rows(rows: Iterable[Mapping[str, str]]) -> list[AutoidEntry]:
    """The entries in AutoID's rows, oldest record first, the incomplete ones too."""
    entries = [
        AutoidEntry(
            record_id=bounds.name(row["record_id"]),
            project=bounds.name(row.get("autoid_project_name", "")),
            key=bounds.name(row.get("autoid_hash", "")).lower(),
            value=bounds.cut(row.get("autoid_value", "").strip(), bounds.PSEUDONYM),
        )
        for row in rows
    ]
    return sorted(entries, key=_age)


def disputes(entries: Iterable[AutoidEntry]) -> dict[str, str]:
    """What is wrong with the entries that contradict each other, by record id. IDs that people take for one are one.

    Which of them is right is for a person to say: the older one may as well be the mistake.
    """
    entries = list(entries)
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in entries:
        values[entry.project, entry.key].add(entry.value)
        keys[entry.project, same_to_people(entry.value)].add(entry.key)
    disputed = {}
    for entry in entries:
        if len(keys[entry.project, same_to_people(entry.value)]) > 1:
            disputed[entry.record_id] = "Other entries give its ID to another patient."
        elif len(values[entry.project, entry.key]) > 1:
            disputed[entry.record_id] = "Other entries give its patient another ID."
    return disputed


def _age(entry: AutoidEntry) -> tuple[bool, int, str]:
    return (entry.number is None, entry.number or 0, entry.record_id)

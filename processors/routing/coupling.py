"""Coupling: which entries of the coupling list name a study. Pure.

An entry names a study by its accession number or its StudyInstanceUID; people copy both from elsewhere, so
blanks around them do not count, seen or not. One study may be named by several entries and go to several projects.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from processors import bounds
from processors.redcap.rows import REPEATED, repeated_ids
from processors.text import without_padding

FORGOTTEN = "\x00forgotten"
"""Stands for a subject ID or accession number that was forgotten: none is like it, and it is never shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An entry as REDCap holds it. `problems` says, for a person, why it cannot be used.

    `repeated`: REDCap's rows hold its record id several times, so that nobody knows what it says. `overlong`
    says of which of its fields not all is kept.
    """

    record_id: str
    accession: str
    study: str
    project: str
    subject_id: str
    event_name: str
    date: str
    repeated: bool = False
    overlong: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the entry from being usable."""
        if self.repeated:
            return (REPEATED,)
        if self.overlong:
            return self.overlong
        missing = []
        if not self.project:
            missing.append("cl_projectname is blank.")
        if not self.subject_id:
            missing.append("cl_subjectid is blank.")
        if not self.accession and not self.study:
            missing.append("cl_accessionnumber and cl_studyinstanceuid are both blank.")
        return tuple(missing)


_BOUNDS = {
    "cl_accessionnumber": bounds.ACCESSION,
    "cl_studyinstanceuid": bounds.NAME,
    "cl_projectname": bounds.NAME,
    "cl_subjectid": bounds.PSEUDONYM,
    "cl_eventname": bounds.NAME,
}


def entry_from_row(row: Mapping[str, str]) -> Entry:
    """The entry in a REDCap row, blanks stripped."""
    return Entry(
        record_id=bounds.name(row["record_id"]),
        accession=bounds.cut(without_padding(row.get("cl_accessionnumber", "")), bounds.ACCESSION),
        study=bounds.name(row.get("cl_studyinstanceuid", "")),
        project=bounds.name(row.get("cl_projectname", "")),
        subject_id=bounds.cut(without_padding(row.get("cl_subjectid", "")), bounds.PSEUDONYM),
        event_name=bounds.name(row.get("cl_eventname", "")),
        date=bounds.name(row.get("cl_date", "")),
        overlong=bounds.overlong(row, _BOUNDS),
    )


def entries_from_rows(rows: Sequence[Mapping[str, str]]) -> list[Entry]:
    """The entries in REDCap's rows, each record id once; nothing is said by one that stands there several times."""
    repeated = repeated_ids(row["record_id"] for row in rows)
    entries = [entry_from_row(row) for row in rows if bounds.name(row["record_id"]) not in repeated]
    return entries + [_repeated(record) for record in repeated]


class CouplingList:
    """Usable entries laid out by what they name, so that a study finds its own without a search.

    `accessions` says by record id by what the entry's accession number is known where studies have theirs in that form,
    and not as it is written.
    """

    def __init__(self, entries: Iterable[Entry], accessions: Mapping[str, str] | None = None) -> None:
        self._accessions = accessions
        self._by_record = {entry.record_id: entry for entry in entries}
        self._by_accession: dict[str, list[Entry]] = {}
        self._by_study: dict[str, list[Entry]] = {}
        for entry in self._by_record.values():
            if not entry.problems:
                if accession := self.accession(entry):
                    self._by_accession.setdefault(accession, []).append(entry)
                if entry.study:
                    self._by_study.setdefault(entry.study, []).append(entry)

    def accession(self, entry: Entry) -> str:
        """The entry's accession number as studies have theirs; blank where it names none."""
        return entry.accession if self._accessions is None else self._accessions.get(entry.record_id, "")

    def get(self, record_id: str) -> Entry | None:
        """The entry of this record id, usable or not."""
        return self._by_record.get(record_id)

    def naming(self, study: str, accessions: Collection[str]) -> list[Entry]:
        """The usable entries that name this study, each once, in the order of their record ids."""
        named = [entry for accession in accessions if accession for entry in self._by_accession.get(accession, ())]
        named.extend(self._by_study.get(study, ()))
        return sorted({entry.record_id: entry for entry in named}.values(), key=lambda entry: entry.record_id)


def _repeated(record_id: str) -> Entry:
    return Entry(
        record_id=record_id,
        accession="",
        study="",
        project="",
        subject_id="",
        event_name="",
        date="",
        repeated=True,
    )

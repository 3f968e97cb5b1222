"""New and changed coupling entries that name what has been placed already: does REDCap still hold it?

Whoever asks for a study after its record or row was deleted gets it back. So deletions are looked for before the
entries' words are recorded, and are older then; noticed later, they would count as the newer word. Whichever site is
first to see the words records them, so that it looks for all sites.
"""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import text

from processors.accession_numbers import accession_subject
from processors.delivery.deletions import InDoubt, tell_deletions
from processors.errors import ServiceError
from processors.gateway import Gateway, Work
from processors.redcap import Banned, Misdirected, Redcap
from processors.routing.coupling import Entry

_PLACED = text("""
    with said as materialized (
         select record_id, accession, named, project
           from unnest(cast(:records as text[]), cast(:accessions as text[]), cast(:studies as text[]),
                       cast(:projects as text[])) as said (record_id, accession, named, project)),
    named as (
         select record_id, project, study from said join gateway.series using (accession) where accession <> ''
         union
         select record_id, project, named from said where named <> '')
    select record_id, study, transfer.position
      from named join gateway.transfer using (study, project)
     where state = 'placed'
""")


class Placed:
    """What has been placed of what entries ask for: by record id, the studies, each with its requests (positions)."""

    def __init__(self, work: Work, entries: Sequence[Entry]) -> None:
        self._by_record: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        usable = [entry for entry in entries if not entry.problems]
        if not usable:
            return
        numbers = {entry.record_id: accession_subject(entry.accession) for entry in usable}
        known = work.vault.found(work.connection, [number for number in numbers.values() if number is not None])
        accessions = [known.get(number) if (number := numbers[entry.record_id]) else None for entry in usable]
        named = {
            "records": [entry.record_id for entry in usable],
            "accessions": ["" if accession is None else str(accession) for accession in accessions],
            "studies": [entry.study for entry in usable],
            "projects": [entry.project for entry in usable],
        }
        for row in work.execute(_PLACED, named):
            self._by_record[row.record_id][row.study].add(row.position)

    def __bool__(self) -> bool:
        """Whether any has."""
        return bool(self._by_record)

    def look(self, gateway: Gateway, redcap: Redcap) -> InDoubt:
        """Records which of it somebody deleted; gives the studies of which that is in doubt, whose entries are to wait.

        Where REDCap cannot tell, none waits: one bad record would hold up all entries. Raises `Banned`, `Misdirected`.
        """
        placed: dict[str, set[int]] = defaultdict(set)
        for studies in self._by_record.values():
            for study, positions in studies.items():
                placed[study] |= positions
        try:
            return tell_deletions(gateway, redcap, placed)
        except (Banned, Misdirected):
            raise
        except ServiceError:
            return InDoubt()

    def asked_for_by(self, in_doubt: InDoubt) -> set[str]:
        """The entries (record ids) that ask for one of these."""
        return {record for record, studies in self._by_record.items() if studies.keys() & set(in_doubt.studies)}

"""One REDCap project: the client's calls, held together with the data dictionary that says which fields it has.

Servers differ in the fields that they know. What a project lacks is left out of exports and imports,
and without a field that is needed nothing is read or written. The dictionary is looked up once a day.
Where REDCap answers that it knows no such fields, the dictionary has changed: it is looked up, and the
call made once more. The project's missing data codes are blank in all rows that are read.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from ledger.store import Clock
from processors.clocks import is_due
from processors.errors import Refused, ServiceError

from . import dictionary, missing_data
from .client import Redcap
from .errors import UnknownFields
from .looked_up import Codes, Dictionary, LookedUp
from .readable import read_apart
from .rows import INSTRUMENT, Row, require_classic

_GOOD_FOR: Final = timedelta(hours=24)
_STUDY: Final = "study_instance_uid"
_RECORD_IDS: Final = {"incoming": _STUDY, "transfers": _STUDY}
_T = TypeVar("_T")


def record_id(project: str) -> str:
    """The field that holds the record id of the project of this name."""
    return _RECORD_IDS.get(project, "record_id")


class Project:
    """A project of the client's by our name for it; its dictionary is kept in `looked_up`.

    `needed` are the fields without which nothing is read or written: that is `Refused`. `unreadable` are the
    records of which it is known that REDCap cannot answer for them.
    """

    def __init__(
        self,
        redcap: Redcap,
        name: str,
        looked_up: LookedUp,
        clock: Clock,
        *,
        needed: Collection[str] = (),
        unreadable: Collection[str] = (),
    ) -> None:
        self._redcap = redcap
        self.name = name
        self._looked_up = looked_up
        self._clock = clock
        self._needed = frozenset(needed)
        self._fields: frozenset[str] | None = None
        self._record_id = record_id(name)
        self.known_unreadable = frozenset(unreadable)
        self.unreadable: Mapping[str, str] = {}
        """What kept back records of the last export, by record id: they are missing from it."""

    def export(
        self,
        fields: Collection[str],
        *,
        records: Sequence[str] | None = None,
        changed_since: datetime | None = None,
        look_up: bool = True,
    ) -> list[Row]:
        """Rows of these records (None: all) with those of the fields that the project has.

        Without `look_up`, a dictionary that is old serves as well, and one never seen is taken to hold
        the fields: that spares an idle run a call, as REDCap tells if it lacks any. The needed fields are
        then asked of rows only: where there are none, nothing is misread.
        """

        def export_known(known: frozenset[str]) -> list[Row]:
            wanted = [name for name in dict.fromkeys(fields) if name in known]
            if not wanted:
                raise self._lacking(list(fields))
            if records is not None:
                rows = self._redcap.export_records(self.name, records=records, fields=wanted)
            else:
                rows = self._readable(fields=wanted, changed_since=changed_since)
            if rows:
                self._require(known)
                if self.name in _RECORD_IDS:
                    require_classic(self.name, rows)
            return self._without_codes(rows)

        return self._with_fields(export_known, None if look_up else self._presumed(fields))

    def export_list(self) -> list[Row]:
        """All records of a list that people keep, with all fields, without rows of repeating instruments.

        Rows without the needed fields are `Refused`: rules without their `routing_active` would all look
        switched off. Where there are no rows, the dictionary tells whether the project is the one that
        was meant: another project's empty list is not "no rules".
        """
        exported = self._readable(needed=sorted(self._needed))
        rows = [row for row in exported if not row[INSTRUMENT]]
        if not rows:
            self.require_needed()
        return self._without_codes(rows)

    def _readable(
        self,
        *,
        fields: Sequence[str] | None = None,
        needed: Sequence[str] = (),
        changed_since: datetime | None = None,
    ) -> list[Row]:
        """The rows of all records that REDCap can answer for; `unreadable` are the others."""
        export, record = self._redcap.export_records, record_id(self.name)

        def ids() -> list[str]:
            rows = export(self.name, fields=[record], changed_since=changed_since)
            return list(dict.fromkeys(row[record] for row in rows))

        answer = read_apart(
            lambda: export(self.name, fields=fields, needed=needed, changed_since=changed_since),
            ids,
            lambda records: export(self.name, records=records, fields=fields, needed=needed, retried=False),
            self.known_unreadable,
        )
        self.unreadable = answer.unreadable
        return answer.rows

    def import_rows(
        self, rows: Sequence[Mapping[str, str | int]], *, overwrite: bool, optional: Collection[str] = ()
    ) -> frozenset[str]:
        """Stores the rows; gives the `optional` fields that were left out, as the project lacks them.

        About any other field that it lacks, REDCap is to say so.
        """

        def import_known(known: frozenset[str]) -> frozenset[str]:
            left_out = frozenset(optional) - known
            kept = rows
            if left_out:  # hardly ever: not to be asked of each field of each row otherwise
                kept = [{name: value for name, value in row.items() if name not in left_out} for row in rows]
            self._redcap.import_records(self.name, kept, overwrite=overwrite)
            return left_out and left_out.intersection(name for row in rows for name in row)

        return self._with_fields(import_known)

    def choices(self, field: str) -> dict[str, str]:
        """The labels by code of a dropdown, looked up now. Raises `Refused` where the project has no such field."""
        metadata = self._redcap.metadata(self.name)
        self._fields, self._record_id = dictionary.field_names(metadata), metadata[0]["field_name"]
        for described in metadata:
            if described["field_name"] == field:
                return dictionary.choices(described["select_choices_or_calculations"])
        raise self._lacking([field])

    def fields(self) -> frozenset[str]:
        """The names that the project takes in imports and exports, as looked up within the last 24 hours.

        A checkbox stands under its own name, by which exports are asked for, and under those of its
        columns. The repeat columns are not among them: REDCap adds them, and refuses to be asked for them.
        """
        if self._fields is None:
            now, seen = self._clock(), self._recall()
            if seen is None or is_due(seen.looked_at, now, _GOOD_FOR):
                metadata = self._redcap.metadata(self.name)
                seen = Dictionary(dictionary.field_names(metadata), metadata[0]["field_name"], now)
                self._looked_up.keep_dictionary(self.name, self._redcap.address(self.name), seen)
            self._fields, self._record_id = seen.fields, seen.record_id
        return self._fields

    def answers(self) -> bool:
        """Whether the project can be read at all just now: so that what failed is the fault of what was in it."""
        try:
            self._redcap.metadata(self.name)
        except ServiceError:
            return False
        return True

    def require_needed(self) -> frozenset[str]:
        """The fields of the project. Raises `Refused` where it lacks one that is needed."""
        known = self.fields()
        self._require(known)
        return known

    def forget_fields(self) -> None:
        """Has the dictionary looked up again when it is needed next."""
        self._fields = None
        self._looked_up.forget_dictionary(self.name)

    def _without_codes(self, rows: list[Row]) -> list[Row]:
        return missing_data.without_codes(rows, self._missing_data_codes()) if rows else rows

    def _missing_data_codes(self) -> frozenset[str]:
        """The codes as looked up within the last hour."""
        now, address = self._clock(), self._redcap.address(self.name)
        seen = self._looked_up.codes(self.name, address)
        if seen is None or is_due(seen.looked_at, now, missing_data.GOOD_FOR):
            seen = Codes(missing_data.codes_of(self._redcap.project_info(self.name)), now)
            self._looked_up.keep_codes(self.name, address, seen)
        return seen.codes

    def _with_fields(self, call: Callable[[frozenset[str]], _T], presumed: frozenset[str] | None = None) -> _T:
        """Calls with the fields that the project has; once more with those looked up anew, if REDCap knows better."""
        look_up = self.require_needed if presumed is None else self.fields
        try:
            return call(look_up() if presumed is None else presumed)
        except UnknownFields:
            self.forget_fields()
            return call(look_up())

    def _require(self, known: frozenset[str]) -> None:
        missing = sorted(self._needed - known)
        if missing:
            # The next run must see that the dictionary has been mended.
            self.forget_fields()
            raise self._lacking(missing)
        if self._record_id != record_id(self.name):
            self.forget_fields()
            raise Refused(
                f"{self.name}: expected {record_id(self.name)} to be the first field of the data dictionary, that of "
                f"the record id, found {self._record_id} there; nothing is read from it or written to it. Move it to "
                f"the top, or check that the token in redcap.tokens.{self.name} is the one of this project."
            )

    def _presumed(self, fields: Collection[str]) -> frozenset[str]:
        seen = self._recall()
        return frozenset(fields) if seen is None else seen.fields

    def _recall(self) -> Dictionary | None:
        return self._looked_up.dictionary(self.name, self._redcap.address(self.name))

    def _lacking(self, missing: Sequence[str]) -> Refused:
        return Refused(
            f"{self.name}: expected the fields {', '.join(missing)} in the project's data dictionary, which lacks "
            "them; nothing is read from it or written to it without them. Add them to the dictionary, or check that "
            f"the token in redcap.tokens.{self.name} is the one of this project."
        )

"""Where REDCap and the ledger differ: rows that are missing, changed, extra or there twice. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from processors.alterations import is_saved_as, normal
from processors.delivery.plan import DesiredSeries
from processors.redcap import incoming, transfers
from processors.redcap.incoming import Row
from processors.requests import TransferRequest, TransferRow, owner

Kind = Literal["record", "study", "series", "transfer", "generated ID"]
What = Literal["deleted", "missing", "changed", "extra", "duplicate", "not ended"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A row that REDCap and the ledger do not hold alike; only the names of its fields are told, never values.

    `key` is the series' UID, our request's position, or AutoID's record id of a generated ID, which is of no study.
    `row_position` is the event that our row is made from, 0 where the ledger has none; `content` what REDCap says
    there, None where there is nothing.
    """

    study: str
    kind: Kind
    what: What
    key: str = ""
    instance: int | None = None
    fields: tuple[str, ...] = ()
    row_position: int = 0
    note: str = ""
    content: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    transfer: TransferRow | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """What tells it from the study's other rows of its kind."""
        ours = self.what in ("changed", "missing", "deleted", "not ended")
        return self.key if ours else f"{self.key} in {self.instance or 'record'}"

    def as_data(self) -> dict[str, Any]:
        """As it is printed."""
        fields = ("study", "kind", "key", "instance", "what", "fields", "note")
        return {name: getattr(self, name) for name in fields}


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A request of ours that stands in REDCap as far as the ledger knows; `note`: why it is not placed again."""

    request: TransferRequest
    note: str


@dataclass(kw_only=True, slots=True)
class Held:
    """What REDCap should hold of one study. Rows that still wait to be written are not among them.

    `row` is None where the study's own row waits; `series_known` are all its series, whatever their state;
    `ours` all our requests, `placed` those that should stand; `absent` the rows (kind, key) whose absence
    was acknowledged.
    """

    study: str
    row: Row | None = None
    row_position: int = 0
    series: list[DesiredSeries] = field(default_factory=list)
    series_known: set[str] = field(default_factory=set)
    ours: Sequence[TransferRequest] = ()
    placed: list[Placed] = field(default_factory=list)
    absent: set[tuple[str, str]] = field(default_factory=set)

    @property
    def is_written(self) -> bool:
        """Whether REDCap should have a record of it."""
        return self.row is not None or bool(self.series)


def differences(
    held: Held, rows: Sequence[Mapping[str, str]], transfers: Iterable[TransferRow]
) -> Iterator[Difference]:
    """How REDCap's `rows` and `transfers` of a study differ from what the ledger wants there.

    Requests of others are among them, whether or not the ledger has observed them before.
    """
    if not rows and held.is_written:
        all_of_study: Iterable[Difference] = [Difference(study=held.study, kind="study", what="deleted")]
    else:
        all_of_study = (*_of_study(held, rows), *_of_series(held, rows))
    yield from (different for different in all_of_study if (different.kind, different.key) not in held.absent)
    if ("study", "") not in held.absent:
        yield from _of_transfers(held, {row.instance: row for row in transfers})


def _of_study(held: Held, rows: Sequence[Mapping[str, str]]) -> Iterator[Difference]:
    base = [row for row in rows if not row.get("redcap_repeat_instrument")]
    if held.row is not None and base:
        fields = different_fields(held.row, base[0])
        if fields:
            yield Difference(
                study=held.study,
                kind="study",
                what="changed",
                fields=fields,
                row_position=held.row_position,
                content=content(held.row, base[0]),
            )


def _of_series(held: Held, rows: Sequence[Mapping[str, str]]) -> Iterator[Difference]:
    there: dict[str, dict[int, Mapping[str, str]]] = {}
    for row in rows:
        if row.get("redcap_repeat_instrument") == incoming.SERIES_FORM:
            uid = row.get("series_instance_uid", "").strip()
            there.setdefault(uid, {})[int(row["redcap_repeat_instance"])] = row
    for series in held.series:
        instances = there.get(series.series, {})
        if not instances:
            yield Difference(
                study=held.study, kind="series", what="missing", key=series.series, row_position=series.position
            )
        else:
            yield from _of_one_series(held.study, series, instances)
    for uid, instances in there.items():
        if uid not in held.series_known:
            for instance, row in sorted(instances.items()):
                yield _stray(held.study, uid, instance, row, "extra")


def _of_one_series(
    study: str, series: DesiredSeries, instances: Mapping[int, Mapping[str, str]]
) -> Iterator[Difference]:
    """The series stands where deliveries look for it, in the first of its instances; others repeat it."""
    first, *others = sorted(instances)
    expected = incoming.series_row(series.data, series.sealed, first)
    fields = different_fields(expected, instances[first])
    if fields:
        yield Difference(
            study=study,
            kind="series",
            what="changed",
            key=series.series,
            instance=first,
            fields=fields,
            row_position=series.position,
            content=content(expected, instances[first]),
        )
    for other in others:
        yield _stray(study, series.series, other, instances[other], "duplicate")


def _stray(study: str, uid: str, instance: int, row: Mapping[str, str], what: What) -> Difference:
    return Difference(
        study=study,
        kind="series",
        what=what,
        key=uid,
        instance=instance,
        content=content(dict.fromkeys(incoming.FIELDS["series"], ""), row),
    )


def _of_transfers(held: Held, rows: Mapping[int, TransferRow]) -> Iterator[Difference]:
    owners = {instance: owner(row, held.ours) for instance, row in rows.items()}
    standing = {
        request.position
        for instance, (request, _) in owners.items()
        if request is not None and not (request.in_force and rows[instance].is_report_alone)
    }
    rewritten: set[int] = set()
    for placed in held.placed:
        request = placed.request
        if request.position in standing or ("transfer", str(request.position)) in held.absent:
            continue
        row = rows.get(request.instance or 0)
        rewritten |= {row.instance} if row is not None else set()
        yield Difference(
            study=held.study,
            kind="transfer",
            what="missing" if row is None else "changed",
            key=str(request.position),
            instance=request.instance,
            fields=() if row is None else _different_asks(request, row),
            row_position=request.position,
            note=placed.note,
            transfer=row,
        )
    for instance, row in sorted(rows.items()):
        ours, wrote = owners[instance]
        if ours is not None and wrote and not ours.in_force and row.is_sendable:
            yield _sendable(ours, row)
        elif ours is None and instance not in rewritten and row.project:
            yield Difference(study=held.study, kind="transfer", what="extra", instance=instance, transfer=row)


def _sendable(request: TransferRequest, row: TransferRow) -> Difference:
    """A row of ours that could be sent, and must not be: what it asks for has been replaced or withdrawn."""
    return Difference(
        study=row.study,
        kind="transfer",
        what="not ended",
        key=str(request.position),
        instance=row.instance,
        row_position=request.position,
        note="It is no longer in force and can still be sent: the next run ends it.",
        transfer=row,
    )


def _different_asks(request: TransferRequest, row: TransferRow) -> tuple[str, ...]:
    fields = {
        "transfer_project_name": (request.project, row.project),
        "transfer_name": (row.name if request.pseudonym is None else request.pseudonym.strip(), row.name),
        "transfer_event_name": (request.event_name, row.event_name),
    }
    return tuple(name for name, (ours, theirs) in fields.items() if not is_saved_as(ours, theirs))


def different_fields(expected: Mapping[str, str | int], row: Mapping[str, str]) -> tuple[str, ...]:
    """The fields of which REDCap says something else. Those that it does not give cannot be compared."""
    return tuple(name for name, value in _compared(expected, row) if not _alike(name, str(value), row[name]))


def content(expected: Mapping[str, str | int], row: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What REDCap says in the fields compared, to be recognised."""
    return tuple(sorted((name, _normal(name, row[name])) for name, _ in _compared(expected, row)))


def _compared(expected: Mapping[str, str | int], row: Mapping[str, str]) -> Iterator[tuple[str, str | int]]:
    places = (transfers.RECORD_ID, "redcap_repeat_instrument", "redcap_repeat_instance")
    return ((name, value) for name, value in expected.items() if name in row and name not in places)


def _alike(name: str, ours: str, theirs: str) -> bool:
    # Newer servers give some form statuses as blank.
    return is_saved_as(_normal(name, ours), _normal(name, theirs)) or (name.endswith("_complete") and not theirs)


def _normal(name: str, value: str) -> str:
    """The value without what saving alters, and without seconds on a minute."""
    value = normal(value)
    return value[: len("YYYY-MM-DD HH:MM")] if name == "study_arrival_date" else value

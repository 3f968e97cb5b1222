"""Writing drawn IDs to REDCap's AutoID, where other programs look them up."""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import text

from processors.autoid import registry
from processors.autoid.candidates import Waiting
from processors.autoid.holds import REFUSED, hold
from processors.gateway import Gateway, Work
from processors.redcap import Redcap, Row, RowsRefused

BATCH = 500

# What AutoID contradicts is not written into it: that would only add to the contradiction.
_UNDELIVERED = text("""
    select project, value, position from gateway.used_id join ledger.subject using (subject)
     where record_id is null and used_id.kind = 'generated' and wrapped_key is not null
       and not exists (select from gateway.contradiction as against
                        where against.project = used_id.project
                          and (against.value = used_id.value or against.subject = used_id.subject))
     order by position
""")


def undelivered_ids(gateway: Gateway) -> list[tuple[str, str, int]]:
    """The IDs (project, value, position) that AutoID does not hold yet; those of forgotten patients it never will."""
    with gateway.begin() as work:
        return [(row.project, row.value, row.position) for row in work.execute(_UNDELIVERED)]


def store_ids(
    gateway: Gateway, redcap: Redcap, entries: Iterable[registry.Entry], waiting: Sequence[Waiting] = ()
) -> None:
    """Writes new IDs to AutoID, under record ids counted on from the one that REDCap says is next.

    The waiting studies of patients whose IDs REDCap refuses are held. Their IDs stay theirs.
    """
    numbers = [int(e.record_id) for e in entries if e.record_id.isascii() and e.record_id.isdigit()]
    highest = max(numbers, default=0)
    undelivered = undelivered_ids(gateway)
    for start in range(0, len(undelivered), BATCH):
        portion = undelivered[start : start + BATCH]
        following = redcap.next_record_name("autoid")
        # A server whose record ids are no numbers answers "1", whatever stands there.
        first = max(int(following) if following.isascii() and following.isdigit() else 1, highest + 1)
        with gateway.begin() as work:
            keys = work.identities([position for _, _, position in portion])
        portion = [each for each in portion if keys[each[2]][1]]  # those not forgotten meanwhile
        rows = [
            {
                "record_id": str(first + offset),
                "autoid_project_name": project,
                "autoid_hash": keys[position][1]["key"],
                "autoid_value": value,
                "autoid_method": "1",
            }
            for offset, (project, value, position) in enumerate(portion)
        ]
        taken = {row["record_id"] for row in _import(redcap, rows)}
        highest = first + len(portion) - 1
        with gateway.begin() as work:
            work.record(
                [
                    registry.delivered_event(row["autoid_project_name"], row["autoid_value"], row["record_id"])
                    for row in rows
                    if row["record_id"] in taken
                ],
            )
            _hold_refused(work, [row for row in rows if row["record_id"] not in taken], waiting)


def _import(redcap: Redcap, rows: Sequence[Row]) -> list[Row]:
    """Imports the rows without those that REDCap refuses; gives the rows that it took."""
    portions = [list(rows)]
    taken: list[Row] = []
    while portions:
        portion = portions.pop()
        try:
            redcap.import_records("autoid", portion, overwrite=False)
        except RowsRefused as refusal:
            portions.extend(_untold(portion, {problem.record for problem in refusal.problems}))
        else:
            taken.extend(portion)
    return taken


def _untold(rows: list[Row], refused: Collection[str]) -> list[list[Row]]:
    """What to try again: the rows that REDCap did not name; halves where it named none."""
    rest = [row for row in rows if row["record_id"] not in refused]
    middle = len(rows) // 2
    portions = [rest] if len(rest) < len(rows) else [rows[middle:], rows[:middle]]
    return [portion for portion in portions if 0 < len(portion) < len(rows)]


def _hold_refused(work: Work, refused: Iterable[Row], waiting: Sequence[Waiting]) -> None:
    patients = {(row["autoid_project_name"], row["autoid_hash"]) for row in refused}
    for group in waiting:
        project = group.project.project
        hold(work, project, [s for s in group.studies if (project, s.key) in patients], REFUSED)

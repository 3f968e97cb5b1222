"""Writing what is pending to REDCap: read, plan, import, record, one batch after the other.

What is read of a batch is read while REDCap works on the one before (`read_ahead`); all else takes turns.

HTTP cannot be part of a transaction. So whatever an import's fate, nothing is recorded before REDCap
has acknowledged it, and the next delivery plans again from what REDCap has then.

One row may make an import fail, in whatever way. Where REDCap tells that it is about rows, they are sorted out
(`imports`). Where it does not (an error page, a firewall's, a connection that is cut off), the run ends; it
may have been a mishap. Where that comes again in the next run, while REDCap can be read, it is about the rows: they
are planned and imported in ever smaller portions until those are found that fail alone.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Final

from ledger.batching import Progress, halves
from processors.delivery import due, retries
from processors.delivery.delivered import Delivered
from processors.delivery.due import Again, DueRow
from processors.delivery.imports import Imports
from processors.delivery.isolation import is_same_refusal, one_apart
from processors.delivery.plan import DesiredStudy
from processors.delivery.planner import Planner
from processors.delivery.read_ahead import ReadAhead
from processors.delivery.restored import require_whole
from processors.delivery.retries import RETRY_AFTER
from processors.errors import ServiceError, Unanswered
from processors.events.deliveries import ImportsAccepted, ImportsRefused, RowKind
from processors.gateway import Gateway, Work
from processors.redcap import Banned, Blocked, Misdirected, Project, Redcap, incoming

MANY_FAILED: Final = 3
"""After so many rows that fail alone, with none taken in between, others are tried: it need not be these."""

MOST_FAILED: Final = 8
"""After so many, the rest of the batch waits for the next run; after two such batches in succession, the run ends."""

MOST_SET_APART: Final = 200
"""So many rows that fail alone are set apart in one run: what else fails waits for the next one."""

MOST_TRIED: Final = 50
"""Among so many rows one is chosen to see whether a project takes rows again."""

IsTimeUp = Callable[[], bool]
"""Asked between two portions."""


def deliver(
    gateway: Gateway,
    redcap: Redcap,
    *,
    batch_rows: int,
    progress: Progress | None = None,
    is_time_up: IsTimeUp | None = None,
) -> Delivered:
    """Brings REDCap to what the ledger wants it to hold. Raises `ServiceError` where that fails.

    Whoever calls it has just had REDCap recognised (`recognition`), which asks whether the ledger is whole, too.
    A project that lacks a field of the rows to be written is `Refused` before any row is written.
    Transfers go to a project of their own where one is configured, after the studies. After each portion, `is_time_up`
    tells whether the others are left to the next delivery; not so where the transfers' turn is still to come.
    """
    return _in_passes(gateway, redcap, None, batch_rows, progress, is_time_up)


def deliver_again(
    gateway: Gateway,
    redcap: Redcap,
    *,
    studies: Collection[str],
    transfers: Collection[int] = (),
    batch_rows: int,
    everything: bool = False,
    progress: Progress | None = None,
) -> Delivered:
    """Writes all study and series rows of these studies again, and what else is pending for them.

    Rows that somebody deleted come back; those whose absence was acknowledged only if a request asks for them, or
    `everything` is to. Of our placed requests, only the `transfers` (positions) do: in a next free instance where their
    rows are gone or say something else, unless a person has asked for something else meanwhile. What has been sent
    under them would be sent again: that is for the caller to know.
    """
    require_whole(gateway)
    return _in_passes(
        gateway, redcap, Again(studies=studies, requests=transfers, everything=everything), batch_rows, progress
    )


def _in_passes(
    gateway: Gateway,
    redcap: Redcap,
    again: Again | None,
    batch_rows: int,
    progress: Progress | None,
    is_time_up: IsTimeUp | None = None,
) -> Delivered:
    delivered = Delivered()
    passes: list[tuple[str, tuple[RowKind, ...]]] = [("incoming", ("study", "series", "transfer"))]
    if redcap.has("transfers"):
        passes = [("incoming", ("study", "series")), ("transfers", ("transfer",))]
        is_time_up = None
    deliveries = [_Delivery(gateway, redcap, project, kinds, again, delivered) for project, kinds in passes]
    for later in deliveries[1:]:
        later.check_fields()
    for delivery in deliveries:
        delivery.run(batch_rows, progress, is_time_up)
    return delivered


class _Delivery:
    """One pass over the rows to be written to one REDCap project."""

    def __init__(
        self,
        gateway: Gateway,
        redcap: Redcap,
        project: str,
        kinds: Sequence[RowKind],
        again: Again | None,
        delivered: Delivered,
    ) -> None:
        self._gateway = gateway
        self._transfers_elsewhere = "transfer" not in kinds
        self._project = Project(redcap, project, gateway.looked_up, gateway.clock, needed=incoming.needed_fields(kinds))
        self._kinds = kinds
        self._again = again
        self._delivered = delivered
        self._planner = Planner(gateway, redcap, self._project, kinds, delivered, again=again is not None)
        self._imports = Imports(gateway, self._project, kinds, delivered)
        self._remembered = retries.Remembered(failed=False, retried_at=None, closed={})
        self._set_apart = 0
        self._is_rest_left = False

    def check_fields(self) -> None:
        """Raises `Refused` where there are rows to be written that the project has no fields for."""
        if self._again is not None or due.is_anything_due(self._gateway, self._kinds):
            self._project.require_needed()

    def run(self, batch_rows: int, progress: Progress | None, is_time_up: IsTimeUp | None) -> None:
        """Writes what is due, or what of it there is time for, and records what was refused."""
        with self._gateway.begin() as work:
            self._remembered = retries.recall(work, self._project.name)
        retry = self._again is not None or self._remembered.is_retry_due(self._gateway.clock())
        self._imports.suspicions.closed = dict(self._remembered.closed)
        if retry:
            self._try_one_of_closed()
        open_kinds = [kind for kind in self._kinds if kind not in self._imports.suspicions.closed]
        if self._transfers_elsewhere and self._again is None:
            # Whoever asks for a study whose record was deleted gets it back, wherever the request is written.
            open_kinds.append("transfer")
        done = tried_again = 0
        ends = not self._transfers_elsewhere
        with (
            self._gateway.begin() as work,
            due.due_rows(work, open_kinds, batch_rows, self._again, retry=retry, ends=ends) as (count, portions),
            self._reading_ahead(work, portions) as ahead,
        ):
            for portion in ahead:
                tried = [row for row in portion.rows if row.kind not in self._imports.suspicions.closed]
                if tried:
                    self._deliver_apart(tried, portion.desired if tried == portion.rows else None)
                    if retry:
                        tried_again += portion.rows[0].refused
                done += len(portion.rows)
                if progress is not None:
                    progress(done, count)
                if done < count and is_time_up is not None and is_time_up():
                    self._delivered.rows_left = count - done
                    # What failed before may be among what is left.
                    self._is_rest_left |= self._remembered.failed
                    break
        self._planner.warn()
        if self._imports.given_up is not None:
            raise self._imports.given_up
        newly_closed = self._imports.suspicions.closed.keys() - self._remembered.closed.keys()
        self._conclude(retried=bool(tried_again or newly_closed or (retry and self._remembered.closed)))

    @contextmanager
    def _reading_ahead(self, work: Work, portions: Iterator[list[DueRow]]) -> Iterator[ReadAhead]:
        with ReadAhead(portions, lambda rows: self._planner.desired(work, rows)) as ahead:
            self._imports.meanwhile = ahead.meanwhile
            yield ahead
            self._imports.meanwhile = nullcontext

    def _try_one_of_closed(self) -> None:
        """Tries one row of those kinds of which the project took none: another one each hour, as it may be the row."""
        closed = [kind for kind in self._kinds if kind in self._imports.suspicions.closed]
        if not closed:
            return
        with self._gateway.begin() as work, due.due_rows(work, closed, 1, self._again) as (count, rows):
            chosen = int(self._gateway.clock().timestamp() // RETRY_AFTER.total_seconds()) % max(
                1, min(count, MOST_TRIED)
            )
            row = next(islice(rows, chosen, None), None)
        if row is None:
            self._imports.suspicions.closed = {}
            return
        words = self._imports.suspicions.closed.pop(row[0].kind)
        self._deliver_apart(row)
        for refusal in self._imports.suspicions.taken([row[0].kind]):
            if is_same_refusal(refusal.message, words):
                self._imports.suspicions.closed[row[0].kind] = words
            else:
                self._imports.record_refusal(refusal)
        if row[0].kind not in self._imports.suspicions.closed:
            self._imports.suspicions.closed = {}

    def _conclude(self, *, retried: bool) -> None:
        """Records what was found out about rows, and about the project, as far as it is new."""
        self._imports.tell_failed_alone()
        for refusal in self._imports.suspicions.taken(self._kinds):
            self._imports.record_refusal(refusal)
        closed, before = self._imports.suspicions.closed, self._remembered.closed
        words: dict[str, list[str]] = {}
        for kind, message in sorted(closed.items()):
            if kind not in before or not is_same_refusal(message, before[kind]):
                words.setdefault(message, []).append(kind)
        facts: list[ImportsRefused | ImportsAccepted] = [
            ImportsRefused(redcap_project=self._project.name, kinds=tuple(kinds), message=message)
            for message, kinds in words.items()
        ]
        opened = tuple(sorted(before.keys() - closed.keys()))
        if opened:
            facts.append(ImportsAccepted(redcap_project=self._project.name, kinds=opened))
        if facts:
            with self._gateway.begin() as work:
                work.record(facts)
        if retried or self._remembered.failed:
            with self._gateway.begin() as work:
                now = self._gateway.clock() if retried else None
                retries.remember(work, self._project.name, failed=self._is_rest_left, retried_at=now)

    def _deliver_apart(self, rows: Sequence[DueRow], desired: Sequence[DesiredStudy] | None = None) -> None:
        """Delivers the rows; where that fails again without a word about rows, in ever smaller portions.

        `desired` is what was read of them already.
        """
        untried: list[Sequence[DueRow]] = [rows]
        while untried:
            portion = untried.pop()
            if desired is None:
                with self._gateway.begin() as work:
                    desired = self._planner.desired(work, portion)
            known, desired = desired, None
            try:
                self._imports.import_in_order(self._planner.planned(known))
            except (Banned, Misdirected):
                raise
            except (Unanswered, Blocked) as failure:
                untried += self._smaller(portion, failure)
                if len(self._imports.failed_alone) >= MOST_FAILED:
                    self._give_up(failure)
                    return
                if len(self._imports.failed_alone) >= MANY_FAILED:
                    untried = one_apart(untried)

    def _smaller(self, rows: Sequence[DueRow], failure: ServiceError) -> list[Sequence[DueRow]]:
        """Portions of the rows to try apart; raises the failure where it need not be about the rows."""
        expected = self._remembered.failed or all(row.refused for row in rows)
        if not expected or not self._project.answers():
            with self._gateway.begin() as work:
                retries.remember(work, self._project.name, failed=True)
            raise failure
        if self._set_apart >= MOST_SET_APART:
            self._is_rest_left = True
            return []
        if len(rows) > 1:
            return halves(rows)
        self._set_apart += 1
        if rows[0].refused:  # and it fails as it did: that tells nothing new of REDCap either
            self._imports.record_failed(rows[0], failure)
        else:
            self._imports.failed_alone.append((rows[0], failure))
        return []

    def _give_up(self, failure: ServiceError) -> None:
        """Leaves the rest of a batch to the next run; raises the failure where the batch before ended so, too."""
        self._imports.tell_failed_alone()
        self._is_rest_left = True
        if self._imports.given_up is not None:
            raise failure
        self._imports.given_up = failure

"""What the ledger wants REDCap to hold and REDCap does not, read in portions."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, TextClause, text

from ledger import store
from ledger.batching import batches
from ledger.events import Event
from processors.delivery.plan import OurTransfer, RowKind, WantedSeries, WantedStudy, WantedTransfer
from processors.gateway import Gateway, Work
from processors.redcap import incoming

RETRY_AFTER = timedelta(hours=1)
"""A refused row is tried again when it changes, and once in this time: its record may have been
unlocked or the dictionary mended, which nothing tells us. So is a request that a person's request
contests: theirs may be gone."""


class Item(NamedTuple):
    """A row to be written: the study's own, a series', or a transfer's, and the event that says so."""

    study: str
    kind: RowKind
    key: str
    position: int
    refused_before: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """What is to be written although REDCap has held it: all study and series rows of these studies, and the
    rows of these placed requests (positions) where they are gone.
    """

    studies: Collection[str]
    requests: Collection[int]


_ITEM = """
    select item.study, item.kind, item.key, item.position,
           exists (select from gateway.refused_row as refused
                    where (refused.study, refused.kind, refused.key) = (item.study, item.kind, item.key))
"""
# Rows of records that somebody deleted are left alone, and refused rows until they are due again.
_PENDING = f"""
    {_ITEM}
      from (select study, 'study' as kind, '' as key, row_position as position from gateway.study
             where row_position > delivered_position
            union all
            select study, 'series', series, position from gateway.series
             where position > delivered_position
            union all
            select study, 'transfer', position::text, position from gateway.transfer
             where state in ('requested', 'retracting') or (:contested and state = 'contested')) as item
      join gateway.study using (study)
     where study.site = :site and item.kind = any(:kinds)
       and not exists (select from gateway.refused_row as refused
                        where (refused.study, refused.kind, refused.key) = (item.study, item.kind, item.key)
                          and refused.row_position = item.position and refused.refused_at > :retry_before)
       and not exists (select from gateway.missing_row as missing
                        where missing.study = item.study
                          and (missing.kind = 'study'
                               or (missing.kind, missing.key) = (item.kind, item.key)))
"""
# What somebody deleted comes back, unless somebody has said that it was meant to go.
_AGAIN = f"""
    {_ITEM}
      from (select study, 'study' as kind, '' as key, row_position as position from gateway.study
            union all
            select study, 'series', series, position from gateway.series
            union all
            select study, 'transfer', position::text, position from gateway.transfer
             where state in ('requested', 'retracting') or (state = 'placed' and position = any(:requests))) as item
      join gateway.study using (study)
     where study.site = :site and item.kind = any(:kinds) and item.study = any(:studies)
       and not exists (select from gateway.missing_row as missing
                        where missing.study = item.study and acknowledged
                          and (missing.kind = 'study'
                               or (missing.kind, missing.key) = (item.kind, item.key)))
"""
# The kinds' order within a study is that of the alphabet backwards: study before series would be
# nicer, but REDCap does not mind, and a study's own row may come with a later portion anyway.
_ORDER = "order by item.study, item.kind desc, item.position"
_IN_ORDER = text(f"{_PENDING} {_ORDER}")
_COUNTED = text(f"select count(*) from ({_PENDING}) as pending")
_AGAIN_IN_ORDER = text(f"{_AGAIN} {_ORDER}")
_AGAIN_COUNTED = text(f"select count(*) from ({_AGAIN}) as again")


@contextmanager
def pending_items(
    gateway: Gateway, kinds: Collection[RowKind], portion: int, again: Again | None = None
) -> Iterator[tuple[int, Iterator[list[Item]]]]:
    """How many rows are to be written, and the rows in portions, a study's together; `again` those it names.

    The list is as it was on entering: what the deliveries record meanwhile does not change it. A
    cursor on the server holds it, so that memory does not grow with it.
    """
    with gateway.begin() as work:
        in_order, counted, parameters = _asked_for(gateway, kinds) if again is None else _named(again)
        parameters |= {"site": gateway.site, "kinds": list(kinds)}
        # This transaction waits for REDCap between portions; a server's patience with idle ones is no help.
        work.execute(text("set local idle_in_transaction_session_timeout = 0"))
        # All rows will be fetched. Planned for the first few, as cursors are, the query looked through all
        # studies for every row: 110 s more for 100,000 series.
        work.execute(text("set local cursor_tuple_fraction = 1"))
        count: int = work.execute(counted, parameters).scalar_one()
        if count == 0:
            yield 0, iter(())
            return
        rows = work.execute(in_order, parameters, execution_options={"yield_per": portion})
        try:
            yield count, batches((Item(*row) for row in rows), portion)
        finally:
            rows.close()


def _asked_for(gateway: Gateway, kinds: Collection[RowKind]) -> tuple[TextClause, TextClause, dict[str, Any]]:
    contested = "transfer" in kinds and _contests_are_due(gateway)
    return _IN_ORDER, _COUNTED, {"retry_before": gateway.clock() - RETRY_AFTER, "contested": contested}


def _named(again: Again) -> tuple[TextClause, TextClause, dict[str, Any]]:
    return _AGAIN_IN_ORDER, _AGAIN_COUNTED, {"studies": list(again.studies), "requests": list(again.requests)}


def is_anything_pending(gateway: Gateway, kinds: Collection[RowKind]) -> bool:
    """Whether rows of these kinds are to be written, but for contested requests, which may be due again."""
    parameters = {
        "site": gateway.site,
        "kinds": list(kinds),
        "retry_before": gateway.clock() - RETRY_AFTER,
        "contested": False,
    }
    with gateway.begin() as work:
        count: int = work.execute(_COUNTED, parameters).scalar_one()
    return count > 0


_CONTESTS_DUE = text("""
    insert into gateway.contest_retry (site, at)
    select :site, :now where exists (select from gateway.transfer where state = 'contested')
    on conflict (site) do update set at = excluded.at where contest_retry.at <= :before
    returning at
""")


def _contests_are_due(gateway: Gateway) -> bool:
    """Whether contested requests are to be tried again, which is thereby noted."""
    now = gateway.clock()
    with gateway.begin() as work:
        parameters = {"site": gateway.site, "now": now, "before": now - RETRY_AFTER}
        return work.execute(_CONTESTS_DUE, parameters).one_or_none() is not None


def load(gateway: Gateway, items: Sequence[Item], *, with_transfers: bool, again: bool = False) -> list[WantedStudy]:
    """The contents of these rows, by study, with what the ledger knows of the studies' other rows.

    `with_transfers`: requests that a person's request contests are tried again on this occasion.
    `again`: rows that have been deleted are to come back.
    """
    studies = {item.study: WantedStudy(study=item.study, again=again) for item in items}
    with gateway.begin() as work:
        arrivals = _add_history(work, studies)
        requests = _requests(work, studies) if with_transfers else []
        found = _contents(work, items, requests)
    for request in requests:
        _add_ours(gateway, studies[request.study], request, *found[request.position])
    for item in items:
        _add(gateway, studies[item.study], item, *found[item.position])
    for study in studies.values():
        if study.row_position:
            event, payload = found[study.row_position]
            study.row = incoming.study_row(event.data, payload, gateway.local(arrivals[study.study]))
    return list(studies.values())


def _contents(
    work: Work, items: Sequence[Item], requests: Sequence[Row[Any]]
) -> dict[int, tuple[Event, dict[str, Any]]]:
    """The events of rows and requests, with what is sealed in them. Series stay sealed: their rows tell of nobody."""
    series = {item.position for item in items if item.kind == "series"}
    sealed = {item.position for item in items if item.kind != "series"} | {request.position for request in requests}
    found = work.identities(sealed)
    for position, event in store.read_positions(work.connection, series - sealed).items():
        found[position] = event, {}
    return found


def _add(gateway: Gateway, study: WantedStudy, item: Item, event: Event, payload: dict[str, Any]) -> None:
    if item.kind == "study":
        study.row_position = item.position
    elif item.kind == "series":
        study.series.append(
            WantedSeries(
                series=item.key,
                position=item.position,
                data=event.data,
                instance=study.series_instances.get(item.key),
            )
        )
    elif study.ours[item.position].state == "retracting":
        study.retracting.append(study.ours[item.position])
    elif study.ours[item.position].state == "requested":
        _add_transfer(gateway, study, event, payload, contested=False)
    elif study.ours[item.position].state == "placed" and payload:
        study.restored.append(_wanted(gateway, event, payload, replaces=()))


def _add_transfer(
    gateway: Gateway, study: WantedStudy, event: Event, payload: dict[str, Any], *, contested: bool
) -> None:
    if not payload:
        # Its pseudonym was forgotten before it was placed: it never can be.
        study.retracting.append(study.ours[event.position])
    else:
        study.transfers.append(
            _wanted(gateway, event, payload, replaces=tuple(event.data["replaces"]), contested=contested)
        )


def _wanted(
    gateway: Gateway, event: Event, payload: dict[str, Any], *, replaces: tuple[int, ...], contested: bool = False
) -> WantedTransfer:
    return WantedTransfer(
        position=event.position,
        project=event.data["project"],
        event_name=event.data["event_name"],
        name=payload["pseudonym"],
        requested_at=gateway.local(event.recorded_at),
        replaces=replaces,
        contested=contested,
        cause=event.data["cause"],
    )


_SERIES_INSTANCES = text("""
    select study, series, instance from gateway.series where study = any(:studies) and instance is not null
""")
_ADOPTED_INSTANCES = text("select study, series, instance from gateway.adopted_series where study = any(:studies)")
_DELIVERED = text("""
    select study, arrived_at, delivered_position > 0 or adopted.position is not null as delivered
      from gateway.study left join gateway.adopted_study as adopted using (study)
     where study = any(:studies)
""")
_OURS = text("""
    select position, study, project, event_name, instance, state, found from gateway.transfer
     where study = any(:studies) order by position
""")


def _add_history(work: Work, studies: dict[str, WantedStudy]) -> dict[str, datetime]:
    """Adds what was delivered of the studies before, or adopted; gives when each arrived."""
    chosen = {"studies": list(studies)}
    for instances in (_ADOPTED_INSTANCES, _SERIES_INSTANCES):
        for row in work.execute(instances, chosen):
            studies[row.study].series_instances[row.series] = row.instance
    arrivals = {}
    for row in work.execute(_DELIVERED, chosen):
        studies[row.study].delivered = row.delivered
        arrivals[row.study] = row.arrived_at
    for row in work.execute(_MISSING, chosen):
        studies[row.study].missing.add((row.kind, row.key))
    return arrivals


_MISSING = text("select study, kind, key from gateway.missing_row where study = any(:studies)")
_CONTESTS = text("""
    select study, project, event_name from gateway.conflict where study = any(:studies) and kind = 'person'
""")


def _requests(work: Work, studies: dict[str, WantedStudy]) -> Sequence[Row[Any]]:
    """Every request of ours for these studies; adds who is known to contest them."""
    chosen = {"studies": list(studies)}
    for row in work.execute(_CONTESTS, chosen):
        studies[row.study].contests.add((row.project, row.event_name))
    return work.execute(_OURS, chosen).all()


def _add_ours(gateway: Gateway, study: WantedStudy, row: Row[Any], event: Event, payload: dict[str, Any]) -> None:
    """Adds a request of ours; a contested one is tried again on this occasion."""
    study.ours[row.position] = OurTransfer(
        position=row.position,
        project=row.project,
        event_name=row.event_name,
        name=payload.get("pseudonym"),
        requested=incoming.minute(gateway.local(event.recorded_at)),
        instance=row.instance,
        state=row.state,
        found=row.found,
    )
    if row.state == "contested":
        _add_transfer(gateway, study, event, payload, contested=True)


class PendingAge(NamedTuple):
    """How many rows of a kind wait to be written, and since when the oldest does."""

    kind: RowKind
    rows: int
    oldest: datetime


_AGES = text(f"""
    select kind, count(*), min(recorded_at) as oldest
      from ({_PENDING}) as pending join ledger.event using (position)
     group by kind order by kind
""")


def pending_age(work: Work, site: str) -> list[PendingAge]:
    """What waits to be written now; refused rows count."""
    rows = work.execute(
        _AGES,
        {
            "site": site,
            "kinds": ["study", "series", "transfer"],
            "retry_before": datetime.max.replace(tzinfo=UTC),
            "contested": False,
        },
    )
    return [PendingAge(*row) for row in rows]

"""What the ledger holds of the requests that a look meets: gathering, no deciding."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import text

from ledger.vault import Vault
from processors.delivery.sender.changes import KnownStudy, OurRequest, Theirs
from processors.delivery.sender.reports import AWAITED, Report, TransferRow
from processors.gateway import Work
from processors.redcap import incoming


def fingerprint(vault: Vault, row: TransferRow) -> str:
    """Equal for rows of the study that ask for the same."""
    return _print(vault, row.study, row.project, row.event_name, row.name)


def _print(vault: Vault, *content: str) -> str:
    return vault.fingerprint(orjson.dumps(content))


_STUDIES = text("""
    select study from gateway.study where study = any(:studies) and site = :site
    union
    select study from gateway.adopted_study where study = any(:studies) and site = :site
""")
_OURS = text("""
    select position, study, project, event_name, instance from gateway.transfer
     where study = any(:studies) order by position
""")
# What was adopted is known as theirs: its event holds what it asks for.
_ADOPTED = text("""
    select study, instance, project, event_name, sent, position from gateway.adopted_transfer
     where study = any(:studies)
""")
_OUTCOMES = text("""
    select request, ours, study, instance, fingerprint, state, sent_at, errors, failure from gateway.outcome
     where study = any(:studies)
""")


def known_studies(work: Work, studies: Sequence[str]) -> dict[str, KnownStudy]:
    """What the ledger holds of these studies' requests; studies that it does not know of this site are absent."""
    chosen = {"studies": list(studies), "site": work.site}
    known = {study: KnownStudy() for study in work.execute(_STUDIES, chosen).scalars()}
    chosen["studies"] = list(known)
    for study, request in _our_requests(work, chosen):
        known[study].ours.append(request)
    for study, instance, theirs in _adopted(work, chosen):
        known[study].theirs[instance] = theirs
    for row in work.execute(_OUTCOMES, chosen):
        report = Report(row.state, row.sent_at, tuple(row.errors), row.failure)
        if row.ours:
            known[row.study].reported[row.request] = report
        else:
            adopted = known[row.study].theirs.get(row.instance)
            print_ = row.fingerprint or (adopted.fingerprint if adopted is not None else None)
            known[row.study].theirs[row.instance] = Theirs(print_, report)
    return known


def _adopted(work: Work, chosen: dict[str, Any]) -> Iterator[tuple[str, int, Theirs]]:
    rows = work.execute(_ADOPTED, chosen).all()
    found = work.identities([row.position for row in rows])
    for row in rows:
        name = found[row.position][1].get("pseudonym")
        print_ = None if name is None else _print(work.vault, row.study, row.project, row.event_name, name)
        yield row.study, row.instance, Theirs(print_, Report("sent") if row.sent else AWAITED)


def _our_requests(work: Work, chosen: dict[str, Any]) -> Iterator[tuple[str, OurRequest]]:
    rows = work.execute(_OURS, chosen).all()
    found = work.identities([row.position for row in rows])
    for row in rows:
        event, payload = found[row.position]
        yield (
            row.study,
            OurRequest(
                position=row.position,
                project=row.project,
                event_name=row.event_name,
                name=payload.get("pseudonym"),
                requested=incoming.minute(work.local(event.recorded_at)),
                instance=row.instance,
            ),
        )

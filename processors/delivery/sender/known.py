"""What the ledger holds of the requests that a poll meets, or a delivery: gathering, no deciding."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import text

from ledger.vault import Vault
from processors.delivery.sender.changes import KnownRow, KnownStudy
from processors.gateway import Work
from processors.requests import AWAITED, Report, TransferRow
from processors.stored_requests import requests_of


def fingerprint(vault: Vault, row: TransferRow) -> str:
    """Equal for rows of the study that ask for the same."""
    return _fingerprint(vault, row.study, row.project, row.event_name, row.name)


def _fingerprint(vault: Vault, *content: str) -> str:
    return vault.fingerprint(orjson.dumps(content))


_STUDIES = text("""
    select study from gateway.study where study = any(:studies) and site = :site
    union
    select study from gateway.adopted_study where study = any(:studies) and site = :site
""")
# What was adopted is known as theirs: its event holds what it asks for.
_ADOPTED = text("""
    select study, instance, project, event_name, sent, position from gateway.adopted_transfer
     where study = any(:studies)
""")
_MISSING = text("""
    select study, key::bigint as request from gateway.missing_row where study = any(:studies) and kind = 'transfer'
""")
_DOUBLES = text("select study, request from gateway.double_row where study = any(:studies)")
_OTHERS = text("""
    select study, instance, fingerprint, state, sent_at, errors, failure, mapped_uids from gateway.outcome
     where study = any(:studies) and not ours
""")


def known_studies(work: Work, studies: Sequence[str]) -> dict[str, KnownStudy]:
    """What the ledger holds of these studies' requests; studies that it does not know of this site are absent."""
    chosen = {"studies": list(studies), "site": work.site}
    known = {study: KnownStudy() for study in work.execute(_STUDIES, chosen).scalars()}
    chosen["studies"] = list(known)
    for study, requests in requests_of(work, list(known)).items():
        known[study].ours = requests
    for row in work.execute(_MISSING, chosen):
        known[row.study].missing.add(row.request)
    for row in work.execute(_DOUBLES, chosen):
        known[row.study].doubled.add(row.request)
    for study, others in others_of(work, list(known)).items():
        known[study].others = others
    return known


def others_of(work: Work, studies: Sequence[str]) -> dict[str, dict[int, KnownRow]]:
    """What was told of somebody else's requests of these studies, by instance."""
    chosen = {"studies": list(studies)}
    known: dict[str, dict[int, KnownRow]] = defaultdict(dict)
    for study, instance, adopted in _adopted(work, chosen):
        known[study][instance] = adopted
    for row in work.execute(_OTHERS, chosen):
        before = known[row.study].get(row.instance)
        known_as = row.fingerprint or (before.fingerprint if before is not None else None)
        mapped_uids = tuple(row.mapped_uids) if row.state == "sent" else ()
        report = Report(row.state, row.sent_at, tuple(row.errors), row.failure, mapped_uids)
        known[row.study][row.instance] = KnownRow(known_as, report)
    return known


def _adopted(work: Work, chosen: dict[str, Any]) -> Iterator[tuple[str, int, KnownRow]]:
    rows = work.execute(_ADOPTED, chosen).all()
    events = work.identities([row.position for row in rows])
    for row in rows:
        name = events[row.position][1].get("pseudonym")
        known_as = None if name is None else _fingerprint(work.vault, row.study, row.project, row.event_name, name)
        yield row.study, row.instance, KnownRow(known_as, Report("sent") if row.sent else AWAITED)

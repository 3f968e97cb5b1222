"""What the ledger knows of rows that stood in REDCap before this system wrote there."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import text

from processors.gateway import Work

Pseudonyms = Mapping[tuple[str, str], Mapping[str | None, int]]
"""The pseudonyms under which a study was requested, by project and event, each with the position of the event
that says so; None for a forgotten one."""

_REQUESTS = text("""
    select study, project, event_name, position from gateway.adopted_transfer where study = any(:studies)
     order by position
""")


def adopted_requests(work: Work, studies: Collection[str]) -> dict[str, Pseudonyms]:
    """The requests of others that were adopted for these studies; studies without any are absent."""
    rows = work.execute(_REQUESTS, {"studies": list(studies)}).all()
    events = work.identities({row.position for row in rows})
    requests: dict[str, dict[tuple[str, str], dict[str | None, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        _, payload = events[row.position]
        requests[row.study][row.project, row.event_name][payload.get("pseudonym")] = row.position
    return dict(requests)

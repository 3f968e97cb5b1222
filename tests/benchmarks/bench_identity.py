"""What it costs a rebuild to know whose each pseudonym is, and a run in which nothing is new.

The same ledger is projected with and without the projection of identities, in turn.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.batching import batches
from ledger.projector import BATCH, Projector
from ledger.store import Store
from processors.events.deliveries import StudyDelivered
from processors.events.fact import Cause
from processors.events.transfers import TransferPlaced
from processors.projections import PROJECTIONS
from processors.projections.identities import Identities
from processors.routing.recognise import recognise_patients
from tests.benchmarks.rows import REPETITIONS, Row, at_most, in_turn, row, sized
from tests.benchmarks.site import running_server, site
from tests.conftest import SettableClock
from tests.facts import a_request, a_rule, a_series, in_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ledger.database import Database
    from ledger.events import NewEvent
    from ledger.projector import Projection
    from processors.gateway import Gateway

REQUESTS = sized(100_000, least=10_000)
SERIES = 5
"""In each study, as most have more."""
STUDIES_A_PATIENT = 3
IDLE_SECONDS = 0.05


def run() -> list[Row]:
    """What was measured."""
    others = [projection for projection in PROJECTIONS if not isinstance(projection, Identities)]
    with running_server() as (server, folder), site(server, folder, raw=folder) as made:
        gateway = made.gateway()
        _fill(made.database)
        without, with_identity = in_turn(
            lambda: _rebuilt(made.database, Projector(others), others),
            lambda: _rebuilt(made.database, Projector(PROJECTIONS), PROJECTIONS),
        )
        idle = [_idle(gateway) for _ in range(REPETITIONS)]
    what = f"rebuild, {REQUESTS:,} requests of {SERIES} series each"
    return [
        row(f"{what}, whose pseudonyms are known", with_identity, "s", "not known", without, at_most(1.1)),
        row(f"whose pseudonyms, nothing new, {REQUESTS:,} known", idle, "s", "limit", IDLE_SECONDS, at_most(1)),
    ]


def _fill(database: Database) -> None:
    store = Store(site="main", run=UUID(int=1), clock=SettableClock())
    for portion in batches(_events(), BATCH):
        with database.begin() as connection:
            store.append(connection, portion)


def _events() -> Iterator[NewEvent]:
    yield in_plain(a_rule("1", "P1"))
    for number in range(REQUESTS):
        study, patient = f"1.2.{number}", number // STUDIES_A_PATIENT
        first = number * (SERIES + 3) + 2
        for series in range(SERIES):
            yield in_plain(a_series(study, f"{study}.{series}"))
        placed = {f"{study}.{series}": {"instance": series + 1, "position": first + series} for series in range(SERIES)}
        yield in_plain(StudyDelivered(study=study, row=first, series=placed))
        named = {"name_fingerprint": f"{patient:032x}", "patient": str(UUID(int=patient))}
        yield in_plain(a_request(study, "P1", Cause("coupling", "1", 1), **named))
        yield in_plain(TransferPlaced(study=study, request=first + SERIES + 1, instance=1, found=False))


def _rebuilt(database: Database, projector: Projector, projections: Sequence[Projection]) -> float:
    begun = perf_counter()
    projector.rebuild(database.begin, *[projection.name for projection in projections])
    return perf_counter() - begun


def _idle(gateway: Gateway) -> float:
    """What looking for patients who have turned out to be others takes a run that has met nothing new."""
    head = REQUESTS * (SERIES + 3) + 1
    begun = perf_counter()
    recognise_patients(gateway, [], head)
    return perf_counter() - begun

"""What an operator does at a site of the flow's tests: replays, amends, rehearses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import uuid4

from ledger import store
from ledger.database import Database
from ledger.dry_run import DryRun
from ledger.vault import Vault
from processors.configuration.settings import Configuration, RedcapSection, RoutingSection, SourceSection
from processors.delivery.deliver import deliver
from processors.delivery.recognition import accept
from processors.events.deliveries import Acknowledged
from processors.gateway import Gateway
from processors.operations.dry_run import PlannedChange, planned_changes
from processors.operations.forget.data_subjects import of_patients
from processors.operations.forget.forget import forget
from processors.operations.identity_check import IdentityReport, identity_check
from processors.operations.replay import Replayed, Scope, replay
from processors.redcap import NoRateLimit, Redcap
from processors.redcap.dry_run import DryRunRedcap
from processors.requests import TransferRequest
from processors.routing.join import Joining, join
from processors.routing.overrides import Amendment, amend
from processors.run import Report, Run
from tests.flow.harness import HEART, ZONE, Site, SteppingDatabase, Steps


class Replay(NamedTuple):
    replayed: Replayed
    report: Report


def configuration(site: Site) -> Configuration:
    return Configuration(
        source=SourceSection(raw=site.receiver.raw),
        redcap=RedcapSection(url=site.simulator.url, batch_rows=site.batch_rows, tokens=site.tokens),  # type: ignore[arg-type]
        identity=site.identity,
        routing=RoutingSection(match=site.match, time_limit_seconds=site.time_limit),  # type: ignore[arg-type]
    )


@contextmanager
def gateway_of(site: Site, database: Database) -> Iterator[Gateway]:
    with database.begin() as connection:
        vault = Vault.open(connection, site.key_file)
    gateway = Gateway(
        database=database,
        vault=vault,
        site="main",
        clock=site.clock,
        run=uuid4(),
        zone=ZONE,
        raw=site.receiver.raw,
        sender=site.sender,
    )
    gateway.catch_up()
    yield gateway


def replay_all(site: Site, scope: Scope | None = None, *, steps: Steps | None = None) -> Replay:
    """A replay a minute later; killed at a step where `steps` says so."""
    site.clock.advance(60)
    site.simulator.calls.clear()
    steps = steps or Steps()
    database = SteppingDatabase(site.database_url, steps)
    report = Report()
    try:
        with (
            gateway_of(site, database) as gateway,
            Redcap(url=site.simulator.url, tokens=site.tokens, rate_limit=steps, sleep=lambda _: None) as redcap,
        ):
            run = Run(gateway, redcap, configuration(site), report, steps.announce)
            replayed = replay(run, scope or Scope(project=HEART), by="kari")
    finally:
        database.close()
    return Replay(replayed, report)


def accept_redcap(site: Site) -> None:
    """An operator takes REDCap as it is now for the ledger's."""
    database = Database(site.database_url)
    try:
        with (
            gateway_of(site, database) as gateway,
            Redcap(url=site.simulator.url, tokens=site.tokens, rate_limit=NoRateLimit()) as redcap,
        ):
            accept(gateway, redcap, by="kari", reason="restored")
    finally:
        database.close()


def amend_by_hand(
    site: Site, study: str, *, project: str = HEART, to: str | None = None, event: str | None = None
) -> list[TransferRequest]:
    """An operator retracts a request, or gives it the pseudonym `to`; then what is pending is delivered."""
    site.clock.advance(60)
    database = Database(site.database_url)
    try:
        with (
            gateway_of(site, database) as gateway,
            Redcap(url=site.simulator.url, tokens=site.tokens, rate_limit=NoRateLimit()) as redcap,
        ):
            amendment = Amendment(
                study=study, project=project, event_name=event, pseudonym=to, by="kari", reason="ticket 4711"
            )
            requests = amend(gateway, amendment).requests
            deliver(gateway, redcap, batch_rows=500)
    finally:
        database.close()
    return requests


def acknowledge(site: Site) -> None:
    """Somebody meant to delete all that is reported as missing."""
    database = Database(site.database_url)
    with gateway_of(site, database) as gateway, gateway.begin() as work:
        for position, study in site.query("select position, study from gateway.missing_row"):
            work.record([Acknowledged(study=study, position=position, by="kari", reason="meant")])
    database.close()


def forget_patient(site: Site, patient_id: str) -> None:
    """The patient's keys are destroyed."""
    database = Database(site.database_url)
    with gateway_of(site, database) as gateway:
        forget(gateway, lambda work: of_patients(work, [patient_id]), reason="asked", by="kari")
    database.close()


def rehearse(site: Site, scope: Scope | None = None) -> list[PlannedChange]:
    """What a run would change now, or with a `scope` a replay."""
    site.clock.advance(60)
    database = Database(site.database_url)
    try:
        with (
            DryRun(database) as dry_run,
            gateway_of(site, dry_run) as gateway,
            DryRunRedcap(url=site.simulator.url, tokens=site.tokens, rate_limit=NoRateLimit()) as redcap,
        ):
            with gateway.begin() as work:
                before = store.head(work.connection).position
            run = Run(gateway, redcap, configuration(site), Report(), Steps().announce)
            if scope is None:
                run.incoming()
            else:
                replay(run, scope, by="kari")
            with gateway.begin() as work:
                return planned_changes(work, before)
    finally:
        database.close()


def join_patients(site: Site, study: str, *, project: str = HEART, other: str | None = None) -> list[str]:
    """An operator says that the study's patient is the one who has its pseudonym; gives the studies of that one."""
    database = Database(site.database_url)
    try:
        with gateway_of(site, database) as gateway:
            return join(gateway, Joining(study=study, project=project, other=other, by="kari", reason="ticket 4711"))
    finally:
        database.close()


def look_through(site: Site) -> IdentityReport:
    """An operator looks through all pseudonyms."""
    database = Database(site.database_url)
    try:
        with gateway_of(site, database) as gateway, gateway.begin() as work:
            return identity_check(work, site.identity)
    finally:
        database.close()

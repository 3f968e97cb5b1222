"""A participant withdraws at a site of the flow's tests, as `fiona-ledger withdraw` has it."""

from ledger.database import Database
from processors.delivery.deliver import deliver
from processors.redcap import NoRateLimit, Redcap
from processors.routing.joined import Known
from processors.routing.participants import Withdrawal
from processors.routing.withdraw import Withdrawn, patient_of_study, withdraw
from tests.flow.harness import HEART, Site
from tests.operations.operator import gateway_of


def withdraws(
    site: Site, *, project: str | None = HEART, patient: str = "", pseudonym: str = "", study: str = ""
) -> Withdrawn:
    """An operator records it a minute later; then what is pending is delivered."""
    site.clock.advance(60)
    database = Database(site.database_url)
    try:
        with (
            gateway_of(site, database) as gateway,
            Redcap(url=site.simulator.url, tokens=site.tokens, rate_limit=NoRateLimit()) as redcap,
        ):
            with gateway.begin() as work:
                known = patient_of_study(work, study) if study else Known({patient} if patient else set(), set())
                wanted = Withdrawal(
                    project=project,
                    patient_ids=known.patient_ids,
                    adopted=known.adopted,
                    pseudonyms=[pseudonym] * bool(pseudonym),
                    by="kari",
                    reason="case 17",
                )
                done = withdraw(work, wanted)
            deliver(gateway, redcap, batch_rows=500)
    finally:
        database.close()
    return done

"""What the ledger knows already of studies that are to be adopted: gathering, no deciding."""

from collections.abc import Collection

from sqlalchemy import text

from processors.gateway import Work
from processors.operations.adopt.diff import AdoptedTransfer, KnownStudy, TransferTarget

_KNOWN_RECORDS = """
    select study from gateway.adopted_study
    union
    select study from gateway.study where delivered_position > 0
"""
_RECORDS = text(f"select study from ({_KNOWN_RECORDS}) as known where study = any(:studies)")
_ALL_RECORDS = text(_KNOWN_RECORDS)
_OURS = text("select position, study, project, event_name from gateway.transfer where study = any(:studies)")
_ADOPTED = text("""
    select position, study, project, event_name, instance, sent from gateway.adopted_transfer
     where study = any(:studies)
""")


def known_records(work: Work) -> set[str]:
    """The studies whose records the ledger has adopted or written."""
    return set(work.execute(_ALL_RECORDS).scalars())


def known_studies(work: Work, studies: Collection[str]) -> dict[str, KnownStudy]:
    """What the ledger knows of each of these studies."""
    chosen = {"studies": list(studies)}
    known = {study: KnownStudy() for study in studies}
    for study in work.execute(_RECORDS, chosen).scalars():
        known[study].record = True
    ours = work.execute(_OURS, chosen).all()
    adopted = work.execute(_ADOPTED, chosen).all()
    identities = work.identities({row.position for row in (*ours, *adopted)})

    def pseudonym(position: int) -> str | None:
        return identities[position][1].get("pseudonym")

    for row in ours:
        known[row.study].ours.append(TransferTarget(row.project, row.event_name, pseudonym(row.position)))
    for row in adopted:
        target = TransferTarget(row.project, row.event_name, pseudonym(row.position))
        known[row.study].adopted[row.instance] = AdoptedTransfer(target, row.sent)
    return known

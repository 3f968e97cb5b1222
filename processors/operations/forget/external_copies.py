"""What forgetting does not reach and a person has to see to: REDCap's rows, folders on disk, and words."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from processors.gateway import Work
from processors.operations.forget.data_subjects import DataSubject
from processors.operations.forget.mentions import Mentions, mentions


class RedcapCopy(NamedTuple):
    """A row in REDCap; `instance` is None for a whole record.

    `of_others`: what it asks for, somebody else has requested. It was sent, or can be, as nothing of it ends.
    """

    project: str
    record_id: str
    instance: int | None
    holds: str
    of_others: bool = False


class ExternalCopies(NamedTuple):
    """What is left: rows of REDCap, studies whose folders are on disk, and where the ledger goes on naming them."""

    rows: list[RedcapCopy]
    folders: list[str]
    mentions: Mentions


_RECORDS = text("""
    select study, coalesce(on_disk, false) as on_disk,
           coalesce(delivered_position > 0, false) or adopted.study is not null as in_redcap
      from gateway.study full join gateway.adopted_study as adopted using (study)
     where study = any(:studies) order by study
""")
# What a restored ledger has adopted of its own rows is no request of others.
_TRANSFERS = text("""
    with others as (
         select study, instance, sends > 0 as sent from audit.request_of_others as told
          where study = any(:studies)
            and not (adopted and exists (select from gateway.transfer as ours
                                          where ours.study = told.study and ours.instance = told.instance
                                            and not ours.found)))
    select study, instance, true as of_others, sent from others
     union all
    select study, instance, false, false
      from (select distinct study, instance from gateway.transfer
             where study = any(:studies) and instance is not null) as ours
     where not exists (select from others where others.study = ours.study and others.instance = ours.instance)
     order by study, instance
""")
_OF_OTHERS = {
    True: "a pseudonym, requested by others and sent",
    False: "a pseudonym, requested by others, can be sent",
}
_IDS = text("""
    select record_id from gateway.used_id where subject = any(:links) and record_id is not null
    union
    select record_id from gateway.contradiction where subject = any(:links)
""")
_ENTRIES = text("""
    select record_id from gateway.coupling_entry join ledger.event using (position)
     where event.subject = any(:couplings) and not removed order by record_id
""")


def external_copies(work: Work, data_subjects: Sequence[DataSubject], *, transfers: str) -> ExternalCopies:
    """The rows and folders that these data subjects have led to.

    `transfers` is the REDCap project of transfer requests. To be asked before the keys are destroyed.
    """
    studies = [study for owner in data_subjects for study in owner.studies]
    studies_known = work.execute(_RECORDS, {"studies": studies}).all()
    rows = [
        RedcapCopy("incoming", row.study, None, "hashes of PatientID and PatientName")
        for row in studies_known
        if row.in_redcap
    ]
    rows.extend(
        RedcapCopy(
            transfers,
            row.study,
            row.instance,
            _OF_OTHERS[row.sent] if row.of_others else "a pseudonym",
            of_others=row.of_others,
        )
        for row in work.execute(_TRANSFERS, {"studies": studies})
    )
    entries = work.execute(_ENTRIES, {"couplings": list(_of_kind(data_subjects, "coupling"))}).scalars()
    rows.extend(RedcapCopy("coupling", record, None, "a study and its pseudonym") for record in entries)
    ids = work.execute(_IDS, {"links": list(_of_kind(data_subjects, "link"))}).scalars()
    rows.extend(RedcapCopy("autoid", record, None, "a patient's hash and ID") for record in sorted(ids, key=_by_number))
    secrets = {secret for owner in data_subjects for secret in owner.secrets}
    subjects = [subject for owner in data_subjects for subject in owner.all_subjects]
    found = mentions(work, secrets, subjects)
    return ExternalCopies(rows, [row.study for row in studies_known if row.on_disk], found)


def _of_kind(data_subjects: Sequence[DataSubject], kind: str) -> Iterator[UUID]:
    for owner in data_subjects:
        yield from owner.subjects.get(kind, ())


def _by_number(record: str) -> tuple[int, str]:
    return len(record), record

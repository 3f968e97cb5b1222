"""Recording what stands in REDCap, read in batches; interrupted at any point, the next adoption goes on there.

Nothing is written to REDCap. What is recorded of a batch moves together with the checkpoint that
was reached, and what the ledger knows already is not recorded again: neither rows of its own, nor what was
adopted before.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace
from sqlalchemy import text

from ledger.batching import Progress, batches
from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.autoid.adoption import adopt as adopt_entries
from processors.delivery import actual
from processors.events.fact import Fact
from processors.events.operations import AdoptionCompleted, StudyAdopted
from processors.events.transfers import TransferAdopted
from processors.gateway import Gateway, Work
from processors.locks import in_turn
from processors.operations.adopt.diff import AdoptionFact, diff
from processors.operations.adopt.known import known_records, known_studies
from processors.operations.adopt.progress import Checkpoint, begin_or_resume, end, keep
from processors.redcap import Redcap
from processors.redcap.incoming import ActualRecord
from processors.routing.adopted_patients import adopted_patient
from processors.routing.recognise import recognise_patients
from processors.run import Run
from processors.source.summary import is_uid


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """What an adoption recorded, counted; `no_uids` are records whose id cannot be a study's, left alone."""

    studies: int
    series: int
    transfers: int
    ids: int
    no_uids: int


First = Callable[[Work, Sequence[str], Mapping[str, ActualRecord]], None]
"""Records what is to be known of studies, and of what REDCap holds of them, before the rest is adopted."""


def _nothing(_work: Work, _studies: Sequence[str], _records: Mapping[str, ActualRecord]) -> None:
    """All is adopted."""


def adopt(run: Run, *, by: str) -> Adopted:
    """Records what REDCap holds and the ledger does not know. Raises `ServiceError` where REDCap fails.

    To be called by the site's only run. `by` is who gave the command.
    """
    begin_or_resume(run.gateway)  # told by runs from now on, should it be interrupted
    if run.redcap.has("routing") and run.redcap.has("coupling"):
        # An entry that is known from before the adoption is no newer word about what is adopted.
        run.observe()
    return adopt_records(run, by=by)


def adopt_records(run: Run, *, by: str, first: First = _nothing) -> Adopted:
    """The same of a REDCap whose lists are known; `first` is done with what it holds of some studies."""
    gateway, redcap = run.gateway, run.redcap
    checkpoint = begin_or_resume(gateway)
    with run.step("Asking which studies REDCap holds"):
        names = _record_names(redcap)
        studies = _still_to_read(gateway, sorted(filter(is_uid, names)), checkpoint)
    with run.step("Reading what REDCap holds of them") as progress:
        _adopt_studies(gateway, redcap, studies, checkpoint, first, progress)
    with run.step("Asking what an export may have left out") as progress:
        names |= _record_names(redcap)
        _adopt_studies(gateway, redcap, _left_out(gateway, names), checkpoint, first, progress)
    if redcap.has("autoid"):
        with run.step("Reading AutoID"), in_turn(gateway, "autoid"):
            adopt_entries(gateway, redcap)
    with run.step("Comparing whose the pseudonyms are"):
        recognise_patients(gateway, (), checkpoint.began)
    return _completed(gateway, checkpoint, by, no_uids=sum(not is_uid(name) for name in names))


def _record_names(redcap: Redcap) -> set[str]:
    return {name for project in actual.fields_by_project(redcap) for name in actual.record_ids(redcap, project)}


def _left_out(gateway: Gateway, names: Iterable[str]) -> list[str]:
    """The studies that are not adopted: REDCap can leave records out of one export without a word."""
    with gateway.begin() as work:
        known = known_records(work)
    return sorted(name for name in names if is_uid(name) and name not in known)


def _still_to_read(gateway: Gateway, studies: Sequence[str], checkpoint: Checkpoint) -> list[str]:
    """The studies after the one reached, and those before it that somebody has made since."""
    if not checkpoint.study:
        return list(studies)
    with gateway.begin() as work:
        known = known_records(work)
    return [study for study in studies if study > checkpoint.study or study not in known]


def _adopt_studies(
    gateway: Gateway,
    redcap: Redcap,
    studies: Sequence[str],
    checkpoint: Checkpoint,
    first: First,
    progress: Progress | None,
) -> None:
    done = 0
    for batch in batches(studies, actual.BATCH):
        records = actual.actual_records(gateway, redcap, batch)
        with gateway.begin() as work:
            first(work, batch, records)
            _record(work, batch, records)
            keep(work, checkpoint._replace(study=max(checkpoint.study, batch[-1])))
        done += len(batch)
        if progress is not None:
            progress(done, len(studies))


def _record(work: Work, studies: Sequence[str], records: Mapping[str, ActualRecord]) -> None:
    known = known_studies(work, studies)
    # A record that has gone since its id was read is as if it had never been there.
    facts = [fact for study in studies if study in records for fact in diff(study, records[study], known[study])]
    # Events alike stand together, so that projections take them together.
    facts.sort(key=lambda fact: not isinstance(fact, StudyAdopted))
    patients = {study: adopted_patient(record.patient_hash, work.placeholders) for study, record in records.items()}
    # A pseudonym goes when its study is forgotten, or the patient whose study it is.
    names = {fact.study: SubjectName("study", "", fact.study) for fact in facts if isinstance(fact, TransferAdopted)}
    whose = [patients[fact.study] for fact in facts if isinstance(fact, StudyAdopted)]
    subjects = work.vault.subjects(work.connection, [*names.values(), *filter(None, whose)])

    def complete(fact: AdoptionFact) -> Fact | NewEvent:
        if isinstance(fact, TransferAdopted):
            return work.seal(_named(work, fact), subjects[names[fact.study]])
        if isinstance(fact, StudyAdopted) and (patient := patients[fact.study]) is not None:
            return replace(fact, patient=str(subjects[patient]))
        return fact

    work.record(map(complete, facts))


def _named(work: Work, adopted: TransferAdopted) -> TransferAdopted:
    return replace(adopted, name_fingerprint=work.name_fingerprint(adopted.project, adopted.pseudonym or ""))


_COUNTS = text("""
    select (select count(*) from gateway.adopted_study where position > :began) as studies,
           (select count(*) from gateway.adopted_series join gateway.adopted_study using (study)
             where position > :began) as series,
           (select count(*) from gateway.adopted_transfer where position > :began) as transfers,
           (select count(*) from gateway.used_id where kind = 'adopted' and position > :began) as ids
""")


def _completed(gateway: Gateway, checkpoint: Checkpoint, by: str, *, no_uids: int) -> Adopted:
    with gateway.begin() as work:
        counts = dict(work.execute(_COUNTS, {"began": checkpoint.began}).mappings().one())
        work.record([AdoptionCompleted(site=work.site, **counts, by=by)])
        end(work)
    return Adopted(**counts, no_uids=no_uids)

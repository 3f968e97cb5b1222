"""Recording what stands in REDCap, read in batches; interrupted at any point, the next adoption goes on there.

Nothing is written to REDCap. What is recorded of a batch moves together with the place that was
reached, and what the ledger knows already is not recorded again: neither rows of its own, nor what was
adopted before.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import text

from ledger.batching import Progress, batches
from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.autoid import adoption
from processors.delivery import actual
from processors.events.types import EventType, site_stream, study_stream
from processors.gateway import Gateway, Work
from processors.locks import in_turn
from processors.operations.adopt import progress as memory
from processors.operations.adopt.diff import News, news
from processors.operations.adopt.known import knowledge, known_records
from processors.operations.adopt.progress import Place
from processors.redcap import Redcap
from processors.redcap.incoming import ActualRecord
from processors.routing.sync import observe
from processors.source.summary import is_uid

Step = Callable[[str], AbstractContextManager[Progress | None]]
"""Announces a piece of work and gives the callable that is told how far it has come, if anybody watches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """What an adoption recorded, counted; `no_uids` are records whose id cannot be a study's, left alone."""

    studies: int
    series: int
    transfers: int
    ids: int
    no_uids: int


def adopt(gateway: Gateway, redcap: Redcap, *, by: str, step: Step) -> Adopted:
    """Records what REDCap holds and the ledger does not know. Raises `ServiceError` where REDCap fails.

    To be called by the site's only run. `by` is who gave the command.
    """
    began = memory.place(gateway)
    if redcap.has("routing") and redcap.has("coupling"):
        # An entry that is known from before the adoption is no newer word about what is adopted.
        with step("Asking REDCap for rules and couplings"):
            observe(gateway, redcap)
    with step("Asking which studies REDCap holds"):
        names = {name for project in actual.fields_by_project(redcap) for name in actual.record_ids(redcap, project)}
        studies = _still_to_read(gateway, sorted(filter(is_uid, names)), began)
    with step("Reading what REDCap holds of them") as progress:
        _adopt_studies(gateway, redcap, studies, began, progress)
    if redcap.has("autoid"):
        with step("Reading AutoID"), in_turn(gateway, "autoid"):
            adoption.adopt(gateway, redcap)
    return _completed(gateway, began, by, no_uids=sum(not is_uid(name) for name in names))


def _still_to_read(gateway: Gateway, studies: Sequence[str], began: Place) -> list[str]:
    """The studies after the place reached, and those before it that somebody has made since."""
    if not began.study:
        return list(studies)
    with gateway.begin() as work:
        known = known_records(work)
    return [study for study in studies if study > began.study or study not in known]


def _adopt_studies(
    gateway: Gateway, redcap: Redcap, studies: Sequence[str], began: Place, progress: Progress | None
) -> None:
    done = 0
    for portion in batches(studies, actual.BATCH):
        found = actual.actual_records(gateway, redcap, portion)
        reached = began._replace(study=max(began.study, portion[-1]))
        with gateway.begin() as work:
            work.record(_events(work, portion, found))
            memory.keep(work, reached)
        done += len(portion)
        if progress is not None:
            progress(done, len(studies))


def _events(work: Work, studies: Sequence[str], found: Mapping[str, ActualRecord]) -> list[NewEvent]:
    known = knowledge(work, studies)
    # A record that has gone since its id was read is as if it had never been there.
    told = [fact for study in studies if study in found for fact in news(study, found[study], known[study])]
    # Events alike stand together, so that projections take them together.
    told.sort(key=lambda fact: fact.type != EventType.STUDY_ADOPTED)
    work.vault.subjects(work.connection, [_subject(fact.study) for fact in told if fact.pseudonym is not None])
    return [_event(work, fact) for fact in told]


def _event(work: Work, fact: News) -> NewEvent:
    """The fact's event. The pseudonym goes when its study is forgotten, or the patient whose study it is."""
    stream = study_stream(fact.study)
    if fact.pseudonym is None:
        return NewEvent(stream=stream, type=fact.type, data=fact.data)
    return work.sealed(
        _subject(fact.study),
        {"pseudonym": fact.pseudonym},
        stream=stream,
        type_=fact.type,
        data=fact.data,
    )


def _subject(study: str) -> SubjectName:
    return SubjectName("study", "", study)


_COUNTS = text("""
    select (select count(*) from gateway.adopted_study where position > :began) as studies,
           (select count(*) from gateway.adopted_series join gateway.adopted_study using (study)
             where position > :began) as series,
           (select count(*) from gateway.adopted_transfer where position > :began) as transfers,
           (select count(*) from gateway.used_id where kind = 'adopted' and position > :began) as ids
""")


def _completed(gateway: Gateway, began: Place, by: str, *, no_uids: int) -> Adopted:
    with gateway.begin() as work:
        counts = dict(work.execute(_COUNTS, {"began": began.began}).mappings().one())
        data = {"site": gateway.site, **counts, "by": by}
        event = NewEvent(stream=site_stream(gateway.site), type=EventType.ADOPTION_COMPLETED, data=data)
        work.record([event])
        memory.end(work)
    return Adopted(**counts, no_uids=no_uids)

"""The studies that wait for an ID: gathering, no deciding."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text

from processors.gateway import Work
from processors.requests import MINUTE
from processors.routing.patient_keys import padded_key, patient_key
from processors.routing.patients import patients_of


@dataclass(frozen=True, kw_only=True, slots=True)
class WantingProject:
    """A project that wants generated IDs, from the event at `position`. With `problems` its studies are held.

    While it is `doubted`, nothing is decided about its studies. `missed` is when it last was, from and until:
    that time does not count against studies that waited for it.
    """

    record_id: str
    project: str
    pattern: str
    aetitle: str
    position: int
    problems: tuple[str, ...]
    doubted: bool = False
    missed: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A study addressed to a project. `key` is its patient's, None without a PatientID (a placeholder is none), or
    with several.

    `padded_key` is the one that the scripts would have used, where the PatientID is padded.
    `changed`: it is not held, or since it was, it or its project has changed or it has come back to the disk.
    """

    study: str
    key: str | None
    subject: UUID
    on_disk: bool
    changed: bool
    of_two_patients: bool = False
    padded_key: str | None = None


@dataclass(kw_only=True, slots=True)
class Waiting:
    """The studies of one project that may get an ID."""

    project: WantingProject
    studies: list[Candidate] = field(default_factory=list)

    def patients(self) -> list[str]:
        """Their patients' keys, each once, in the order of the studies."""
        return list(dict.fromkeys(study.key for study in self.studies if study.key is not None))


_EVER = datetime(1971, 1, 1, tzinfo=UTC)

ASKED_FOR = """
    exists (select from gateway.transfer
              left join gateway.mixed_study as mixed
                on mixed.study = transfer.study and transfer.ended_position between mixed.position and over_position
             where transfer.study = {study} and transfer.state <> 'withdrawn' and mixed.study is null
               and not exists (select from ledger.event as asked
                                 join gateway.study as now on now.study = transfer.study
                                 join ledger.event as said on said.position = now.row_position
                                 join ledger.event as changed on changed.stream = asked.stream
                                where (transfer.state, transfer.cause_kind) = ('closed', 'autoid')
                                  and asked.position = transfer.position and asked.subject = said.subject
                                  and changed.type = 'StudyChangeFound'
                                  and changed.data ->> 'request' = transfer.position::text
                                  and changed.data ->> 'consequence' = 'withdrawn'))
"""
"""Whether a request of ours knows of the study. One that was withdrawn asks for nothing any more; nor does one that
was sent, and closed while the study was of two patients, or was said to be somebody else's: its patient's ID is for the
series that follow.
"""

_PROJECTS = text("""
    select record_id, project, pattern, aetitle, position, problems, doubted_position, missed_from, missed_until
      from gateway.autoid_project
     where wanted and not removed order by record_id
""")
# Studies that have left the disk are among them: nobody could tell otherwise that they lack an ID.
# A study once held is looked at again when it or its project has changed, and now and then where
# the reason may pass by itself: a generator that failed, AutoID contradicting itself. Otherwise a
# held study would cost calls every minute. One that was held in time goes on waiting when its
# window has passed: otherwise it would be shown as waiting and never get anything; so does one that had an ID, and
# turned out to be somebody else's. What an operator withdrew is not asked for again. A study of which something is left
# open until the next export may be asked for then, as one is that is held.
# What REDCap held before this system arrived when REDCap says so, and else long ago. Each arm of the union has an
# index: in years, the studies that were ever addressed to a project are many.
_CANDIDATES = text(f"""
    with within as (
         select study from gateway.study
          where called = :aetitle
            and (arrived_at >= :since or (arrived_at >= :earliest and arrived_at <= :missed_from))
            and not exists (select from gateway.adopted_study as entered
                             where entered.study = study.study and coalesce(arrived, '') < :entered_since)
         union
         select study from gateway.held_study
         union
         select study from gateway.transfer
          where project = :project and cause_kind = 'autoid' and state in ('withdrawn', 'closed'))
    select study, row_position, on_disk, changed
      from (select study.study, study.row_position, study.on_disk, study.arrived_at,
                   held.study as held, held.reason,
                   held.study is null
                   or held.position < greatest(:project_position, study.row_position, study.returned_position,
                          (select max(greatest(routed_position, presence_position)) from gateway.series
                            where series.study = study.study)) as changed
              from within join gateway.study using (study) left join gateway.held_study as held using (study)
             where study.site = :site and study.called = :aetitle) as addressed
     where (changed or (:retry and reason <> all(:lasting)))
       and not {ASKED_FOR.format(study="addressed.study")}
       and not exists (select from gateway.observed_transfer as observed where observed.study = addressed.study)
       and not exists (select from gateway.adopted_transfer as adopted where adopted.study = addressed.study)
       and not exists (select from gateway.held_request as asked where asked.study = addressed.study)
       and not exists (select from gateway.deferred_decision as open where open.study = addressed.study)
       and not exists (select from gateway.decision_by_hand as decided
                        where decided.study = addressed.study and decided.project = :project)
     order by arrived_at, study
""")
# A study that was requested otherwise waits no longer; nor does one that no project claims any more,
# or whose patient was forgotten: nothing could ever release it.
_SETTLED = text(f"""
    select held.study, held.project, held.reason from gateway.held_study as held join gateway.study using (study)
     where study.site = :site
       and ({ASKED_FOR.format(study="held.study")}
            or exists (select from gateway.observed_transfer as observed where observed.study = held.study)
            or exists (select from gateway.adopted_transfer as adopted where adopted.study = held.study)
            or not exists (select from gateway.autoid_project as claiming
                            where claiming.project = held.project and claiming.aetitle = study.called
                              and claiming.wanted and not claiming.removed)
            or exists (select from ledger.event join ledger.subject using (subject)
                        where event.position = study.row_position and subject.wrapped_key is null))
     order by held.position
""")


def wanting_projects(work: Work) -> list[WantingProject]:
    """The projects that want generated IDs, with what keeps them from it."""
    return [
        WantingProject(
            record_id=row.record_id,
            project=row.project,
            pattern=row.pattern,
            aetitle=row.aetitle,
            position=row.position,
            problems=tuple(row.problems),
            doubted=row.doubted_position is not None,
            missed=None if row.missed_until is None else (row.missed_from, row.missed_until),
        )
        for row in work.execute(_PROJECTS)
    ]


def candidates(
    work: Work,
    project: WantingProject,
    *,
    since: datetime | None,
    lasting: Collection[str],
    retry: bool,
) -> list[Candidate]:
    """The studies addressed to the project that have arrived `since` (None: ever) and no request knows of.

    `lasting` are the reasons for holding a study that do not pass by themselves; studies held for
    others are among them only with `retry`.
    """
    entered_since = "" if since is None else work.local(since).strftime(MINUTE)
    since = since or _EVER
    missed_from, missed_until = project.missed or (since, since)
    rows = work.execute(
        _CANDIDATES,
        {
            "site": work.site,
            "aetitle": project.aetitle,
            "project": project.project,
            "since": since,
            "earliest": since - (missed_until - missed_from),
            "entered_since": entered_since,
            "missed_from": missed_from,
            "project_position": project.position,
            "lasting": list(lasting),
            "retry": retry,
        },
    ).all()
    patients = patients_of(work, [row.study for row in rows])
    told_at = {
        row.study: patients[row.study][0].position if row.study in patients else row.row_position for row in rows
    }
    identities = work.identities(set(told_at.values()))
    waiting = []
    for row in rows:
        event, identity = identities[told_at[row.study]]
        # Forgotten identities are no blank PatientIDs: nobody asked for these studies any more.
        if identity and event.subject is not None:
            number = len(patients.get(row.study, ()))
            candidate = Candidate(
                study=row.study,
                key=patient_key(identity["PatientID"], work.placeholders) if number == 1 else None,
                subject=event.subject,
                on_disk=row.on_disk,
                changed=row.changed,
                of_two_patients=number > 1,
                padded_key=padded_key(identity["PatientID"], work.placeholders) if number == 1 else None,
            )
            waiting.append(candidate)
    return waiting


def settled_otherwise(work: Work) -> list[tuple[str, str, str]]:
    """Held studies (study, project, reason) that wait for nothing any more: requested some other way, or unclaimed."""
    return [(row.study, row.project, row.reason) for row in work.execute(_SETTLED, {"site": work.site})]

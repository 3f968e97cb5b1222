"""What would be held of all that the ledger knows to be requested: shared and telling pseudonyms, closed projects.

For a hospital to see before it goes live, and at any time after. No value is told.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import text

from ledger.batching import Progress, batches
from processors.configuration.settings import IdentitySection
from processors.events.holds import HoldKind
from processors.gateway import Work
from processors.routing.fit import breaks_pattern, tells_whose
from processors.routing.fit_check import identities_of, naming_patterns
from processors.routing.given_ids import all_given_ids, links_of
from processors.routing.identity import GIVEN_TO_ANOTHER
from processors.routing.joined import patient_ids_of_subjects
from processors.routing.projects import closed_projects

_BATCH = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityFinding:
    """Something of one project that a person should look at, and the studies that are concerned."""

    project: str
    kind: HoldKind
    details: str
    studies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityReport:
    """What was found, and how many requests were looked at; of `unknown` ones nobody can tell whose they are."""

    requests: int
    unknown: int
    findings: tuple[IdentityFinding, ...] = field(default_factory=tuple)

    def counts(self) -> dict[str, dict[HoldKind, int]]:
        """How many findings of each kind each project has."""
        counted: dict[str, dict[HoldKind, int]] = defaultdict(lambda: defaultdict(int))
        for finding in self.findings:
            counted[finding.project][finding.kind] += 1
        return {project: dict(kinds) for project, kinds in sorted(counted.items())}


def identity_check(work: Work, section: IdentitySection, progress: Progress | None = None) -> IdentityReport:
    """All that is contradictory or telling among requests of whatever origin; rules' pseudonyms are not compared."""
    counts = work.execute(_COUNTS).one()
    findings = [*_contradictions(work), *_given_to_others(work), *_closed(work), *_telling(work, section, progress)]
    return IdentityReport(
        requests=counts.requests,
        unknown=counts.unknown,
        findings=tuple(sorted(findings, key=lambda each: (each.project, each.kind, each.studies, each.details))),
    )


_COUNTS = text("""
    select count(*) as requests, count(*) filter (where patient is null) as unknown from gateway.pseudonym_use
""")
_MERGES = text("""
    select project, array_agg(distinct study order by study) as studies from gateway.pseudonym_use
     where patient is not null group by project, fingerprint having count(distinct patient) > 1
""")
_SPLITS = text("""
    select project, array_agg(distinct study order by study) as studies from gateway.pseudonym_use
     where patient is not null group by project, patient having count(distinct fingerprint) > 1
""")


def _contradictions(work: Work) -> Iterator[IdentityFinding]:
    for row in work.execute(_MERGES):
        yield IdentityFinding(
            project=row.project, kind="two patients, one pseudonym", details="", studies=tuple(row.studies)
        )
    for row in work.execute(_SPLITS):
        yield IdentityFinding(
            project=row.project, kind="one patient, two pseudonyms", details="", studies=tuple(row.studies)
        )


_GIVING = text("select distinct project from gateway.used_id where subject is not null")
_USED = text("""
    select distinct project, fingerprint, patient, study from gateway.pseudonym_use
     where project = :project and fingerprint = any(:prints) and patient is not null
     order by study
""")


def _given_to_others(work: Work) -> Iterator[IdentityFinding]:
    """The IDs that AutoID gives to one patient and that are requested for another."""
    for project in work.execute(_GIVING).scalars().all():
        given = {each.mark: each.link for each in all_given_ids(work, project)}
        rows = work.execute(_USED, {"project": project, "prints": list(given)}).all()
        patient_ids = patient_ids_of_subjects(work, {row.patient for row in rows})
        links = links_of(work, set(patient_ids.values()), [project])
        others: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            patient_id = patient_ids.get(row.patient)
            if patient_id is not None and links.get(given[row.fingerprint]) != patient_id:
                others[row.fingerprint].add(row.study)
        for studies in others.values():
            yield IdentityFinding(
                project=project,
                kind="two patients, one pseudonym",
                details=GIVEN_TO_ANOTHER,
                studies=tuple(sorted(studies)),
            )


# What was sent before the project was closed was rightly so: these would be held, were they asked for today.
_UNSENT_BY_PROJECT = text("""
    select use.project, array_agg(distinct use.study order by use.study) as studies
      from gateway.pseudonym_use as use
      left join gateway.outcome on use.holder = 'request ' || outcome.request and outcome.ours
     where use.project = any(:projects) and coalesce(outcome.state, '') <> 'sent' group by use.project
""")


def _closed(work: Work) -> Iterator[IdentityFinding]:
    """The projects that are closed, each with what was requested for it and is not reported sent."""
    why = closed_projects(work)
    for row in work.execute(_UNSENT_BY_PROJECT, {"projects": list(why)}):
        yield IdentityFinding(
            project=row.project, kind="project is closed", details=why[row.project], studies=tuple(row.studies)
        )


_HOLDERS = text("select study, project, position from gateway.pseudonym_use order by position")


def _telling(work: Work, section: IdentitySection, progress: Progress | None) -> Iterator[IdentityFinding]:
    """The pseudonyms that do not fit, each study once."""
    rows = work.execute(_HOLDERS).all()
    patterns = naming_patterns(work, {row.project for row in rows})
    findings: set[tuple[str, str, str]] = set()
    done = 0
    for batch in batches(rows, _BATCH):
        events = work.identities({row.position for row in batch})
        identities = identities_of(work, {row.study for row in batch})
        for row in batch:
            pseudonym = events[row.position][1].get("pseudonym")
            if pseudonym is None:
                continue
            of_project = patterns.get(row.project, [])
            wrong = breaks_pattern(pseudonym, of_project) or tells_whose(
                pseudonym, of_project, identities[row.study], section.national_numbers
            )
            if wrong is not None and (row.study, row.project, wrong) not in findings:
                findings.add((row.study, row.project, wrong))
                yield IdentityFinding(
                    project=row.project, kind="pseudonym does not fit", details=wrong, studies=(row.study,)
                )
        done += len(batch)
        if progress is not None:
            progress(done, len(rows))

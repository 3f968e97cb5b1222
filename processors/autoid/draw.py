"""Drawing IDs for patients who have none in a project yet. The draw is an event before anybody sees it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from ledger import store
from ledger.errors import Conflict
from processors.autoid.candidates import Waiting, WantingProject
from processors.autoid.generators import EXHAUSTED, Generator, NoID
from processors.autoid.holds import hold
from processors.autoid.reservations import reserve
from processors.autoid.used_ids import Taken, blocked_patients, requested_names, requested_since, used_ids
from processors.autoid.withdrawn import withdrawn_studies
from processors.events.pseudonyms import IdGenerated, autoid_stream
from processors.gateway import Gateway, Work
from processors.redcap import Redcap
from processors.routing.patient_keys import link_subject

_ATTEMPTS = 5


def draw_ids(gateway: Gateway, redcap: Redcap, generator: Generator, waiting: Sequence[Waiting]) -> int:
    """Draws an ID for every patient that has none; the studies of those who cannot have one are held."""
    return sum(_draw_for(gateway, redcap, generator, group) for group in waiting)


def _draw_for(gateway: Gateway, redcap: Redcap, generator: Generator, group: Waiting) -> int:
    project, pattern = group.project.project, group.project.pattern
    with gateway.begin() as work:
        if not _without_id(work, group):
            return 0
    reserve(gateway, redcap, project, pattern, lambda name: generator.matches(pattern, name))
    for _ in range(_ATTEMPTS):
        try:
            with gateway.begin() as work:
                return _draw_now(work, generator, group)
        except Conflict:
            # Another site drew for the same project meanwhile; its IDs count now.
            continue
    raise Conflict(f"Other runs keep drawing IDs for {project}; the next run tries again.")


def _without_id(work: Work, group: Waiting) -> dict[str, UUID]:
    """The patients of the group who have no ID yet and may have one: the link of each, by key."""
    project = group.project.project
    names = {key: link_subject(project, key) for key in group.patients()}
    subjects = work.vault.subjects(work.connection, list(names.values()))
    in_use = used_ids(work, [project])
    barred = blocked_patients(work)
    return {
        key: subjects[name]
        for key, name in names.items()
        if in_use.of(project, subjects[name]) is None and (project, subjects[name]) not in barred
    }


def _draw_now(work: Work, generator: Generator, group: Waiting) -> int:
    project = group.project
    stream = autoid_stream(project.project)
    # Whoever draws for the same project at the same time finds this stream moved, and draws again.
    expected = {stream: work.version(stream)}
    before = store.head(work.connection).position
    names = requested_names(work, project.project)
    taken = Taken(work, project.project, names, lambda name: generator.matches(project.pattern, name))
    needed = _without_id(work, group)
    drawn: list[str] = []
    if needed:
        try:
            drawn = generator.draw(project.pattern, len(needed), taken)
        except NoID as exc:
            _hold_patients(work, group, needed, str(exc))
    if drawn:
        store.lock_head(work.connection)
        if requested_since(work, project.project, before):
            raise Conflict(f"Transfers for {project.project} were requested while IDs were drawn for it.")
        if _leave_out_withdrawn(work, group):
            raise Conflict(f"A participant withdrew from {project.project} while IDs were drawn for it.")
    lacking = dict(list(needed.items())[len(drawn) :])
    if drawn and lacking:
        _hold_patients(work, group, lacking, EXHAUSTED)
    work.record(
        [
            work.seal(_generated(work, project, value, key), subject)
            for (key, subject), value in zip(needed.items(), drawn, strict=False)
        ],
        expected=expected,
    )
    return len(drawn)


def _generated(work: Work, project: WantingProject, value: str, key: str) -> IdGenerated:
    return IdGenerated(
        project=project.project,
        fingerprint=work.id_fingerprint(project.project, value),
        name_fingerprint=work.name_fingerprint(project.project, value),
        value=value,
        pattern=project.pattern,
        project_position=project.position,
        key=key,
    )


def _leave_out_withdrawn(work: Work, group: Waiting) -> bool:
    """Whether patients of the group have withdrawn meanwhile; the next run finds their studies, and holds them."""
    gone = withdrawn_studies(work, group.project.project, group.studies)
    group.studies = [study for study in group.studies if study.study not in gone]
    return bool(gone)


def _hold_patients(work: Work, group: Waiting, keys: Mapping[str, UUID], reason: str) -> None:
    studies = [study for study in group.studies if study.key in keys]
    hold(work, group.project.project, studies, reason)

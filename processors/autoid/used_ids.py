"""Which IDs are in use, as the ledger has them: adopted, drawn, reserved, or asked for by rules and couplings."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from processors.gateway import Work
from processors.text import same_to_people


class UsedIds:
    """The IDs in use in some projects, by their fingerprints, as the ledger has them, and whose they are.

    A subject is the link of a patient to a project; a reserved ID belongs to nobody. A name is the fingerprint of what
    people take for one ID (`name_fingerprint`).
    """

    def __init__(self, rows: Iterable[tuple[str, str, str | None, UUID | None]]) -> None:
        self._owner: dict[tuple[str, str], UUID | None] = {}
        self._of_subject: dict[tuple[str, UUID], str] = {}
        self._of_name: dict[tuple[str, str], set[str]] = defaultdict(set)
        for project, fingerprint, name, subject in rows:
            self.add(project, fingerprint, name, subject)

    def add(self, project: str, fingerprint: str, name: str | None, subject: UUID | None) -> None:
        """Takes note of an ID in use."""
        self._owner[project, fingerprint] = subject
        if subject is not None:
            self._of_subject[project, subject] = fingerprint
        if name is not None:
            self._of_name[project, name].add(fingerprint)

    def of(self, project: str, subject: UUID) -> str | None:
        """The ID of a patient in a project."""
        return self._of_subject.get((project, subject))

    def holds(self, project: str, fingerprint: str) -> bool:
        """Whether the ID is in use."""
        return (project, fingerprint) in self._owner

    def objection(self, project: str, fingerprint: str, name: str | None, subject: UUID) -> str | None:
        """Why the ID cannot be this patient's: it is another's, or the patient has another."""
        owner = self._owner.get((project, fingerprint))
        if owner is not None and owner != subject:
            return "Its ID belongs to another patient already."
        alike = () if name is None else self._of_name.get((project, name), ())
        if {self._owner[project, each] for each in alike} - {None, subject}:
            return "Its ID differs from another patient's by case only."
        if self._of_subject.get((project, subject), fingerprint) != fingerprint:
            return "Its patient has another ID already."
        return None


_USED_IDS = text("""
    select project, fingerprint, name_fingerprint, subject from gateway.used_id where project = any(:projects)
""")
_BLOCKED = text("""
    select project, subject from gateway.contradiction
    union
    select project, used_id.subject from gateway.used_id join gateway.contradiction using (project, fingerprint)
     where used_id.subject is not null
""")


def used_ids(work: Work, projects: Collection[str]) -> UsedIds:
    """The IDs in use in these projects."""
    rows = work.execute(_USED_IDS, {"projects": list(projects)})
    return UsedIds((row.project, row.fingerprint, row.name_fingerprint, row.subject) for row in rows)


_POSITIONS = text("select position from gateway.used_id where project = :project")


def readable_ids(work: Work, project: str) -> set[str]:
    """The IDs in use in the project that can be read: no reserved ones, and none of a patient who was forgotten."""
    told = work.identities(work.execute(_POSITIONS, {"project": project}).scalars().all()).values()
    return {value for _, payload in told if (value := payload.get("value")) is not None}


def blocked_patients(work: Work) -> set[tuple[str, UUID]]:
    """The patients (project, subject) with two IDs in AutoID, or one that is another's too: they get none from us."""
    return {(row.project, row.subject) for row in work.execute(_BLOCKED)}


_ASKED_FOR = """
    select position from gateway.transfer where project = :project and cause_kind <> 'autoid'
    union
    select position from gateway.held_request where project = :project
    union
    select asks_position from gateway.coupling_entry where project = :project and not removed
"""
_NAMING = text(_ASKED_FOR)
_REQUESTED_SINCE = text(f"select exists (select from ({_ASKED_FOR}) as asked where position > :position)")


def requested_names(work: Work, project: str) -> set[str]:
    """The pseudonyms that rules, operators and coupling entries ask for in this project.

    Those of entries that have met no study, and of what is held, too. They are not recorded as reserved: their events
    alone hold them, sealed.
    """
    told = work.identities(work.execute(_NAMING, {"project": project}).scalars().all()).values()
    names = (_pseudonym(payload) for _, payload in told)
    return {name.strip() for name in names if name}


def _pseudonym(payload: Mapping[str, Any]) -> str | None:
    """What a request, a held one or an entry asks for."""
    return payload.get("pseudonym") or payload.get("subject_id")


class Taken:
    """What nobody may be given in a project, because people would take it for somebody else's pseudonym.

    `names` are the pseudonyms that are asked for; IDs in use, others' requests, what is held, and what was withdrawn
    are known by their fingerprints. A name that the pattern does not give (`matches`) may be a patient's.
    """

    def __init__(self, work: Work, project: str, names: Collection[str], matches: Callable[[str], bool]) -> None:
        self._work = work
        self._project = project
        self._names = names
        self._matches = matches
        self._folded = frozenset(map(same_to_people, names))

    def readable(self) -> set[str]:
        """Those that can be read, for a tool that compares nothing else: it takes as long as there are many."""
        return readable_ids(self._work, self._project).union(filter(self._matches, self._names))

    def free(self, values: Sequence[str]) -> list[str]:
        """Those of the values that nobody has; of several that are one to people, the first. A blank is nobody's."""
        prints = {value: self._work.name_fingerprint(self._project, value) for value in values}
        about = {"project": self._project, "prints": list(prints.values())}
        known = set(self._work.execute(_KNOWN_PRINTS, about).scalars())
        free: dict[str, str] = {}
        for value in values:
            folded = same_to_people(value)
            if folded not in self._folded and prints[value] is not None and prints[value] not in known:
                free.setdefault(folded, value)
        return list(free.values())


_KNOWN_PRINTS = text("""
    select name_fingerprint as fingerprint from gateway.used_id
     where project = :project and name_fingerprint = any(:prints)
    union
    select fingerprint from gateway.pseudonym_use where project = :project and fingerprint = any(:prints)
    union
    select name_fingerprint from gateway.held_request where project = :project and name_fingerprint = any(:prints)
    union
    select mark from gateway.withdrawal_mark where mark = any(:prints)
""")


def requested_since(work: Work, project: str, position: int) -> bool:
    """Whether anything was asked for in this project after that event, but by generated IDs."""
    is_requested: bool = work.execute(_REQUESTED_SINCE, {"project": project, "position": position}).scalar_one()
    return is_requested

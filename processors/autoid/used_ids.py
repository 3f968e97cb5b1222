"""Which IDs are in use, as the ledger has them: adopted, drawn, reserved, or given by rules and couplings."""

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy import text

from processors.events.transfers import TransferRequested
from processors.gateway import Work


class UsedIds:
    """The IDs in use in some projects, as the ledger has them, and whose they are.

    A subject is the link of a patient to a project; a reserved ID belongs to nobody.
    """

    def __init__(self, rows: Iterable[tuple[str, str, UUID | None]]) -> None:
        self._owner: dict[tuple[str, str], UUID | None] = {}
        self._value: dict[tuple[str, UUID], str] = {}
        for project, value, subject in rows:
            self.add(project, value, subject)

    def add(self, project: str, value: str, subject: UUID | None) -> None:
        """Takes note of an ID in use."""
        self._owner[project, value] = subject
        if subject is not None:
            self._value[project, subject] = value

    def value_of(self, project: str, subject: UUID) -> str | None:
        """The ID of a patient in a project."""
        return self._value.get((project, subject))

    def used(self, project: str) -> list[str]:
        """All IDs in use in a project, the reserved ones included."""
        return [value for other, value in self._owner if other == project]

    def holds(self, project: str, value: str) -> bool:
        """Whether the ID is in use."""
        return (project, value) in self._owner

    def objection(self, project: str, value: str, subject: UUID) -> str | None:
        """Why the ID cannot be this patient's: it is another's, or the patient has another."""
        owner = self._owner.get((project, value))
        if owner is not None and owner != subject:
            return "Its ID belongs to another patient already."
        if self._value.get((project, subject), value) != value:
            return "Its patient has another ID already."
        return None


_USED_IDS = text("select project, value, subject from gateway.used_id where project = any(:projects)")
_BLOCKED = text("""
    select project, subject from gateway.contradiction
    union
    select project, used_id.subject from gateway.used_id join gateway.contradiction using (project, value)
     where used_id.subject is not null
""")


def used_ids(work: Work, projects: Collection[str]) -> UsedIds:
    """The IDs in use in these projects."""
    rows = work.execute(_USED_IDS, {"projects": list(projects)})
    return UsedIds((row.project, row.value, row.subject) for row in rows)


def blocked_patients(work: Work) -> set[tuple[str, UUID]]:
    """The patients (project, subject) with two IDs in AutoID, or one that is another's too: they get none from us."""
    return {(row.project, row.subject) for row in work.execute(_BLOCKED)}


_OUR_REQUESTS = text("select position from gateway.transfer where project = :project and cause_kind <> 'autoid'")
_REQUESTED_SINCE = text("""
    select exists (select from gateway.transfer
                    where project = :project and cause_kind <> 'autoid' and position > :position)
""")


def requested_names(work: Work, project: str) -> set[str]:
    """The pseudonyms of this project's requests that rules and couplings led to.

    They are not recorded as reserved: their events alone hold them, sealed.
    """
    positions = work.execute(_OUR_REQUESTS, {"project": project}).scalars().all()
    requests = [TransferRequested.read(*identity) for identity in work.identities(positions).values()]
    return {request.pseudonym.strip() for request in requests if request.pseudonym is not None}


def requested_since(work: Work, project: str, position: int) -> bool:
    """Whether rules or couplings have led to a request of this project after that event."""
    is_requested: bool = work.execute(_REQUESTED_SINCE, {"project": project, "position": position}).scalar_one()
    return is_requested

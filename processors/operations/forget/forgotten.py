"""Who was forgotten, as the events tell it."""

from uuid import UUID

from sqlalchemy import Connection, text

from processors.events.operations import SubjectForgotten

_FORGOTTEN = text("""
    select cast(forgotten as uuid) as subject, min(position) as position
      from ledger.event, json_each(data -> 'subjects') as kind (name, subjects),
           json_array_elements_text(kind.subjects) as forgotten
     where type = :type group by 1
""")


def forgotten_at(connection: Connection) -> dict[UUID, int]:
    """Each subject that was forgotten, with the position of the event that tells it."""
    rows = connection.execute(_FORGOTTEN, {"type": SubjectForgotten.__name__})
    return {row.subject: row.position for row in rows}

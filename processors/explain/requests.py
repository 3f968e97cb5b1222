"""Our requests that are in force for studies, and whether the sender has acted upon them."""

from collections.abc import Collection

from sqlalchemy import text

from processors.events.types import study_stream
from processors.explain.verdict import Asked
from processors.gateway import Work
from processors.routing.decisions import Cause, Key


def requests_in_force(work: Work, studies: Collection[str]) -> list[Asked]:
    """The requests in force for these studies, oldest first."""
    reported = {"streams": [study_stream(study) for study in studies]}
    latest = {row.request: row.type for row in work.execute(_REPORTED, reported)}
    return [
        Asked(
            position=row.position,
            study=row.study,
            key=Key(row.project, row.event_name),
            cause=Cause(row.cause_kind, row.cause_record, row.cause_position),
            state=row.state,
            instance=row.instance,
            sent=latest.get(str(row.position)) == "TransferSent",
        )
        for row in work.execute(_IN_FORCE, {"studies": list(studies)})
    ]


_REPORTED = text("""
    select data ->> 'request' as request, type from ledger.event
     where stream = any(:streams) and type in ('TransferSent', 'TransferReopened') order by position
""")
_IN_FORCE = text("""
    select position, study, project, event_name, cause_kind, cause_record, cause_position, state, instance
      from gateway.transfer
     where study = any(:studies) and state in ('requested', 'placed', 'contested', 'retracting')
     order by position
""")

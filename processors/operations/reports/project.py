"""What a project asked for, got, waits for and does not get: for those who run it, and those who oversee it."""

from sqlalchemy import Connection, text

from processors.errors import ConfigurationError
from processors.operations.reports.report import BY_OTHERS, OF_OTHERS, REQUESTS, Report, Table, as_of, asked


def project_report(connection: Connection, project: str) -> Report:
    """The report of a project. Raises `ConfigurationError` where nothing in the ledger names it."""
    if not connection.execute(_KNOWN, {"project": project}).scalar_one():
        raise ConfigurationError(
            f"Nothing that the ledger knows names a project {project!r}. Names count to the letter; "
            "`fiona-ledger audit project` lists those of REDCap's list of projects."
        )
    requests = asked(connection, "Studies requested", _REQUESTS, "None was requested.", project=project)
    return Report(
        title=f"Project {project}",
        introduction=[
            (
                "Each study that was requested for this project, why, and what became of it; and what is asked for and "
                "was not requested, or has not come."
            ),
            as_of(connection),
        ],
        main=requests,
        others=[
            _summary(connection, project),
            asked(connection, "Held: a person has to look first", _HELD, "Nothing is held.", project=project),
            asked(connection, "Asked for, and not arrived", _EXPECTED, "Nothing is missing.", project=project),
            asked(connection, "Left to do after withdrawals", _TASKS, "Nothing is left to do.", project=project),
            asked(connection, "What directs studies here", _DIRECTED, "No rule or entry does.", project=project),
            asked(connection, "In REDCap's list of projects", _LISTED, "It is not in that list.", project=project),
        ],
        notes=[
            (
                "Studies are named by their StudyInstanceUID, never by a patient or pseudonym. Times of sending are "
                "those that the sender wrote in REDCap."
            ),
            OF_OTHERS,
        ],
    )


def _summary(connection: Connection, project: str) -> Table:
    counts = asked(connection, "In numbers", _COUNTS, "", project=project)
    return Table(heading=counts.heading, columns=("what", "studies"), rows=counts.rows, if_empty="Nothing yet.")


_KNOWN = text("""
    select exists (select from audit.transfer where project = :project)
        or exists (select from audit.request_of_others where project = :project)
        or exists (select from audit.held where project = :project)
        or exists (select from audit.rule where project = :project)
        or exists (select from audit.coupling_entry where project = :project)
        or exists (select from audit.project where project = :project)
""")
_REQUESTS = text(f"""
    select study, event_name as event, requested_at as requested, because_of, outcome, sends,
           first_sent_at as first_sent, sent_at as last_sent
      from {REQUESTS} where project = :project order by position
""")
_OPEN = """(
    select position, study, held_at, kind, details from audit.held where project = :project and open
     union all
    select position, study, held_at, reason, null from audit.held_study where project = :project and open) as held
"""
"""What is held for the project, also for want of an ID."""
_COUNTS = text(f"""
    select case because_of when '{BY_OTHERS}' then because_of || ': ' || outcome else outcome end as what,
           count(distinct study) as studies
      from {REQUESTS} where project = :project group by 1
     union all
    select 'held', count(distinct study) from {_OPEN} having count(*) > 0
     order by 2 desc, 1
""")
_HELD = text(f"select study, held_at as since, kind as reason, details from {_OPEN} order by position")
_EXPECTED = text("""
    select record_id as entry, study, asked_at as asked_for, told_at as missed_since from audit.expected
     where project = :project and open order by position
""")
_TASKS = text("""
    select study, what, since, done_at as done from audit.task where project = :project order by position
""")
_DIRECTED = text("""
    select 'routing rule' as what, record_id as record, event_name as event, valid_from as since from audit.rule
     where project = :project and in_force and active
     union all
    select 'coupling entry', record_id, event_name, valid_from from audit.coupling_entry
     where project = :project and in_force
     order by 1 desc, 4, 2
""")
_LISTED = text("""
    select record_id as record, closed_by as closed, approved_from, approved_to, valid_from as since, valid_to as until
      from audit.project where project = :project order by position
""")

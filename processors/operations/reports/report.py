"""What a report is: words and tables, whatever it is printed as. Pure, but for asking the audit's views."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, TextClause, text


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table with its heading; `if_empty` is said where it has no rows."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    if_empty: str = "None."


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A report: `main` is the table that is given as CSV, too; `notes` stand at the end."""

    title: str
    introduction: Sequence[str]
    main: Table
    others: Sequence[Table] = ()
    notes: Sequence[str] = ()


def asked(connection: Connection, heading: str, question: TextClause, if_empty: str, **parameters: Any) -> Table:
    """What a question about the audit's views is answered; its columns' names are the table's, `_` as a blank."""
    result = connection.execute(question, parameters)
    columns = [name.replace("_", " ") for name in result.keys()]  # noqa: SIM118 - a result is no dictionary
    return Table(heading=heading, columns=columns, rows=[tuple(row) for row in result], if_empty=if_empty)


def as_of(connection: Connection) -> str:
    """Up to which event a report tells."""
    position = connection.execute(_HEAD).scalar_one()
    return f"It tells what the ledger held up to event {position}."


_HEAD = text("select coalesce(max(position), 0) from audit.event")

_WHAT_BECAME_OF_IT = """
    case when failed and sends > 0 and state not in ('withdrawn', 'closed')
              then 'sent, and failed when it was sent again'
         when failed and sends = 0 then 'could not be sent'
         when sends > 0 and state = 'placed' and not reported and not missing
              then 'sent, and to be sent again: the sender''s date was taken away'
         when sends > 0 then 'sent'
         when possibly_sent then 'may have been sent'
         when missing then 'its row in REDCap was deleted or changed there'
         when state = 'requested' then 'waits to be written to REDCap'
         when state = 'contested' then 'waits, as a person requested another pseudonym'
         when state = 'placed' then 'stands in REDCap, not sent yet'
         when state = 'ending' then 'is being withdrawn'
         when state = 'withdrawn' then 'withdrawn, not sent'
         else 'ended, not known to have been sent' end
"""
_WHY = """
    case cause_kind when 'rule' then 'routing rule ' || cause_record
                    when 'coupling' then 'coupling entry ' || cause_record
                    when 'autoid' then 'generated ID'
                    else 'decided by hand' end
"""
BY_OTHERS = "requested by others"
REQUESTS = f"""(
    select position, study, project, event_name, requested_at, because_of, {_WHAT_BECAME_OF_IT} as outcome, sends,
           first_sent_at, sent_at
      from (select position, study, project, event_name, requested_at, {_WHY} as because_of, state, missing,
                   possibly_sent, failed, reported_at is not null as reported, sends, first_sent_at, sent_at
              from audit.transfer
             union all
            select position, study, project, event_name, noticed_at, '{BY_OTHERS}', 'placed', false, false, failed,
                   reported_at is not null or adopted and sends > 0, sends, first_sent_at, sent_at
              from audit.request_of_others) as asked) as request
"""
"""Each request, ours and others', why it was made and what became of it: to be selected from."""

OF_OTHERS = (
    f"What others requested in REDCap is told as {BY_OTHERS}; it was requested when this system noticed it, or before. "
    "Of what stood there before this system it is known whether it was sent, and not when."
)
"""A note for reports that have such requests."""

"""The memory of what was looked up in REDCap's log: up to where, and what is to be said about it when.

Revision 0009, after 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

MEMORY = """
create table gateway.clash_check (
    site      text        not null,
    project   text        not null,
    position  bigint      not null default 0,
    ask_after timestamptz,
    told_at   timestamptz,
    primary key (site, project)
);
comment on table gateway.clash_check is
    'Up to which event new rows in a project of REDCap''s were compared with its log.';
comment on column gateway.clash_check.ask_after is 'When the log is asked again that gave no answer.';
comment on column gateway.clash_check.told_at is 'When it was last said that the log does not tell.';
"""


def upgrade() -> None:
    """Makes the table."""
    op.execute(MEMORY)

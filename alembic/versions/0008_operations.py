"""What operators do by hand: requests withdrawn or changed, and replays under way.

Revision 0008, after 0007.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLES = """
alter table gateway.transfer drop constraint transfer_cause_kind_check;
alter table gateway.transfer add constraint transfer_cause_kind_check
    check (cause_kind in ('rule', 'coupling', 'autoid', 'operator'));

create table gateway.decision_by_hand (
    study      text   not null,
    project    text   not null,
    event_name text   not null,
    position   bigint not null,
    primary key (study, project, event_name)
);
comment on table gateway.decision_by_hand is
    'What an operator decided about a study''s request: rules do not overrule it, nor do coupling entries of before.';

create table gateway.replay (
    site             text        primary key,
    project          text        not null,
    since            timestamptz,
    until            timestamptz,
    include_vanished boolean     not null,
    delivered_up_to  text        not null
);
comment on table gateway.replay is
    'The replay that a site has begun and not finished, and the last study of which all rows were written.';
"""

# What the views of 0005 and 0006 say about causes holds for one kind more.
COMMENTS = """
comment on column audit.event.cause_kind is
    'Why: rule, coupling, autoid or operator (by hand); empty where an event has no such cause.';
comment on column audit.event.cause_record is
    'Why: the record id in REDCap of the rule, entry or ID; by hand, the operator''s account.';
comment on column audit.transfer.cause_kind is
    'Why: a routing rule (rule), an entry of the coupling list (coupling), a generated ID (autoid) or an operator '
    'by hand (operator).';
comment on column audit.transfer.cause_record is
    'Why: the record id in REDCap of that rule, entry or AutoID entry; by hand, the operator''s account.';
comment on column audit.transfer.cause_position is
    'Why: the position of the event that holds what the rule, entry, ID or operator said when this was decided.';
"""


def upgrade() -> None:
    """Makes the tables of decisions by hand and of replays."""
    op.execute(TABLES)
    op.execute(COMMENTS)

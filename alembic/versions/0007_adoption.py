"""What REDCap held before this system wrote to it, how far reading it has come, and what a shadow has seen.

Revision 0007, after 0006.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

PROJECTIONS = """
create table gateway.adopted_study (
    study    text   primary key,
    site     text   not null,
    position bigint not null
);
comment on table gateway.adopted_study is 'Each study whose record REDCap held before this system wrote it.';
create table gateway.adopted_series (
    study    text    not null,
    series   text    not null,
    instance integer not null,
    primary key (study, series)
);
create table gateway.adopted_transfer (
    study      text    not null,
    instance   integer not null,
    project    text    not null,
    event_name text    not null,
    sent       boolean not null,
    requested  text,
    position   bigint  not null,
    primary key (study, instance)
);
comment on table gateway.adopted_transfer is
    'Transfer requests of others that stood in REDCap when it was adopted; their events hold the pseudonyms, sealed.';
comment on column gateway.adopted_transfer.requested is 'The minute in which REDCap says that it was requested.';
create table gateway.moved_in (
    site     text   primary key,
    how      text   not null check (how in ('adopted', 'fresh')),
    position bigint not null
);
comment on table gateway.moved_in is
    'How each site began to write to REDCap: with what was there adopted, or as if nothing had been there.';
"""

MEMORY = """
create table gateway.adoption_progress (
    site       text        primary key,
    study      text        not null,
    began      bigint      not null,
    at         timestamptz not null
);
comment on table gateway.adoption_progress is 'How far an adoption that has not ended yet has read: up to this study.';
comment on column gateway.adoption_progress.began is 'The ledger''s last event before it.';
create table gateway.shadow_look (
    site     text   primary key,
    position bigint not null
);
comment on table gateway.shadow_look is 'Up to which event a shadow has compared its decisions with REDCap.';
create table gateway.shadow_difference (
    site       text        not null,
    study      text        not null,
    project    text        not null,
    event_name text        not null,
    kind       text        not null,
    since      timestamptz not null,
    primary key (site, study, project, event_name)
);
comment on table gateway.shadow_difference is
    'Where REDCap and a shadow''s decisions differed when it last looked, to be looked at again.';
"""


def upgrade() -> None:
    """Makes the tables of what was there before."""
    op.execute(PROJECTIONS)
    op.execute(MEMORY)

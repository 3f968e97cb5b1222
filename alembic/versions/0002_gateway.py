"""The gateway's tables: projections of what arrived and was decided, and the run's own memory.

Revision 0002, after 0001.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

PROJECTIONS = """
create schema gateway;

create table gateway.study (
    study              text        primary key,
    site               text        not null,
    arrived_at         timestamptz not null,
    leading_series     text        not null,
    called             text        not null,
    row_position       bigint      not null,
    row_key            text        not null,
    delivered_position bigint      not null default 0,
    on_disk            boolean     not null default true,
    returned_position  bigint      not null default 0
);
comment on table gateway.study is
    'Each study that has arrived. Its REDCap row is made from its leading series, the first one recorded.';
comment on column gateway.study.row_position is 'The event that the study''s REDCap row is made from.';
comment on column gateway.study.delivered_position is 'The event that the row in REDCap was made from; 0: none yet.';
comment on column gateway.study.returned_position is
    'The event with which it last came back after having vanished; 0: never.';
create index study_pending on gateway.study (study) where row_position > delivered_position;
create index study_returned on gateway.study (returned_position) where returned_position > 0;

create table gateway.series (
    study              text   not null,
    series             text   not null,
    position           bigint not null,
    routed_position    bigint not null,
    routing_key        text   not null,
    fingerprint        text   not null,
    accession          text   not null,
    instance           integer,
    delivered_position bigint not null default 0,
    primary key (study, series)
);
comment on column gateway.series.position is 'The event with the newest content of the series.';
comment on column gateway.series.instance is 'Its repeat instance in REDCap, once placed.';
create index series_pending on gateway.series (study) where position > delivered_position;
comment on column gateway.series.routed_position is
    'The event that last changed what rules and couplings look at: whose it is, AE titles, accession number.';
create index series_routed_position on gateway.series (routed_position);
create index series_accession on gateway.series (accession) where accession <> '';

create table gateway.transfer (
    position       bigint   primary key,
    study          text     not null,
    project        text     not null,
    event_name     text     not null,
    found          boolean  not null default false,
    cause_kind     text     not null check (cause_kind in ('rule', 'coupling', 'autoid')),
    cause_record   text     not null,
    cause_position bigint   not null,
    whole_match    boolean  not null,
    replaces       bigint[] not null default '{}',
    state          text     not null default 'requested'
                   check (state in ('requested', 'placed', 'contested', 'replaced', 'retracting', 'retracted')),
    instance       integer,
    placed_at      timestamptz
);
comment on table gateway.transfer is
    'Each transfer request of ours, by the position of its TransferRequested event, which holds the pseudonym, sealed.';
comment on column gateway.transfer.found is 'Whether somebody else had placed it before us.';
create index transfer_study on gateway.transfer (study);
create index transfer_pending on gateway.transfer (study) where state in ('requested', 'retracting');
create index transfer_cause on gateway.transfer (cause_kind, cause_record);

create table gateway.rule (
    record_id   text     primary key,
    position    bigint   not null,
    fingerprint text     not null,
    problems    text[]   not null default '{}',
    removed     boolean  not null default false
);
create table gateway.coupling_entry (
    record_id     text   primary key,
    position      bigint not null,
    life_position bigint not null,
    fingerprint   text   not null,
    problems      text[] not null default '{}',
    removed       boolean not null default false
);
comment on column gateway.coupling_entry.position is
    'Its latest event, a removal included: decisions look for what has changed since the last time.';
comment on column gateway.coupling_entry.life_position is
    'The first event since the entry was made: REDCap gives a removed entry''s record id to a new one.';

create table gateway.decision (
    site     text   primary key,
    position bigint not null
);
comment on table gateway.decision is 'Up to which event each site has decided about transfers.';

create table gateway.conflict (
    study      text   not null,
    project    text   not null,
    event_name text   not null,
    kind       text   not null check (kind in ('equals', 'person', 'coupling stands')),
    position   bigint not null,
    details    json   not null,
    primary key (study, project, event_name)
);
create table gateway.rule_failure (
    record_id text   not null,
    study     text   not null,
    position  bigint not null,
    primary key (record_id, study)
);
create table gateway.rejected_file (
    path     text   primary key,
    reason   text   not null,
    digest   text   not null,
    position bigint not null
);
create table gateway.refused_row (
    study         text   not null,
    kind          text   not null check (kind in ('study', 'series', 'transfer')),
    key           text   not null,
    row_position  bigint not null,
    field         text   not null,
    message       text   not null,
    position      bigint not null,
    refused_at    timestamptz not null,
    primary key (study, kind, key)
);
comment on column gateway.refused_row.row_position is 'The event whose row REDCap refused; a newer one is tried again.';
create table gateway.missing_row (
    study        text    not null,
    kind         text    not null check (kind in ('study', 'series', 'transfer')),
    key          text    not null,
    position     bigint  not null,
    acknowledged boolean not null default false,
    primary key (study, kind, key)
);
comment on table gateway.missing_row is
    'Rows of ours that somebody deleted in REDCap: noticed, reported, not written again.';
create table gateway.notice (
    position bigint primary key,
    kind     text   not null,
    study    text   not null,
    project  text   not null,
    details  json   not null
);
comment on table gateway.notice is 'What a person must look at and acknowledge; nothing else settles it.';
"""

MEMORY = """
create table gateway.folder (
    site        text   not null,
    study       text   not null,
    mtime_ns    bigint not null,
    primary key (site, study)
);
comment on table gateway.folder is
    'Study folders as last listed. mtime_ns 0: not all of it was settled, to be listed again.';
create table gateway.file (
    site     text   not null,
    study    text   not null,
    name     text   not null,
    mtime_ns bigint not null,
    size     bigint not null,
    primary key (site, study, name)
);
comment on table gateway.file is 'Files as last read, so that only changed ones are read again.';
create table gateway.full_pass (
    site   text        primary key,
    at     timestamptz not null
);
create table gateway.contest_retry (
    site text        primary key,
    at   timestamptz not null
);
comment on table gateway.contest_retry is 'When requests that a person contests were last tried again.';
create table gateway.call_budget (
    url          text             primary key,
    next_call_at timestamptz      not null,
    paused_until timestamptz
);
comment on table gateway.call_budget is 'When the next call to a REDCap server is due, shared by all processes.';
create table gateway.dictionary (
    project   text        primary key,
    address   text        not null,
    fields    text[]      not null,
    looked_at timestamptz not null
);
comment on table gateway.dictionary is 'Which fields a REDCap project has, as last looked up.';
create table gateway.run (
    run         uuid        primary key,
    site        text        not null,
    command     text        not null,
    started_at  timestamptz not null,
    finished_at timestamptz,
    exit_code   smallint,
    changed     boolean     not null default false,
    summary     json
);
comment on column gateway.run.changed is 'Whether it appended any event; idle runs are forgotten after a month.';
create index run_started on gateway.run (started_at);
"""


def upgrade() -> None:
    """Makes the schema gateway."""
    op.execute(PROJECTIONS)
    op.execute(MEMORY)

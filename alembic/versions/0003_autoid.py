"""Pseudonyms: the projects that want them, the IDs in use, the studies held.

Revision 0003, after 0002.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
create index study_arrived on gateway.study (called, arrived_at);

create table gateway.autoid_project (
    record_id   text    primary key,
    position    bigint  not null,
    fingerprint text    not null,
    project     text    not null,
    pattern     text    not null,
    aetitle     text    not null,
    wanted      boolean not null,
    problems    text[]  not null default '{}',
    removed     boolean not null default false
);
comment on column gateway.autoid_project.wanted is 'Whether the project asks for generated IDs.';

create table gateway.used_id (
    project      text        not null,
    value        text        not null,
    kind         text        not null check (kind in ('generated', 'adopted', 'reserved')),
    subject      uuid,
    position     bigint      not null,
    pattern      text,
    recorded_at  timestamptz not null,
    record_id    text,
    primary key (project, value),
    unique (project, subject),
    check ((kind = 'reserved') = (subject is null))
);
comment on table gateway.used_id is
    'Every ID that must not be drawn in a project: drawn here, found in AutoID, or carried by a transfer request.';
comment on column gateway.used_id.subject is 'The link of a patient to the project; nobody for a reserved ID.';
comment on column gateway.used_id.record_id is 'Its record in REDCap''s AutoID; null until it is stored there.';
create index used_id_undelivered on gateway.used_id (project) where record_id is null and kind = 'generated';

create table gateway.contradiction (
    project   text   not null,
    record_id text   not null,
    subject   uuid   not null,
    value     text   not null,
    position  bigint not null,
    details   text   not null,
    primary key (project, record_id)
);
comment on table gateway.contradiction is
    'Entries of AutoID that give one patient two IDs, or two patients one: nothing is drawn for those patients.';
create index contradiction_subject on gateway.contradiction (project, subject);

create table gateway.held_study (
    study    text   primary key,
    project  text   not null,
    reason   text   not null,
    position bigint not null
);
comment on table gateway.held_study is 'Studies that should get an ID and cannot, each with the reason.';

create table gateway.observed_transfer (
    study    text   primary key,
    position bigint not null
);
comment on table gateway.observed_transfer is 'Studies for which others have requested transfers in REDCap.';

create table gateway.held_retry (
    site text        primary key,
    at   timestamptz not null
);
comment on table gateway.held_retry is 'When studies held for a reason that may pass by itself were last tried again.';

create table gateway.reservation_look (
    project   text        primary key,
    pattern   text        not null,
    looked_at timestamptz not null
);
comment on table gateway.reservation_look is
    'Up to when REDCap''s transfer requests were searched for IDs of a project that others have given.';
"""

ATTENTION = """
create schema audit;
create view audit.attention as
    select 'rejected file' as kind, position, null::text as study, null::text as project,
           path as subject, reason as details,
           'Have the receiver write the file again, or remove it.' as advice
      from gateway.rejected_file
    union all
    select 'conflict', position, study, project, event_name, details::text,
           'Correct the rules or the coupling list so that one pseudonym remains; it is decided again then.'
      from gateway.conflict where kind = 'equals'
    union all
    select 'contested by a person', position, study, project, event_name, details::text,
           'Somebody requested this project and event in REDCap under another pseudonym. Remove the wrong one.'
      from gateway.conflict where kind = 'person'
    union all
    select 'coupling stands', position, study, project, event_name, details::text,
           'A rule now gives another pseudonym than the coupling list gave before. Check which is right.'
      from gateway.conflict where kind = 'coupling stands'
    union all
    select 'unusable rule', position, null, null, record_id, array_to_string(problems, ' '),
           'Correct the routing rule in REDCap.'
      from gateway.rule where problems <> '{}' and not removed
    union all
    select 'unusable coupling entry', position, null, null, record_id, array_to_string(problems, ' '),
           'Complete the entry of the coupling list in REDCap.'
      from gateway.coupling_entry where problems <> '{}' and not removed
    union all
    select 'unusable auto-ID project', position, null, project, record_id, array_to_string(problems, ' '),
           'Correct the project''s entry in REDCap; its studies are held until then.'
      from gateway.autoid_project where problems <> '{}' and not removed
    union all
    select 'held study', position, study, project, null, reason,
           'It gets its ID as soon as the reason is gone. While it is on disk, it can be coupled by hand instead.'
      from gateway.held_study
    union all
    select 'contradiction in AutoID', position, null, project, record_id, details,
           'Correct the entries in REDCap''s AutoID; the patients concerned get no ID until then.'
      from gateway.contradiction
    union all
    select 'rule ran out of time', position, study, null, record_id, 'The pattern exceeded its time limit.',
           'Simplify the pattern of the routing rule; the study is decided again then.'
      from gateway.rule_failure
    union all
    select 'refused row', position, study, null, kind || ' ' || key, field || ': ' || message,
           'Correct the value at its source or the field in REDCap''s dictionary.'
      from gateway.refused_row
    union all
    select 'row deleted or changed in REDCap', position, study, null, kind || ' ' || key,
           'Somebody deleted or changed a row that this system wrote.',
           'If it was intended: fiona-ledger acknowledge POSITION --reason TEXT. It is not written again by itself.'
      from gateway.missing_row where not acknowledged
    union all
    select kind, position, study, project, null, details::text,
           'Look at it, then run: fiona-ledger acknowledge POSITION --reason TEXT'
      from gateway.notice;
comment on view audit.attention is 'Everything that a person must look at, with what to do.';
"""


def upgrade() -> None:
    """Makes the tables of pseudonyms and the view of what needs attention."""
    op.execute(TABLES)
    op.execute(ATTENTION)

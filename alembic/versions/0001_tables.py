"""The tables: events, what is derived from them, what runs remember.

Revision 0001, the first. What guards the tables and the views over them are not migrated but made anew, from
`alembic/guards.sql` and `alembic/views/`.
"""

from alembic import op

revision = "0001"
down_revision = None

EVENTS = """
create table ledger.event (
    position       bigint      primary key,
    event_id       uuid        not null unique,
    site           text        not null,
    stream         text        not null,
    version        integer     not null check (version > 0),
    type           text        not null,
    schema_version smallint    not null check (schema_version > 0),
    data           json        not null,
    subject        uuid,
    sealed         bytea,
    recorded_at    timestamptz not null,
    run            uuid        not null,
    hash           bytea       not null check (octet_length(hash) = 32),
    unique (stream, version),
    check (sealed is null or subject is not null)
);
comment on table ledger.event is 'Every fact, in commit order. Never changed, never deleted.';
comment on column ledger.event.data is
    'json, not jsonb: these very bytes are what the hash covers, and storing them is twice as fast.';
comment on column ledger.event.sealed is 'What identifies a person, encrypted under the key of its subject.';
comment on column ledger.event.hash is 'SHA-256 over the previous event''s hash and this event''s columns.';

create table ledger.head (
    only_row boolean primary key default true check (only_row),
    position bigint  not null,
    hash     bytea   not null
);
comment on table ledger.head is 'The last event. Locked by whoever appends, so that positions have no gaps.';
insert into ledger.head (position, hash) values (0, decode(repeat('00', 32), 'hex'));

create table ledger.vault (
    only_row          boolean     primary key default true check (only_row),
    ledger            uuid        not null,
    wrapped_index_key bytea       not null,
    made_at           timestamptz not null default now()
);

create table ledger.subject (
    subject      uuid        primary key,
    kind         text        not null,
    scope        text        not null,
    lookup       bytea       unique,
    likeness     bytea,
    wrapped_key  bytea,
    made_at      timestamptz not null default now(),
    check ((lookup is null) = (wrapped_key is null)),
    check (likeness is null or lookup is not null)
);
comment on table ledger.subject is
    'Whom sealed values belong to, with the wrapped data key. A forgotten subject has neither lookup nor key.';
comment on column ledger.subject.likeness is
    'The keyed hash of what names have in common that are nearly alike; null where nobody asks for them.';
create index subject_likeness on ledger.subject (likeness) where likeness is not null;
-- ANALYZE would copy keys into pg_statistic, and a dump of that, where forgetting does not reach them.
alter table ledger.subject alter column wrapped_key set statistics 0, alter column lookup set statistics 0,
                           alter column likeness set statistics 0;
alter table ledger.vault alter column wrapped_index_key set statistics 0;

create index subject_forgotten on ledger.subject (subject) where wrapped_key is null;

create table ledger.attestation (
    only_row  boolean primary key default true check (only_row),
    position  bigint  not null,
    hash      bytea   not null,
    forgotten bigint  not null,
    code      bytea   not null
);
comment on table ledger.attestation is
    'Where the ledger ended, and how many subjects were forgotten, when somebody with the master key last looked.';
comment on column ledger.attestation.code is 'Over all that, by a key that only the master key leads to.';

create table ledger.projection (
    name         text    primary key,
    code_version integer not null,
    checkpoint   bigint  not null
);

create table ledger.set_apart (
    projection text   not null,
    position   bigint not null,
    reason     text   not null,
    mended_position bigint,
    primary key (projection, position)
);
comment on table ledger.set_apart is
    'Events that contradict the tables of a projection, which are as if these had never been.';
comment on column ledger.set_apart.reason is 'The constraint that the event would violate.';
comment on column ledger.set_apart.mended_position is
    'The ledger''s last event when the tables were made anew, since when they hold the event; null: they do not.';
"""

LEASES = """
create table ledger.lease (
    name       text        not null,
    site       text        not null,
    holder     uuid        not null,
    host       text        not null,
    process    integer     not null,
    known_by   text        not null,
    since      timestamptz not null,
    renewed_at timestamptz not null,
    primary key (name, site)
);
comment on table ledger.lease is
    'Who works on the ledger now. What has not been renewed for a minute and a half is nobody''s any more.';
comment on column ledger.lease.site is 'The site that it works for; empty: for all of them.';
comment on column ledger.lease.known_by is 'By which its process is known again on its machine.';
"""

# Projections of what arrived and was decided.
ARRIVED_AND_DECIDED = """
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
comment on column gateway.study.site is 'The site where it lies, or lay last: its runs decide about it.';
comment on column gateway.study.row_position is 'The event that the study''s REDCap row is made from.';
comment on column gateway.study.delivered_position is 'The event that the row in REDCap was made from; 0: none yet.';
comment on column gateway.study.returned_position is
    'The event with which it last came back after having vanished; 0: never.';
create index study_pending on gateway.study (study) where row_position > delivered_position;
create index study_arrived on gateway.study (called, arrived_at);
create index study_delivered on gateway.study (site, delivered_position) where delivered_position > 0;
create unique index study_stream on gateway.study (('study/' || study)) include (study);
create index study_arrival on gateway.study (arrived_at);
create index study_on_disk on gateway.study (site) where on_disk;
create index study_returned on gateway.study (returned_position) where returned_position > 0;

create table gateway.series (
    study              text   not null,
    series             text   not null,
    position           bigint not null,
    stated             bigint[] not null,
    routed_position    bigint not null,
    routing_key        text   not null,
    fingerprint        text   not null,
    accession          text   not null,
    instance           integer,
    delivered_position bigint not null default 0,
    present            boolean not null default true,
    presence_position  bigint not null default 0,
    primary key (study, series)
);
comment on column gateway.series.stated is
    'The events with which it came to say what it says of whose it is and where from: the first, and each change.';
comment on column gateway.series.present is 'Whether its file was there when its study''s folder was last looked into.';
comment on column gateway.series.presence_position is
    'The event with which it last vanished or came back while its study stayed; 0: never.';
create index series_presence on gateway.series (presence_position) where presence_position > 0;
comment on column gateway.series.position is 'The event with the newest content of the series.';
comment on column gateway.series.instance is 'Its repeat instance in REDCap, once placed.';
create index series_pending on gateway.series (study) where position > delivered_position;
comment on column gateway.series.routed_position is
    'The event that last changed what rules and couplings look at: whose it is, AE titles, accession number.';
create index series_routed_position on gateway.series (routed_position);
comment on column gateway.series.accession is
    'The subject that its accession number is; blank: it has none.';
create index series_accession on gateway.series (accession) where accession <> '';

create table gateway.transfer (
    position       bigint   primary key,
    study          text     not null,
    project        text     not null,
    event_name     text     not null,
    found          boolean  not null default false,
    cause_kind     text     not null check (cause_kind in ('rule', 'coupling', 'autoid', 'operator')),
    cause_record   text     not null,
    cause_position bigint   not null,
    whole_match    boolean  not null,
    replaces       bigint[] not null default '{}',
    state          text     not null default 'requested'
                   check (state in ('requested', 'placed', 'contested', 'ending', 'withdrawn', 'closed')),
    instance       integer,
    placed_at      timestamptz,
    ended_position bigint
);
comment on table gateway.transfer is
    'Each transfer request of ours, by the position of its TransferRequested event, which holds the pseudonym, sealed.';
comment on column gateway.transfer.found is 'Whether somebody else had placed it before us.';
comment on column gateway.transfer.ended_position is 'The event since which no row of it can be sent.';
create index transfer_study on gateway.transfer (study);
-- In years, those that are settled are many: what each run asks for, it finds among those that are not.
create index transfer_pending on gateway.transfer (state, study) where state in ('requested', 'ending', 'contested');
create index transfer_ended on gateway.transfer (position) where ended_position is not null;
create index transfer_ended_autoid on gateway.transfer (project, study)
 where cause_kind = 'autoid' and state in ('withdrawn', 'closed');
create index transfer_cause on gateway.transfer (cause_kind, cause_record);

create table gateway.written_transfer (
    request  bigint      not null,
    instance integer     not null,
    since    timestamptz not null,
    recalled boolean     not null default false,
    primary key (request, instance)
);
comment on table gateway.written_transfer is
    'Each row of REDCap''s transfers in which a request of ours stands or stood: the sender may hold a copy of any.';
comment on column gateway.written_transfer.recalled is 'Whether its file was taken back from the sender''s queue.';

create table gateway.rule (
    record_id   text     primary key,
    position    bigint   not null,
    fingerprint text     not null,
    problems    text[]   not null default '{}',
    removed     boolean  not null default false,
    doubted_position bigint,
    usable_position  bigint,
    unusable_since   bigint
);
comment on column gateway.rule.unusable_since is
    'The event since which it could not be used; once mended, the one since which it could not be before.';
comment on column gateway.rule.usable_position is
    'The event that holds what it said when it could last be used; null where it never could.';
comment on column gateway.rule.doubted_position is
    'The event that tells that it was missing from the latest export; null where it was there, or is removed.';
create table gateway.coupling_entry (
    record_id     text   primary key,
    position      bigint not null,
    life_position bigint not null,
    asks_position bigint not null,
    asked_at      timestamptz not null,
    fingerprint   text   not null,
    asks_fingerprint text not null,
    accession     text   not null,
    study         text   not null,
    project       text   not null,
    problems      text[] not null default '{}',
    removed       boolean not null default false,
    doubted_position bigint
);
create index coupling_entry_kept on gateway.coupling_entry (record_id) where not removed;
comment on column gateway.coupling_entry.accession is
    'The subject that the accession number is; blank: it names none.';
create index coupling_entry_position on gateway.coupling_entry (position);
comment on column gateway.coupling_entry.doubted_position is
    'The event that tells that it was missing from the latest export; null where it was there, or is removed.';
create index coupling_entry_asked on gateway.coupling_entry (asked_at) where not removed;
comment on column gateway.coupling_entry.asks_position is
    'The event since which it asks for what it asks for now: its date, or being out of sight, changes nothing in that.';
comment on column gateway.coupling_entry.asked_at is 'When that event was recorded.';
comment on column gateway.coupling_entry.position is
    'Its latest event, a removal included: decisions look for what has changed since the last time.';
comment on column gateway.coupling_entry.life_position is
    'The first event since the entry was made: REDCap gives a removed entry''s record id to a new one.';

create table gateway.expected_study (
    asked     bigint  primary key,
    record_id text    not null,
    position  bigint  not null,
    near      json    not null,
    removed   boolean not null
);
comment on table gateway.expected_study is
    'Coupling entries that have met no study for days, by the event since which they ask for it.';
comment on column gateway.expected_study.near is 'Studies that nearly match, and what keeps each from matching.';
comment on column gateway.expected_study.removed is 'Whether the entry is gone, and the study never came.';

create table gateway.decision (
    site     text   primary key,
    position bigint not null
);
comment on table gateway.decision is 'Up to which event each site has decided about transfers.';

create table gateway.deferred_decision (
    study      text   not null,
    project    text   not null,
    event_name text   not null,
    position   bigint not null,
    details    json   not null,
    primary key (study, project, event_name)
);
comment on table gateway.deferred_decision is
    'What is not decided before the next export tells whether doubted rules and entries are gone: its causes.';

create table gateway.conflict (
    study      text   not null,
    project    text   not null,
    event_name text   not null,
    kind       text   not null check (kind in ('equals', 'person', 'coupling stands')),
    position   bigint not null,
    details    json   not null,
    primary key (study, project, event_name)
);
create table gateway.held_request (
    study          text   not null,
    project        text   not null,
    event_name     text   not null,
    position       bigint not null,
    kind           text   not null,
    details        text   not null,
    studies        text[] not null,
    cause_kind     text   not null,
    cause_record   text   not null,
    cause_position bigint not null,
    since_position bigint not null,
    name_fingerprint text,
    patient        uuid,
    primary key (study, project, event_name)
);
create index held_request_name on gateway.held_request (project, name_fingerprint);
comment on table gateway.held_request is
    'What is asked for and not requested, each with the reason; its event holds the pseudonym, sealed.';
comment on column gateway.held_request.studies is 'Other studies that are concerned.';
comment on column gateway.held_request.since_position is 'The event since which it is held for a reason of this kind.';
create table gateway.mixed_study (
    study         text   primary key,
    position      bigint not null,
    patients      json   not null,
    over_position bigint
);
comment on table gateway.mixed_study is
    'Studies whose series are, or were, of two patients: nothing but a coupling entry with the UID asks for them.';
comment on column gateway.mixed_study.patients is 'The series of each patient.';
comment on column gateway.mixed_study.over_position is
    'The event since which they are of one patient again; empty: they are not.';
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
create table gateway.refused_kind (
    site     text   not null,
    project  text   not null,
    kind     text   not null check (kind in ('study', 'series', 'transfer')),
    message  text   not null,
    position bigint not null,
    primary key (site, project, kind)
);
comment on table gateway.refused_kind is
    'Kinds of rows of which a REDCap project takes none, with its words: one row is tried again once an hour.';
create table gateway.unreadable_record (
    site      text   not null,
    project   text   not null,
    record_id text   not null,
    message   text   not null,
    position  bigint not null,
    primary key (site, project, record_id)
);
comment on table gateway.unreadable_record is
    'Records of REDCap''s lists that it cannot answer for: read without them, what the ledger has of them stands.';
create table gateway.doubted_redcap (
    site     text   primary key,
    reason   text   not null,
    position bigint not null
);
comment on table gateway.doubted_redcap is
    'Sites whose REDCap is not the one that the ledger knows: nothing is decided until a person has settled it.';
create table gateway.doubted_ledger (
    site     text        primary key,
    reason   text        not null,
    since    timestamptz not null,
    position bigint      not null
);
comment on table gateway.doubted_ledger is
    'Sites that found the ledger to have lost events: nothing is decided until a person has settled it.';
comment on column gateway.doubted_ledger.since is 'When the ledger was last known to be whole.';
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
create table gateway.double_row (
    request  bigint  primary key,
    study    text    not null,
    instance integer not null,
    position bigint  not null
);
comment on table gateway.double_row is
    'Rows of ours that can be sent beside the one in which their request stands, until they are ended.';
create table gateway.notice (
    position bigint primary key,
    kind     text   not null,
    study    text   not null,
    project  text   not null,
    details  json   not null
);
comment on table gateway.notice is 'What a person must look at and acknowledge; nothing else settles it.';

create table gateway.decision_by_hand (
    study      text   not null,
    project    text   not null,
    event_name text,
    position   bigint not null,
    unique nulls not distinct (study, project, event_name)
);
comment on column gateway.decision_by_hand.event_name is 'Empty where it is about all events of the project.';
comment on table gateway.decision_by_hand is
    'What an operator decided about a study''s request: rules do not overrule it, nor do coupling entries of before.';
"""

# Pseudonyms: the projects that want them, the IDs in use, the studies held.
PSEUDONYMS = """
create table gateway.autoid_project (
    record_id   text    primary key,
    position    bigint  not null,
    fingerprint text    not null,
    project     text    not null,
    pattern     text    not null,
    aetitle     text    not null,
    wanted      boolean not null,
    problems    text[]  not null default '{}',
    closed_by   text    not null default '',
    starts      text    not null default '',
    ends        text    not null default '',
    removed     boolean not null default false,
    doubted_position bigint,
    missed_from      timestamptz,
    missed_until     timestamptz
);
comment on column gateway.autoid_project.wanted is 'Whether the project asks for generated IDs.';
comment on column gateway.autoid_project.closed_by is 'What closes it, whatever the day; blank where nothing does.';
comment on column gateway.autoid_project.ends is 'The last day of its approval (ISO 8601); blank: the list tells none.';
comment on column gateway.autoid_project.doubted_position is
    'The event that tells that it was missing from the latest export; null where it was there, or is removed.';
comment on column gateway.autoid_project.missed_from is
    'When exports last began to lack it, until `missed_until`: that time does not count against studies that waited.';

create table gateway.used_id (
    project      text        not null,
    fingerprint  text        not null,
    name_fingerprint text,
    kind         text        not null check (kind in ('generated', 'adopted', 'reserved')),
    subject      uuid,
    position     bigint      not null,
    pattern      text,
    recorded_at  timestamptz not null,
    record_id    text,
    primary key (project, fingerprint),
    unique (project, subject),
    check ((kind = 'reserved') = (subject is null))
);
comment on table gateway.used_id is
    'Every ID that must not be drawn in a project: drawn here, found in AutoID, or carried by a transfer request.';
comment on column gateway.used_id.fingerprint is 'The keyed hash of project and ID. Its event holds the ID, sealed.';
comment on column gateway.used_id.name_fingerprint is 'Equal for IDs that people take for one.';
comment on column gateway.used_id.pattern is 'The naming pattern that it is known to be of; null where none is.';
comment on column gateway.used_id.subject is 'The link of a patient to the project; nobody for a reserved ID.';
comment on column gateway.used_id.record_id is 'Its record in REDCap''s AutoID; null until it is stored there.';
create index used_id_name on gateway.used_id (project, name_fingerprint);
create index used_id_undelivered on gateway.used_id (project) where record_id is null and kind = 'generated';

create table gateway.contradiction (
    project   text   not null,
    record_id text   not null,
    subject   uuid   not null,
    fingerprint text not null,
    position  bigint not null,
    details   text   not null,
    primary key (project, record_id)
);
comment on table gateway.contradiction is
    'Entries of AutoID that give one patient two IDs, or two patients one: nothing is drawn for those patients.';
create index contradiction_subject on gateway.contradiction (project, subject);

create table gateway.pseudonym_use (
    holder      text    primary key,
    study       text    not null,
    project     text    not null,
    event_name  text    not null,
    fingerprint text    not null,
    patient     uuid,
    requested_for uuid,
    position    bigint  not null,
    occupies    boolean not null,
    check (patient is not null or not occupies)
);
comment on table gateway.pseudonym_use is
    'Each request, of whatever origin, that carries a pseudonym and may be sent or was, with the patient it is for.';
comment on column gateway.pseudonym_use.holder is 'A request of ours by its position, or a row of somebody else''s.';
comment on column gateway.pseudonym_use.fingerprint is 'The keyed hash of project and pseudonym.';
comment on column gateway.pseudonym_use.patient is
    'The subject; null where nobody can tell: the PatientID is the pseudonym, there is none, or it was forgotten.';
comment on column gateway.pseudonym_use.requested_for is
    'Whose the study was said to be then, null where nobody could tell; of a row of somebody else''s, when it was '
    'sent, or first known after that, null before.';
comment on column gateway.pseudonym_use.occupies is
    'Whether the pseudonym is this patient''s: of one patient alone, in each project.';
create unique index pseudonym_use_occupied on gateway.pseudonym_use (project, fingerprint) where occupies;
create index pseudonym_use_name on gateway.pseudonym_use (project, fingerprint);
create index pseudonym_use_patient on gateway.pseudonym_use (patient, project) where patient is not null;
create index pseudonym_use_study on gateway.pseudonym_use (study);
create index pseudonym_use_unknown on gateway.pseudonym_use (position) where patient is null;

create table gateway.joined_patient (
    project   text not null,
    patient   uuid not null,
    counts_as uuid not null,
    primary key (project, patient)
);
comment on table gateway.joined_patient is
    'PatientIDs that an operator has said to be one person''s: in the project, the one counts as the other.';

create table gateway.held_study (
    study    text   primary key,
    project  text   not null,
    reason   text   not null,
    position bigint not null
);
comment on table gateway.held_study is 'Studies that should get an ID and cannot, each with the reason.';

create table gateway.withdrawal_mark (
    position bigint not null,
    mark     text   not null,
    project  text,
    doubted  boolean not null,
    primary key (position, mark)
);
comment on table gateway.withdrawal_mark is
    'What studies of who withdrew are known by: keyed hashes of PatientIDs, and of pseudonyms in a project.';
comment on column gateway.withdrawal_mark.project is 'The project; null for all.';
comment on column gateway.withdrawal_mark.doubted is
    'What is asked for is shown and not held: a study that was said to be theirs, or a pseudonym that it had then.';
create index withdrawal_mark_mark on gateway.withdrawal_mark (mark);
create table gateway.withdrawn_study (
    study    text   not null,
    project  text   not null,
    position bigint not null,
    primary key (study, project)
);
comment on table gateway.withdrawn_study is
    'Studies of patients who withdrew: what was sent of them for the project is a task.';
create table gateway.withdrawal_entry (
    record_id   text    primary key,
    position    bigint  not null,
    project     text    not null,
    fingerprint text    not null,
    problems    text[]  not null,
    removed     boolean not null default false,
    doubted_position bigint,
    changed_position bigint
);
comment on table gateway.withdrawal_entry is
    'Entries of REDCap''s list of withdrawals; one that is removed or changed ends no withdrawal, and is shown.';

create table gateway.observed_transfer (
    study    text   primary key,
    position bigint not null
);
comment on table gateway.observed_transfer is 'Studies for which others have requested transfers in REDCap.';
"""

# What became of transfer requests, as their sender reports it, and differences that an operator has accepted.
OUTCOMES = """
create table gateway.outcome (
    request      bigint      not null,
    ours         boolean     not null,
    study        text        not null,
    instance     integer     not null,
    project      text,
    event_name   text,
    fingerprint  text,
    state        text        not null check (state in ('awaited', 'possibly sent', 'sent', 'failed')),
    sent_at      text,
    first_sent_at text,
    sends        integer     not null default 0,
    sent_dates   text[]      not null default '{}',
    errors       text[]      not null default '{}',
    failure      text,
    mapped_uids  text[]      not null default '{}',
    told         text[]      not null default '{}',
    position     bigint      not null,
    at           timestamptz not null,
    acknowledged boolean     not null default false,
    primary key (request, ours)
);
comment on table gateway.outcome is
    'What became of each request that stands in REDCap, ours and other people''s, as far as looks at it have told.';
comment on column gateway.outcome.request is
    'Of ours, the position of its TransferRequested; of somebody else''s, that of the first event about it.';
comment on column gateway.outcome.project is 'Of somebody else''s request; gateway.transfer tells those of ours.';
comment on column gateway.outcome.fingerprint is 'The keyed hash of what somebody else''s row asks for.';
comment on column gateway.outcome.sent_at is
    'The sender''s date, as REDCap has it: of a sending, or of an attempt that failed.';
comment on column gateway.outcome.first_sent_at is 'The sender''s date when it was first sent.';
comment on column gateway.outcome.sends is 'How often it was sent: late series have a study sent again.';
comment on column gateway.outcome.sent_dates is 'The sender''s date of each time, in the order they were told.';
comment on column gateway.outcome.told is
    'Instance and date of each time, so that none counts twice; with each new row, those of before as if of that row.';
comment on column gateway.outcome.mapped_uids is 'All study UIDs under which it was told to be sent.';
comment on column gateway.outcome.failure is 'A class of the sender''s message, which itself is not kept.';
comment on column gateway.outcome.at is 'When the event at `position`, the latest about it, was recorded.';
create index outcome_study on gateway.outcome (study);
create unique index outcome_of_others on gateway.outcome (study, instance) where not ours;
create index outcome_sent on gateway.outcome (position) where ours and state = 'sent';
create index outcome_unsettled on gateway.outcome (state, at) where state <> 'sent';

create table gateway.accepted_difference (
    study        text   not null,
    kind         text   not null check (kind in ('record', 'study', 'series', 'transfer')),
    key          text   not null,
    row_position bigint not null,
    fingerprint  text   not null,
    position     bigint not null,
    primary key (study, kind, key)
);
comment on table gateway.accepted_difference is
    'Rows of REDCap that differ from what we wrote, and may: until theirs or ours changes again.';
comment on column gateway.accepted_difference.row_position is 'The event that our row is made from; 0: we have none.';
comment on column gateway.accepted_difference.fingerprint is 'The keyed hash of what REDCap says.';
"""

# What REDCap held before this system wrote to it.
ADOPTED = """
create table gateway.adopted_study (
    study    text   primary key,
    site     text   not null,
    position bigint not null,
    arrived  text,
    patient  uuid
);
create index adopted_study_patient on gateway.adopted_study (patient);
comment on table gateway.adopted_study is 'Each study whose record REDCap held before this system wrote it.';
comment on column gateway.adopted_study.arrived is 'The minute of its arrival, as REDCap has it; empty: it has none.';
comment on column gateway.adopted_study.patient is
    'The subject that stands for REDCap''s hash of the PatientID; empty: it has none.';
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

# What runs remember for the next one; not derived from events.
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
    stamp    bigint not null,
    primary key (site, study, name)
);
comment on table gateway.file is 'Files as last read, so that only changed ones are read again.';
comment on column gateway.file.stamp is 'What differs once anything of the file was changed (ctime).';
create table gateway.file_ahead (
    site     text   not null,
    study    text   not null,
    name     text   not null,
    mtime_ns bigint not null,
    size     bigint not null,
    seen_ns  bigint not null,
    primary key (site, study, name)
);
comment on table gateway.file_ahead is
    'Files and, without a name, folders whose mtime lies ahead of our clock, and since when each was seen unchanged.';
create table gateway.full_pass (
    site   text        primary key,
    at     timestamptz not null
);
create table gateway.import_retry (
    site       text    not null,
    project    text    not null,
    failed     boolean not null,
    retried_at timestamptz,
    primary key (site, project)
);
comment on table gateway.import_retry is
    'Whether the last import into a REDCap project failed without a word about rows, and when refused rows were last'
    ' tried again.';
create table gateway.doubted_record (
    site    text not null,
    project text not null,
    study   text not null,
    run     uuid not null,
    at      timestamptz not null,
    primary key (site, project, study)
);
comment on table gateway.doubted_record is
    'Studies whose records an export of a REDCap project lacked without a word, and in which run first, and when.';
create table gateway.redcap_project (
    site     text not null,
    project  text not null,
    address  text not null,
    identity text not null,
    primary key (site, project)
);
comment on table gateway.redcap_project is 'Which project of REDCap''s stood at each address, as it told itself.';
create table gateway.redcap_look (
    site      text        primary key,
    looked_at timestamptz not null
);
comment on table gateway.redcap_look is 'When a site last looked whether REDCap holds what was written to it.';
create table gateway.pause (
    site  text        primary key,
    since timestamptz not null,
    head  bigint      not null
);
comment on table gateway.pause is
    'Sites that made no runs for a while, since when, and where the ledger ended then: whether REDCap knows more of'
    ' that time than the ledger, as after a restore, is still to be asked.';
create table gateway.raw_folder (
    site       text primary key,
    place      text not null,
    doubted_at bigint
);
comment on table gateway.raw_folder is
    'Where each site''s raw folder is, as device and inode: another place without any known study is no loss of them.';
comment on column gateway.raw_folder.doubted_at is
    'The last event before it was found to be another place, without any of the studies known then.';
create table gateway.expected_look (
    site text        primary key,
    at   timestamptz not null
);
comment on table gateway.expected_look is 'When each site last looked for coupling entries that have met no study.';
create table gateway.contest_retry (
    site text        primary key,
    at   timestamptz not null
);
comment on table gateway.contest_retry is 'When requests that a person contests were last tried again.';
create table gateway.deleted_look (
    site text        primary key,
    at   timestamptz not null
);
comment on table gateway.deleted_look is 'When each site last looked whether deleted records were put back.';
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
    record_id text        not null,
    looked_at timestamptz not null
);
comment on table gateway.dictionary is 'Which fields a REDCap project has, as last looked up.';
create table gateway.missing_data (
    project   text        primary key,
    address   text        not null,
    codes     text[]      not null,
    looked_at timestamptz not null
);
comment on table gateway.missing_data is 'Which missing data codes a REDCap project has, as last looked up.';
create table gateway.run (
    run         uuid        primary key,
    site        text        not null,
    command     text        not null,
    started_at  timestamptz not null,
    finished_at timestamptz,
    exit_code   smallint,
    changed     boolean     not null default false,
    summary     json,
    machine     text        not null default '',
    code        bytea
);
comment on column gateway.run.code is 'Over the whole row, by a key that only the master key leads to.';
comment on column gateway.run.changed is 'Whether it appended any event; idle runs are forgotten after a month.';
comment on column gateway.run.machine is 'Its machine''s name and start: two that take turns are two gateways.';
create index run_started on gateway.run (started_at);
create index run_age on gateway.run (site, changed, started_at);
create index run_command on gateway.run (site, command, started_at);
create table gateway.run_count (
    site      text     not null,
    day       date     not null,
    command   text     not null,
    exit_code smallint,
    runs      bigint   not null,
    events    bigint   not null,
    calls     bigint   not null,
    unique nulls not distinct (site, day, command, exit_code)
);
comment on table gateway.run_count is 'Runs that have no row of their own any more, counted by day (UTC).';
create table gateway.site (
    site     text        primary key,
    clock_at timestamptz
);
comment on table gateway.site is 'Each site that has ever begun a run, and when its clock was last found right.';

create table gateway.held_retry (
    site text        primary key,
    at   timestamptz not null
);
comment on table gateway.held_retry is 'When studies held for a reason that may pass by itself were last tried again.';

create table gateway.assignment (
    site text        primary key,
    at   timestamptz not null
);
comment on table gateway.assignment is 'When each site last looked at all studies that wait for an ID.';
create table gateway.assignment_outage (
    site  text        not null,
    began timestamptz not null,
    ended timestamptz not null
);
comment on table gateway.assignment_outage is
    'When no run of a site got as far as to give IDs: that time does not count against studies that waited.';

create table gateway.reservation_look (
    project   text        primary key,
    pattern   text        not null,
    looked_at timestamptz not null
);
comment on table gateway.reservation_look is
    'Up to when REDCap''s transfer requests were searched for IDs of a project that others have given.';

create table gateway.look (
    site          text        primary key,
    since         timestamptz not null,
    looked_at     timestamptz not null,
    looked_before timestamptz,
    long_look_at  timestamptz not null,
    heard_at      timestamptz,
    seen          text        not null,
    head          bigint      not null
);
comment on table gateway.look is 'When each site last looked at what has changed in REDCap''s transfers.';
comment on column gateway.look.since is 'Since when no change has been missed: of what is older, looks tell nothing.';
comment on column gateway.look.looked_before is
    'When it looked before that: the next look reaches back so far, as an export can leave records out.';
comment on column gateway.look.long_look_at is
    'When it last reached back to the one before of this kind; by more than clocks and zones can differ, if it had to.';
comment on column gateway.look.heard_at is 'When a look has shown last that REDCap''s log is not behind in its time.';
comment on column gateway.look.seen is 'The keyed hash of all that it saw; `head` is the ledger''s last event by then.';

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

create table gateway.clash_check (
    site      text        not null,
    project   text        not null,
    position  bigint      not null default 0,
    put_off_at timestamptz,
    told_at   timestamptz,
    behind    interval    not null default '0',
    primary key (site, project)
);
comment on table gateway.clash_check is
    'Up to which event new rows in a project of REDCap''s were compared with its log.';
comment on column gateway.clash_check.put_off_at is 'When the log gave no answer; it is asked again an hour later.';
comment on column gateway.clash_check.behind is 'How far the time in REDCap''s log is behind the hospital''s.';
comment on column gateway.clash_check.told_at is 'When it was last said that the log does not tell.';
"""

# What ledger.event pays for the audit's views is kept small, because every append pays it: recorded_at only ever grows,
# so that new entries all go to the last page of its index, and the next two hold rare types alone. Summaries are
# found by patient, to compare a patient's next study with. That events need no index of their own by study is due to
# gateway's study_stream: a study's row is found from the name of its stream, and the other way round.
#
# The last one answers without reading the ledger whether there is an event of a type: each run asks, to notice emptied
# tables. Without it an idle run over a million events took seconds longer: a table of rules that is empty because there
# never was a rule is told from an emptied one by looking at every event. Its types are those of
# `processors.operations.rebuild`, but for SeriesDiscovered: of those there are many, and one of the first is one.
INDEXES = """
create index event_recorded_at on ledger.event (recorded_at);
create index event_problem on ledger.event (type, position)
 where type in ('ConflictFound', 'RowRefused', 'StudyHeld', 'RequestHeld', 'RoutingRuleDoubted', 'CouplingEntryDoubted',
                'AutoidProjectDoubted', 'WithdrawalEntryDoubted', 'ExpectedStudyMissing', 'ExpectedStudyNeverCame');
create index event_rejected_file on ledger.event ((split_part(data ->> 'path', '/', 1) collate "C"), position)
 where type = 'FileRejected';
create index event_patient on ledger.event (subject, position) where type in ('SeriesDiscovered', 'SeriesRevised');
create index event_leaves_row on ledger.event (type, position)
 where type in ('RoutingRuleChanged', 'CouplingEntryChanged', 'TransferRequested', 'DecisionsMade',
                'AutoidProjectChanged', 'IdGenerated', 'TransferObserved', 'StudyAdopted', 'AdoptionCompleted');
"""

# Whoever gives the owner empty schemas need not let it make any.
SCHEMAS = """
do $$
begin
    if to_regnamespace('gateway') is null then create schema gateway; end if;
    if to_regnamespace('audit') is null then create schema audit; end if;
end $$;
"""

# All text is compared by its bytes. As databases sort otherwise, and an upgrade of the system changes how they do, an
# index would not find what it holds any more, and a study that is known would be taken for a new one.
COLLATION = """
do $$
declare
    changed record;
begin
    for changed in
        select format('%I.%I', nspname, relname) as "table",
               string_agg(format('alter %I type %s collate "C"', attname, format_type(atttypid, atttypmod)), ', ')
                   as columns
          from pg_attribute
          join pg_class on pg_class.oid = attrelid
          join pg_namespace on pg_namespace.oid = relnamespace
         where nspname in ('ledger', 'gateway') and relkind = 'r' and attnum > 0 and not attisdropped
           and attcollation = '"default"'::regcollation
         group by nspname, relname
    loop
        execute format('alter table %s %s', changed."table", changed.columns);
    end loop;
end $$;
"""


def upgrade() -> None:
    """Makes the schemas ledger and gateway, and the schema audit, still empty."""
    for statements in (
        SCHEMAS,
        EVENTS,
        LEASES,
        ARRIVED_AND_DECIDED,
        PSEUDONYMS,
        OUTCOMES,
        ADOPTED,
        MEMORY,
        INDEXES,
        COLLATION,
    ):
        op.execute(statements)

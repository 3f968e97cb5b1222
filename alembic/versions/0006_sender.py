"""What became of transfer requests, as their sender reports it, and differences that an operator has accepted.

Revision 0006, after 0005.

Views are replaced, not dropped: what `fiona-ledger grant` gave stays given.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = """
create table gateway.outcome (
    request      bigint      not null,
    ours         boolean     not null,
    study        text        not null,
    instance     integer     not null,
    project      text,
    event_name   text,
    fingerprint  text,
    state        text        not null check (state in ('awaited', 'sent', 'failed')),
    sent_at      text,
    errors       text[]      not null default '{}',
    failure      text,
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
comment on column gateway.outcome.sent_at is 'The sender''s date, as REDCap has it.';
comment on column gateway.outcome.failure is 'A class of the sender''s message, which itself is not kept.';
comment on column gateway.outcome.at is 'When the event at `position`, the latest about it, was recorded.';
create index outcome_study on gateway.outcome (study);
create unique index outcome_of_others on gateway.outcome (study, instance) where not ours;
create index outcome_unsettled on gateway.outcome (state, at) where state <> 'sent';

create table gateway.look (
    site         text        primary key,
    since        timestamptz not null,
    looked_at    timestamptz not null,
    long_look_at timestamptz not null,
    seen         text        not null,
    head         bigint      not null
);
comment on table gateway.look is 'When each site last looked at what has changed in REDCap''s transfers.';
comment on column gateway.look.since is 'Since when no change has been missed: of what is older, looks tell nothing.';
comment on column gateway.look.long_look_at is 'When it last reached back by more than clocks and zones can differ.';
comment on column gateway.look.seen is 'The keyed hash of all that it saw; `head` is the ledger''s last event by then.';

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


def _shown(event: str) -> str:
    """SQL for the data of an event without what is withheld from auditors."""
    return f"""
           case {event}.type
                when 'RoutingRuleChanged' then
                     ({event}.data::jsonb - 'patient_id_pattern' - 'patient_name_pattern')::json
                when 'IdReserved' then ({event}.data::jsonb - 'value')::json
                else {event}.data
           end"""


STUDY = """
create or replace view audit.study as
    select study.study, study.arrived_at, study.site,
           (select count(*) from gateway.series where series.study = study.study) as series,
           array(select distinct series.accession from gateway.series
                  where series.study = study.study and series.accession <> '' order by 1) as accession,
           study.called as called_aetitle, newest.data ->> 'AETitleCaller' as calling_aetitle,
           study.on_disk, study.delivered_position > 0 as in_redcap,
           array(select distinct transfer.project from gateway.transfer
                  where transfer.study = study.study order by 1) as projects,
           (select count(*) from gateway.transfer where transfer.study = study.study) as requested,
           (select count(*) from gateway.transfer
             where transfer.study = study.study and state = 'placed') as placed,
           (select count(*) from gateway.transfer
             where transfer.study = study.study and state in ('requested', 'retracting')) as pending,
           (select count(*) from (
                   select event.data ->> 'request' from ledger.event
                    where event.stream = 'study/' || study.study
                      and event.type in ('TransferReplaced', 'RetractionDelivered')
                      and event.data ->> 'sent' = 'true'
                   union
                   select told.request::text from gateway.outcome as told
                    where told.study = study.study and told.ours and told.state = 'sent') as sent) as known_sent,
           held.reason as held_reason
      from gateway.study
      left join ledger.event as newest on newest.position = study.row_position
      left join gateway.held_study as held on held.study = study.study;
comment on column audit.study.known_sent is
    'How many are known to have been sent: by what the sender reports, or because that was seen when they were to '
    'be replaced or withdrawn.';
"""

# `life` is what the study's stream says about this very request: one walk through the stream, by the
# index on (stream, version). Numbers in JSON are compared as text: the planner may look at `data`
# before `type`, and what other types keep under these keys need not be a number.
TRANSFER = f"""
create or replace view audit.transfer as
    select transfer.position, event.recorded_at as requested_at, event.site, transfer.study, transfer.project,
           transfer.event_name, transfer.cause_kind, transfer.cause_record, transfer.cause_position,
           (({_shown("cause")})::jsonb - 'fingerprint')::json as cause_content,
           transfer.whole_match, event.run as requested_run, transfer.state,
           transfer.placed_at, life.placed_run, transfer.instance, life.found,
           nullif(transfer.replaces, '{{}}') as replaces, life.amends, life.amended_by,
           replacement.position as replaced_by, replacing.recorded_at as replaced_at,
           life.retracted_at, life.retraction_reason,
           case told.state when 'sent' then true when 'failed' then coalesce(life.sent, false)
                           else life.sent end as sent,
           told.sent_at, told.state = 'failed' as failed, told.failure, nullif(told.errors, '{{}}') as errors,
           case when told.state <> 'awaited' then told.at end as reported_at
      from gateway.transfer
      left join ledger.event on event.position = transfer.position
      left join ledger.event as cause on cause.position = transfer.cause_position
      left join lateral (
           select (array_agg(later.run order by later.version desc) filter (where places))[1] as placed_run,
                  bool_or(coalesce(later.data ->> 'found', 'false') = 'true') filter (where places) as found,
                  max((later.data ->> 'replaced')::bigint)
                      filter (where places and later.type = 'TransferAmended') as amends,
                  min((later.data ->> 'request')::bigint)
                      filter (where later.type = 'TransferAmended'
                                and later.data ->> 'replaced' = transfer.position::text) as amended_by,
                  min(later.recorded_at) filter (where later.type = 'TransferRetracted') as retracted_at,
                  min(later.data ->> 'reason') filter (where later.type = 'TransferRetracted') as retraction_reason,
                  bool_or(case when later.type = 'TransferAmended' then case when not places then false end
                               else later.data ->> 'sent' = 'true' end) as sent
             from (select ours.*, ours.type in ('TransferPlaced', 'TransferAmended')
                                  and ours.data ->> 'request' = transfer.position::text as places
                     from ledger.event as ours
                    where ours.stream = 'study/' || transfer.study
                      and ours.type in ('TransferPlaced', 'TransferAmended', 'TransferReplaced',
                                        'TransferRetracted', 'RetractionDelivered')
                      and transfer.position::text in (ours.data ->> 'request', ours.data ->> 'replaced')) as later
           ) as life on true
      left join lateral (
           select min(later.position) as position from gateway.transfer as later
            where later.study = transfer.study and later.replaces @> array[transfer.position]
           ) as replacement on true
      left join ledger.event as replacing on replacing.position = replacement.position
      left join gateway.outcome as told on told.request = transfer.position and told.ours;
comment on column audit.transfer.sent is
    'Whether it has been sent: by what the sender reports, or as seen when its row was to be replaced or withdrawn; '
    'empty where nothing is known.';
comment on column audit.transfer.sent_at is 'When it was sent, as the sender wrote it in REDCap.';
comment on column audit.transfer.failed is 'Whether the sender reports that it failed; empty where it stands nowhere.';
comment on column audit.transfer.failure is
    'Why it failed, as a class of the sender''s message: timeout, no space, no connection, pseudonymisation, refused '
    'by the archive, not found on disk, other or none given.';
comment on column audit.transfer.errors is 'The codes that the sender ticked.';
comment on column audit.transfer.reported_at is 'When a run noticed what the sender reports.';
"""

ATTENTION = """
create or replace view audit.attention as
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
      from gateway.notice
    union all
    select 'transfer failed', position, study, of_project, 'instance ' || instance,
           failure || case when errors = '{}' then '' else ', errors ' || array_to_string(errors, ', ') end,
           'The sender''s message in REDCap says more. Have it sent again there, or: fiona-ledger acknowledge POSITION.'
      from (select told.*, coalesce(told.project, transfer.project) as of_project
              from gateway.outcome as told
              left join gateway.transfer on told.ours and transfer.position = told.request
             where told.state = 'failed' and not told.acknowledged and (not told.ours or transfer.state = 'placed')
           ) as failed
    union all
    select 'not sent for a day', position, study, project, 'instance ' || instance,
           'It has waited in REDCap since ' || to_char(at, 'YYYY-MM-DD HH24:MI') || '.',
           'Is the sender running, and are the study''s files on disk? It goes away when the sender reports something.'
      from (select told.position, told.study, transfer.project, told.instance, told.at
              from gateway.outcome as told
              join gateway.transfer on transfer.position = told.request
              join gateway.study on study.study = told.study
              join gateway.look on look.site = study.site
             where told.ours and told.state = 'awaited' and transfer.state = 'placed' and not transfer.found
               and told.at >= look.since and told.at < look.looked_at - interval '1 day') as waiting;
"""


def upgrade() -> None:
    """Makes the tables of outcomes and accepted differences, and has the views tell of them."""
    for statements in (TABLES, STUDY, TRANSFER, ATTENTION):
        op.execute(statements)

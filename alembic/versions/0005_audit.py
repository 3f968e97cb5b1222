"""The audit's views, for an auditor who knows SQL and nothing of our tables, and the indexes that keep them fast.

Revision 0005, after 0004.

No view shows what identifies a person. Beside the sealed parts of events, which no view touches, two
things are withheld: the patterns of routing rules, since a pattern may be nothing but a patient's ID
or name written out, and the values of reserved IDs, which are pseudonyms that somebody else's transfer
request carries: for a routing request, that is a patient's ID.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

# A study's row is found from the name of its stream and the other way round by the first of these, so
# that events need no index of their own by study. What ledger.event pays for is kept small, because
# every append pays it: recorded_at only ever grows, so that new entries all go to the last page of
# its index, and the other two hold rare types alone.
INDEXES = """
create unique index study_stream on gateway.study (('study/' || study)) include (study);
create index study_arrival on gateway.study (arrived_at);
create index event_recorded_at on ledger.event (recorded_at);
create index event_problem on ledger.event (type, position)
 where type in ('ConflictFound', 'RowRefused', 'StudyHeld');
create index event_rejected_file on ledger.event (split_part(data ->> 'path', '/', 1), position)
 where type = 'FileRejected';
"""


def _shown(event: str) -> str:
    """SQL for the data of an event without what is withheld."""
    return f"""
           case {event}.type
                when 'RoutingRuleChanged' then
                     ({event}.data::jsonb - 'patient_id_pattern' - 'patient_name_pattern')::json
                when 'IdReserved' then ({event}.data::jsonb - 'value')::json
                else {event}.data
           end"""


EVENT = f"""
create view audit.event as
    select event.position, event.recorded_at, event.site, event.run, run.command, event.stream, event.version,
           event.type, study.study, event.data ->> 'project' as project,
           event.data -> 'cause' ->> 'kind' as cause_kind,
           event.data -> 'cause' ->> 'record_id' as cause_record,
           (event.data -> 'cause' ->> 'position')::bigint as cause_position,
           event.sealed is not null as sealed, {_shown("event")} as data
      from ledger.event
      left join gateway.study on event.stream = 'study/' || study.study
      left join gateway.run on run.run = event.run;
comment on view audit.event is
    'Every event in the ledger: what was seen, decided and done, in order, with the run that recorded it.';
comment on column audit.event.position is 'Its place in the whole ledger, from 1, without gaps.';
comment on column audit.event.recorded_at is 'When it was recorded.';
comment on column audit.event.site is 'The site whose run recorded it.';
comment on column audit.event.run is 'The run that recorded it; see audit.run.';
comment on column audit.event.command is
    'The command of that run; empty for commands that keep no record of their own, and for runs long gone by.';
comment on column audit.event.stream is
    'What it is about, as kind/name: study, file, rule, coupling, autoid-project, autoid, decisions or vault.';
comment on column audit.event.version is 'Its place among the events of that stream, from 1.';
comment on column audit.event.type is 'What happened, in the past tense.';
comment on column audit.event.study is 'The StudyInstanceUID, for events in the stream of a study.';
comment on column audit.event.project is 'The research project concerned, where there is one.';
comment on column audit.event.cause_kind is 'Why: rule, coupling or autoid; empty where an event has no such cause.';
comment on column audit.event.cause_record is 'Why: the record id in REDCap of the rule, entry or ID.';
comment on column audit.event.cause_position is 'Why: the position of the event that holds what the cause said then.';
comment on column audit.event.sealed is 'Whether it has a sealed part, which only the master key opens.';
comment on column audit.event.data is
    'What it says, as JSON; without sealed values, the patterns of routing rules and the values of reserved IDs.';
"""

STUDY = """
create view audit.study as
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
           (select count(distinct event.data ->> 'request') from ledger.event
             where event.stream = 'study/' || study.study
               and event.type in ('TransferReplaced', 'RetractionDelivered')
               and event.data ->> 'sent' = 'true') as known_sent,
           held.reason as held_reason
      from gateway.study
      left join ledger.event as newest on newest.position = study.row_position
      left join gateway.held_study as held on held.study = study.study;
comment on view audit.study is
    'Each study that has arrived, one row: what it is, what was requested for it and what became of that.';
comment on column audit.study.study is 'Its StudyInstanceUID.';
comment on column audit.study.arrived_at is 'When its first series was recorded.';
comment on column audit.study.site is 'The site at which it arrived.';
comment on column audit.study.series is 'How many series of it are known.';
comment on column audit.study.accession is 'The accession numbers of its series, each once.';
comment on column audit.study.called_aetitle is 'The AE title it was addressed to, by the series recorded first.';
comment on column audit.study.calling_aetitle is 'The AE title of its sender, by the series recorded first.';
comment on column audit.study.on_disk is 'Whether its files were there when last looked at.';
comment on column audit.study.in_redcap is 'Whether its row has been written to REDCap.';
comment on column audit.study.projects is 'The projects that it was requested for, whatever became of that.';
comment on column audit.study.requested is 'How many transfer requests this system made for it; see audit.transfer.';
comment on column audit.study.placed is 'How many of them stand in REDCap, for the sender to act upon or done.';
comment on column audit.study.pending is 'How many wait to be written to REDCap, or to be withdrawn there.';
comment on column audit.study.known_sent is
    'How many are known to have been sent. The ledger learns that only of requests that are replaced or withdrawn; '
    'for all others, REDCap''s transfer_date tells.';
comment on column audit.study.held_reason is 'Why it waits for a generated ID; empty where it does not.';
"""

# `life` is what the study's stream says about this very request: one walk through the stream, by the
# index on (stream, version). Numbers in JSON are compared as text: the planner may look at `data`
# before `type`, and what other types keep under these keys need not be a number.
TRANSFER = f"""
create view audit.transfer as
    select transfer.position, event.recorded_at as requested_at, event.site, transfer.study, transfer.project,
           transfer.event_name, transfer.cause_kind, transfer.cause_record, transfer.cause_position,
           (({_shown("cause")})::jsonb - 'fingerprint')::json as cause_content,
           transfer.whole_match, event.run as requested_run, transfer.state,
           transfer.placed_at, life.placed_run, transfer.instance, life.found,
           nullif(transfer.replaces, '{{}}') as replaces, life.amends, life.amended_by,
           replacement.position as replaced_by, replacing.recorded_at as replaced_at,
           life.retracted_at, life.retraction_reason, life.sent
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
      left join ledger.event as replacing on replacing.position = replacement.position;
comment on view audit.transfer is
    'Each transfer request of this system: for which study and project, why, when and by which run, and what '
    'became of it. Pseudonyms are not shown.';
comment on column audit.transfer.position is 'The position of the request''s event, by which other rows name it.';
comment on column audit.transfer.requested_at is 'When it was decided and recorded.';
comment on column audit.transfer.site is 'The site that decided it.';
comment on column audit.transfer.study is 'The StudyInstanceUID.';
comment on column audit.transfer.project is 'The research project that the study is to go to.';
comment on column audit.transfer.event_name is 'The project''s event, such as a visit; blank where it has none.';
comment on column audit.transfer.cause_kind is
    'Why: a routing rule (rule), an entry of the coupling list (coupling) or a generated ID (autoid).';
comment on column audit.transfer.cause_record is 'Why: the record id in REDCap of that rule, entry or AutoID entry.';
comment on column audit.transfer.cause_position is
    'Why: the position of the event that holds what the rule, entry or ID said when this was decided.';
comment on column audit.transfer.cause_content is
    'Why: what that event says, without sealed values and the patterns of rules.';
comment on column audit.transfer.whole_match is
    'Whether the rule''s pattern matched all of the text that became the pseudonym, or only its start; true '
    'where no rule was the cause.';
comment on column audit.transfer.requested_run is 'The run that decided it; see audit.run.';
comment on column audit.transfer.state is
    'requested (waits to be written), placed (stands in REDCap), contested (a person asked for something else), '
    'replaced, retracting (waits to be withdrawn) or retracted.';
comment on column audit.transfer.placed_at is 'When it was found to stand in REDCap, written or met there.';
comment on column audit.transfer.placed_run is 'The run that placed it.';
comment on column audit.transfer.instance is 'The repeat instance of its row in REDCap''s transfers.';
comment on column audit.transfer.found is
    'Whether REDCap held a row that asked for the same already, so that none was written.';
comment on column audit.transfer.replaces is 'The earlier requests in whose place it was made, by position.';
comment on column audit.transfer.amends is 'The earlier request whose row in REDCap it was written over, by position.';
comment on column audit.transfer.amended_by is 'The later request that was written over its row, by position.';
comment on column audit.transfer.replaced_by is 'The request that was made in its place, by position.';
comment on column audit.transfer.replaced_at is 'When that was requested.';
comment on column audit.transfer.retracted_at is 'When it was decided to withdraw it.';
comment on column audit.transfer.retraction_reason is 'Why it was withdrawn.';
comment on column audit.transfer.sent is
    'Whether it had been sent when its row was to be replaced or withdrawn; empty where the ledger has not looked.';
"""

GENERATED_ID = """
create view audit.generated_id as
    select used.position, event.recorded_at as drawn_at, used.project,
           case when used.kind <> 'reserved' then used.value end as id,
           used.kind, used.pattern, used.record_id as autoid_record, event.site, event.run
      from gateway.used_id as used
      left join ledger.event on event.position = used.position;
comment on view audit.generated_id is
    'Every ID in use in a project: drawn here, found in REDCap''s AutoID, or reserved because a request of '
    'somebody else carries it.';
comment on column audit.generated_id.position is 'The position of the event that says so.';
comment on column audit.generated_id.drawn_at is 'When it was drawn; for the other kinds, when it was found.';
comment on column audit.generated_id.project is 'The research project.';
comment on column audit.generated_id.id is
    'The ID. Not shown for reserved ones: a name that others gave may be a patient''s ID.';
comment on column audit.generated_id.kind is 'generated (drawn here), adopted (found in AutoID) or reserved.';
comment on column audit.generated_id.pattern is 'The pattern that it was drawn from; empty where not drawn here.';
comment on column audit.generated_id.autoid_record is
    'The record of REDCap''s AutoID that holds it; empty as long as none does.';
comment on column audit.generated_id.site is 'The site whose run recorded it.';
comment on column audit.generated_id.run is 'The run that recorded it; see audit.run.';
"""

# A day begins and ends where the session's time zone has midnight, so a day cannot be part of an
# index. Hence the calendar: each day becomes a range of times, which the index by time answers.
_CALENDAR = """
    select day::date as day, day::timestamptz as begins, (day + interval '1 day')::timestamptz as ends
      from generate_series((select min(recorded_at) from ledger.event)::date::timestamp,
                           (select max(recorded_at) from ledger.event)::date::timestamp,
                           interval '1 day') as day
"""

RULE_HIT = f"""
create view audit.rule_hit as
    select calendar.day, hits.site, hits.rule, hits.project, hits.requests, hits.studies, hits.partial_matches
      from ({_CALENDAR}) as calendar
     cross join lateral (
           select event.site, transfer.cause_record as rule, transfer.project, count(*) as requests,
                  count(distinct transfer.study) as studies,
                  count(*) filter (where not transfer.whole_match) as partial_matches
             from ledger.event
             join gateway.transfer on transfer.position = event.position
            where event.recorded_at >= calendar.begins and event.recorded_at < calendar.ends
              and event.type = 'TransferRequested' and transfer.cause_kind = 'rule'
            group by event.site, transfer.cause_record, transfer.project
           ) as hits;
comment on view audit.rule_hit is 'How many transfers each routing rule led to, a row for each rule, project and day.';
comment on column audit.rule_hit.day is 'The day, in the time zone of the session.';
comment on column audit.rule_hit.site is 'The site.';
comment on column audit.rule_hit.rule is 'The record id of the rule in REDCap.';
comment on column audit.rule_hit.project is 'The project that it directed to on that day.';
comment on column audit.rule_hit.requests is 'How many transfers were requested because of it.';
comment on column audit.rule_hit.studies is 'For how many studies.';
comment on column audit.rule_hit.partial_matches is
    'For how many of the requests its pattern matched only the start of the text.';
"""

REJECTED_FILE = """
create view audit.rejected_file as
    select rejected.position, rejected.recorded_at as rejected_at, rejected.site,
           split_part(rejected.data ->> 'path', '/', 1) as study,
           rejected.data ->> 'path' as path, rejected.data ->> 'reason' as reason,
           following.recorded_at as ended_at,
           case when following.type = 'FileRejected' then 'rejected again'
                else following.data ->> 'how' end as ended_how,
           following.position is null as open
      from ledger.event as rejected
      left join ledger.event as following
        on following.stream = rejected.stream and following.version = rejected.version + 1
     where rejected.type = 'FileRejected';
comment on view audit.rejected_file is
    'Each time that a file could not be used, with the reason, and how it ended; a file that changes and still '
    'cannot be used has a row for each content.';
comment on column audit.rejected_file.position is 'The position of the event that says so.';
comment on column audit.rejected_file.rejected_at is 'When it was read and rejected.';
comment on column audit.rejected_file.site is 'The site.';
comment on column audit.rejected_file.study is 'The name of its folder, which is the StudyInstanceUID if all is well.';
comment on column audit.rejected_file.path is 'The file, below the raw folder.';
comment on column audit.rejected_file.reason is 'What was expected and what was found.';
comment on column audit.rejected_file.ended_at is 'When that was over.';
comment on column audit.rejected_file.ended_how is
    'How: readable (it has been mended), gone (it was removed) or rejected again (for its next content).';
comment on column audit.rejected_file.open is 'Whether it stands rejected now.';
"""

HELD_STUDY = """
create view audit.held_study as
    select held.position, held.recorded_at as held_at, held.site, study.study,
           held.data ->> 'project' as project, held.data ->> 'reason' as reason,
           following.recorded_at as ended_at,
           case following.type when 'StudyReleased' then 'released' when 'StudyHeld' then 'held again'
           end as ended_how,
           following.type is null as open
      from ledger.event as held
      left join gateway.study on held.stream = 'study/' || study.study
      left join lateral (
           select later.type, later.recorded_at from ledger.event as later
            where later.stream = held.stream and later.version > held.version
              and later.type in ('StudyHeld', 'StudyReleased')
            order by later.version limit 1
           ) as following on true
     where held.type = 'StudyHeld';
comment on view audit.held_study is
    'Each time that a study should have got a generated ID and could not, with the reason, and how it ended.';
comment on column audit.held_study.position is 'The position of the event that says so.';
comment on column audit.held_study.held_at is 'When that was found.';
comment on column audit.held_study.site is 'The site.';
comment on column audit.held_study.study is 'The StudyInstanceUID.';
comment on column audit.held_study.project is 'The project that would have given the ID.';
comment on column audit.held_study.reason is 'Why it got none.';
comment on column audit.held_study.ended_at is 'When that was over.';
comment on column audit.held_study.ended_how is
    'How: released, or held again (looked at anew in vain; the next row has the reason).';
comment on column audit.held_study.open is 'Whether it is held for this reason now.';
"""

CONFLICT = """
create view audit.conflict as
    select found.position, found.recorded_at as found_at, found.site, study.study,
           found.data ->> 'project' as project, found.data ->> 'event_name' as event_name,
           found.data ->> 'kind' as kind, found.data -> 'causes' as causes,
           (found.data ->> 'request')::bigint as request, found.run as found_run,
           following.recorded_at as ended_at,
           case following.type when 'ConflictResolved' then 'resolved' when 'ConflictFound' then 'changed'
           end as ended_how,
           following.run as ended_run, following.type is null as open
      from ledger.event as found
      left join gateway.study on found.stream = 'study/' || study.study
      left join lateral (
           select later.type, later.recorded_at, later.run from ledger.event as later
            where later.stream = found.stream and later.version > found.version
              and later.type in ('ConflictFound', 'ConflictResolved')
              and later.data ->> 'project' = found.data ->> 'project'
              and later.data ->> 'event_name' = found.data ->> 'event_name'
            order by later.version limit 1
           ) as following on true
     where found.type = 'ConflictFound';
comment on view audit.conflict is
    'Each conflict about which pseudonym a study should get in a project, open or past: when it was found, what '
    'caused it, when it was resolved.';
comment on column audit.conflict.position is 'The position of the event that says so.';
comment on column audit.conflict.found_at is 'When it was found.';
comment on column audit.conflict.site is 'The site.';
comment on column audit.conflict.study is 'The StudyInstanceUID.';
comment on column audit.conflict.project is 'The project that the study was to go to.';
comment on column audit.conflict.event_name is 'The project''s event; blank where it has none.';
comment on column audit.conflict.kind is
    'equals (two rules, or two coupling entries, contradict each other: nothing is requested), person (somebody '
    'requested another pseudonym in REDCap: theirs stands) or coupling stands (a rule contradicts what the coupling '
    'list asked for before).';
comment on column audit.conflict.causes is
    'The rules and entries involved: kind, record_id, and the position of the event with what each said.';
comment on column audit.conflict.request is 'The request of ours that is contested, by position; see audit.transfer.';
comment on column audit.conflict.found_run is 'The run that found it.';
comment on column audit.conflict.ended_at is 'When it was over.';
comment on column audit.conflict.ended_how is 'How: resolved, or changed (the next row says into what).';
comment on column audit.conflict.ended_run is 'The run that found it over.';
comment on column audit.conflict.open is 'Whether it is unresolved now.';
"""

REFUSED_ROW = """
create view audit.refused_row as
    select refused.position, refused.recorded_at as refused_at, refused.site, study.study,
           refused.data ->> 'kind' as kind, refused.data ->> 'key' as key,
           (refused.data ->> 'row_position')::bigint as row_position,
           refused.data ->> 'field' as field, refused.data ->> 'message' as message,
           following.recorded_at as ended_at,
           case following.type when 'RowAccepted' then 'accepted' when 'RowRefused' then 'refused again'
                when 'TransferPlaced' then 'placed' when 'TransferRetracted' then 'retracted'
                when 'TransferRequested' then 'replaced' end as ended_how,
           following.type is null as open
      from ledger.event as refused
      left join gateway.study on refused.stream = 'study/' || study.study
      left join lateral (
           select later.type, later.recorded_at from ledger.event as later
            where later.stream = refused.stream and later.version > refused.version
              and case
                  when later.type in ('RowAccepted', 'RowRefused') then
                       later.data ->> 'kind' = refused.data ->> 'kind'
                       and later.data ->> 'key' = refused.data ->> 'key'
                  when later.type in ('TransferPlaced', 'TransferRetracted') then
                       refused.data ->> 'kind' = 'transfer'
                       and later.data ->> 'request' = refused.data ->> 'key'
                  when later.type = 'TransferRequested' then
                       refused.data ->> 'kind' = 'transfer'
                       and refused.data ->> 'key' in (select json_array_elements_text(later.data -> 'replaces'))
                  end
            order by later.version limit 1
           ) as following on true
     where refused.type = 'RowRefused';
comment on view audit.refused_row is
    'Each time that REDCap refused a row, with its words, and how it ended.';
comment on column audit.refused_row.position is 'The position of the event that says so.';
comment on column audit.refused_row.refused_at is 'When REDCap refused it.';
comment on column audit.refused_row.site is 'The site.';
comment on column audit.refused_row.study is 'The StudyInstanceUID.';
comment on column audit.refused_row.kind is 'Which row: study, series or transfer.';
comment on column audit.refused_row.key is
    'Which one: the SeriesInstanceUID, or the position of the transfer request; blank for the study''s own row.';
comment on column audit.refused_row.row_position is 'The position of the event that the row was made from.';
comment on column audit.refused_row.field is 'The field that REDCap complained about; blank where it named none.';
comment on column audit.refused_row.message is 'REDCap''s words, without values.';
comment on column audit.refused_row.ended_at is 'When that was over.';
comment on column audit.refused_row.ended_how is
    'How: accepted (it went through), refused again, or for a transfer placed (it stood there already), retracted or '
    'replaced.';
comment on column audit.refused_row.open is 'Whether the row is missing from REDCap for this reason now.';
"""

RUN = """
create view audit.run as
    select run.run, run.started_at, run.finished_at, run.site, run.command, run.exit_code,
           case when run.finished_at is null then 'under way or killed'
                when run.exit_code = 0 then 'done'
                when run.exit_code = 1 then 'done, something needs attention'
                when run.exit_code = 2 then 'ended: usage or configuration'
                when run.exit_code = 3 then 'ended: a service failed'
                when run.exit_code = 4 then 'ended: the ledger failed verification'
                else 'ended with ' || run.exit_code end as outcome,
           (run.summary ->> 'events')::bigint as events, (run.summary ->> 'calls')::bigint as calls,
           run.summary
      from gateway.run;
comment on view audit.run is
    'Each run of the periodic job. Runs that recorded nothing are forgotten after a month.';
comment on column audit.run.run is 'Its id, which stands in all events that it recorded.';
comment on column audit.run.started_at is 'When it began.';
comment on column audit.run.finished_at is 'When it ended; empty while it is under way, and for ever if it was killed.';
comment on column audit.run.site is 'The site.';
comment on column audit.run.command is 'The command that was started.';
comment on column audit.run.exit_code is 'What it ended with.';
comment on column audit.run.outcome is 'What that means.';
comment on column audit.run.events is 'How many events were appended meanwhile.';
comment on column audit.run.calls is 'How many calls to REDCap it made.';
comment on column audit.run.summary is 'What it came to, part by part, as JSON.';
"""

ATTENTION = """
comment on column audit.attention.kind is 'What is wrong, in a few words.';
comment on column audit.attention.position is
    'The position of the event that says so; notices are acknowledged by it.';
comment on column audit.attention.study is 'The StudyInstanceUID, where one study is concerned.';
comment on column audit.attention.project is 'The project, where one is concerned.';
comment on column audit.attention.subject is
    'What it is about: a file, an event''s name, a record id, a row; empty where study and project say it all.';
comment on column audit.attention.details is 'What was found.';
comment on column audit.attention.advice is 'What to do.';
"""

DAILY_VOLUME = f"""
create view audit.daily_volume as
    select calendar.day, volume.*
      from ({_CALENDAR}) as calendar
     cross join lateral (
           select event.site, count(*) as events,
                  count(*) filter (where event.type = 'SeriesDiscovered' and event.version = 1) as studies,
                  count(*) filter (where event.type = 'SeriesDiscovered') as series,
                  count(*) filter (where event.type = 'TransferRequested') as transfers_requested,
                  count(*) filter (where event.type in ('TransferPlaced', 'TransferAmended')) as transfers_placed,
                  count(*) filter (where event.type = 'FileRejected') as rejected_files,
                  count(*) filter (where event.type = 'IdGenerated') as ids_drawn
             from ledger.event
            where event.recorded_at >= calendar.begins and event.recorded_at < calendar.ends
            group by event.site
           ) as volume;
comment on view audit.daily_volume is 'How much was recorded, a row for each site and day on which anything was.';
comment on column audit.daily_volume.day is 'The day, in the time zone of the session.';
comment on column audit.daily_volume.site is 'The site.';
comment on column audit.daily_volume.events is 'Events of all types.';
comment on column audit.daily_volume.studies is 'Studies that arrived: whose first series was recorded.';
comment on column audit.daily_volume.series is 'Series that arrived.';
comment on column audit.daily_volume.transfers_requested is 'Transfers that this system requested.';
comment on column audit.daily_volume.transfers_placed is 'Transfers that were written to REDCap or found there.';
comment on column audit.daily_volume.rejected_files is 'Files that could not be used.';
comment on column audit.daily_volume.ids_drawn is 'IDs that were drawn.';
"""


def upgrade() -> None:
    """Makes the views of the schema audit and their indexes."""
    op.execute(INDEXES)
    views = (EVENT, STUDY, TRANSFER, GENERATED_ID, RULE_HIT, REJECTED_FILE, HELD_STUDY, CONFLICT, REFUSED_ROW, RUN)
    for view in (*views, ATTENTION, DAILY_VOLUME):
        op.execute(view)

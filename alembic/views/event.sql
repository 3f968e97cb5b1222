-- The whole ledger in order, without what is sealed.
--
-- No view shows what identifies a person. Beside the sealed parts of events, which no view touches, the patterns of
-- routing rules are withheld, here and in audit.transfer: one may be nothing but a patient's ID or name written out.
create view audit.event as
    select event.position, event.recorded_at, event.site, event.run, run.command, event.stream, event.version,
           event.type, study.study, event.data ->> 'project' as project,
           event.data -> 'cause' ->> 'kind' as cause_kind,
           event.data -> 'cause' ->> 'record_id' as cause_record,
           (event.data -> 'cause' ->> 'position')::bigint as cause_position,
           event.sealed is not null as sealed,
           case when event.type = 'RoutingRuleChanged' then
                     (event.data::jsonb - 'patient_id_pattern' - 'patient_name_pattern')::json
                else event.data
           end as data
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
comment on column audit.event.cause_kind is
    'Why: rule, coupling, autoid or operator (by hand); empty where an event has no such cause.';
comment on column audit.event.cause_record is
    'Why: the record id in REDCap of the rule, entry or ID; by hand, the operator''s account.';
comment on column audit.event.cause_position is 'Why: the position of the event that holds what the cause said then.';
comment on column audit.event.sealed is 'Whether it has a sealed part, which only the master key opens.';
comment on column audit.event.data is
    'What it says, as JSON; without sealed values and the patterns of routing rules.';

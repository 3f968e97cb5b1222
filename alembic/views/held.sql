-- Requests that wait for a person, with the reason, and how it ended.
create view audit.held as
    select held.position, held.recorded_at as held_at, held.site, study.study,
           held.data ->> 'project' as project, held.data ->> 'event_name' as event_name,
           held.data ->> 'kind' as kind, nullif(held.data ->> 'details', '') as details,
           (select array_agg(other) from json_array_elements_text(held.data -> 'studies') as other) as other_studies,
           held.data -> 'cause' ->> 'kind' as cause_kind, held.data -> 'cause' ->> 'record_id' as cause_record,
           (held.data -> 'cause' ->> 'position')::bigint as cause_position,
           held.run as held_run, following.recorded_at as ended_at,
           case following.type when 'RequestReleased' then 'released' when 'RequestHeld' then 'held again'
           end as ended_how,
           following.run as ended_run, following.type is null as open
      from ledger.event as held
      left join gateway.study on held.stream = 'study/' || study.study
      left join lateral (
           select later.type, later.recorded_at, later.run from ledger.event as later
            where later.stream = held.stream and later.version > held.version
              and later.type in ('RequestHeld', 'RequestReleased')
              and later.data ->> 'project' = held.data ->> 'project'
              and later.data ->> 'event_name' = held.data ->> 'event_name'
            order by later.version limit 1
           ) as following on true
     where held.type = 'RequestHeld';

comment on view audit.held is
    'Each time that something was asked for and not requested, because a person has to look at it first: the reason, '
    'and how it ended.';
comment on column audit.held.position is 'The position of the event that says so.';
comment on column audit.held.held_at is 'When it was first held for this reason.';
comment on column audit.held.site is 'The site.';
comment on column audit.held.study is 'The StudyInstanceUID.';
comment on column audit.held.project is 'The project that was asked for.';
comment on column audit.held.event_name is 'The project''s event; blank where it has none.';
comment on column audit.held.kind is 'The reason, in the words of audit.attention.';
comment on column audit.held.details is 'What is wrong; pseudonyms are not shown.';
comment on column audit.held.other_studies is 'The other studies that are concerned.';
comment on column audit.held.cause_kind is 'What asked for it: rule, coupling, autoid or operator.';
comment on column audit.held.cause_record is 'Its record id in REDCap; by hand, the operator''s account.';
comment on column audit.held.cause_position is 'The event that holds what it said then.';
comment on column audit.held.held_run is 'The run that held it.';
comment on column audit.held.ended_at is 'When that was over.';
comment on column audit.held.ended_how is
    'How: released (requested, or asked for no longer), or held again (for another reason; the next row has it).';
comment on column audit.held.ended_run is 'The run that found it over.';
comment on column audit.held.open is 'Whether it is held for this reason now.';

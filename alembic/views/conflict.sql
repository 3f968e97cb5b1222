-- Which pseudonyms contradicted each other, and how that ended.
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

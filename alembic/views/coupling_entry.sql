-- What each entry of the coupling list said on any day.
create view audit.coupling_entry as
    select changed.position, changed.recorded_at as valid_from, changed.site, changed.data ->> 'record_id' as record_id,
           changed.data ->> 'project' as project, changed.data ->> 'event_name' as event_name,
           nullif(changed.data ->> 'study', '') as study,
           changed.data ->> 'accession' <> '' as names_accession_number,
           nullif(changed.data ->> 'date', '') as dated,
           (select array_agg(problem) from json_array_elements_text(changed.data -> 'problems') as problem) as problems,
           following.recorded_at as valid_to,
           case following.type when 'CouplingEntryChanged' then 'changed' when 'CouplingEntryRemoved' then 'removed'
           end as ended_how,
           following.position as ended_position, following.type is null as in_force
      from ledger.event as changed
      left join lateral (
           select later.type, later.recorded_at, later.position from ledger.event as later
            where later.stream = changed.stream and later.version > changed.version
              and later.type in ('CouplingEntryChanged', 'CouplingEntryRemoved')
            order by later.version limit 1
           ) as following on true
     where changed.type = 'CouplingEntryChanged';

comment on view audit.coupling_entry is
    'Each text that an entry of the coupling list has had, from when to when: what was in force on any day. Pseudonyms and '
    'accession numbers are not shown.';
comment on column audit.coupling_entry.position is 'The position of the event that holds it.';
comment on column audit.coupling_entry.valid_from is 'When a run first read it in REDCap.';
comment on column audit.coupling_entry.site is 'The site whose run read it.';
comment on column audit.coupling_entry.record_id is 'The entry''s record id in REDCap.';
comment on column audit.coupling_entry.project is 'The project that it asks for.';
comment on column audit.coupling_entry.event_name is 'The project''s event; blank where it has none.';
comment on column audit.coupling_entry.study is 'The StudyInstanceUID that it names.';
comment on column audit.coupling_entry.names_accession_number is
    'Whether it names an accession number, which is sealed.';
comment on column audit.coupling_entry.dated is 'The date that whoever wrote it gave it, as text.';
comment on column audit.coupling_entry.problems is 'What keeps it from being used.';
comment on column audit.coupling_entry.valid_to is 'When a run found it changed or gone.';
comment on column audit.coupling_entry.ended_how is 'How it ended: changed, or removed.';
comment on column audit.coupling_entry.ended_position is 'The position of the event that says so.';
comment on column audit.coupling_entry.in_force is 'Whether it reads so now, as far as the ledger knows.';

-- What the list of projects said of each on any day.
create view audit.project as
    select changed.position, changed.recorded_at as valid_from, changed.site, changed.data ->> 'record_id' as record_id,
           changed.data ->> 'project' as project, nullif(changed.data ->> 'closed_by', '') as closed_by,
           nullif(changed.data ->> 'starts', '')::date as approved_from,
           nullif(changed.data ->> 'ends', '')::date as approved_to,
           (changed.data ->> 'wanted')::boolean as wants_ids, nullif(changed.data ->> 'aetitle', '') as aetitle,
           nullif(changed.data ->> 'pattern', '') as pattern,
           (select array_agg(problem) from json_array_elements_text(changed.data -> 'problems') as problem) as problems,
           following.recorded_at as valid_to,
           case following.type when 'AutoidProjectChanged' then 'changed' when 'AutoidProjectRemoved' then 'removed'
           end as ended_how,
           following.position as ended_position, following.type is null as in_force
      from ledger.event as changed
      left join lateral (
           select later.type, later.recorded_at, later.position from ledger.event as later
            where later.stream = changed.stream and later.version > changed.version
              and later.type in ('AutoidProjectChanged', 'AutoidProjectRemoved')
            order by later.version limit 1
           ) as following on true
     where changed.type = 'AutoidProjectChanged';

comment on view audit.project is
    'What REDCap''s list said of each project, from when to when: whether it was open, and its IDs.';
comment on column audit.project.position is 'The position of the event that holds it.';
comment on column audit.project.valid_from is 'When a run first read it in REDCap.';
comment on column audit.project.site is 'The site whose run read it.';
comment on column audit.project.record_id is 'The project''s record id in the list.';
comment on column audit.project.project is 'Its name.';
comment on column audit.project.closed_by is 'What closed it, in words, whatever the day.';
comment on column audit.project.approved_from is 'The first day of its approval.';
comment on column audit.project.approved_to is 'The last day of its approval.';
comment on column audit.project.wants_ids is 'Whether it wanted IDs to be drawn.';
comment on column audit.project.aetitle is 'The AE title of the studies that were to get them.';
comment on column audit.project.pattern is 'The naming pattern of its IDs.';
comment on column audit.project.problems is 'What kept IDs from being drawn.';
comment on column audit.project.valid_to is 'When a run found it changed or gone.';
comment on column audit.project.ended_how is 'How it ended: changed, or removed.';
comment on column audit.project.ended_position is 'The position of the event that says so.';
comment on column audit.project.in_force is 'Whether the list says so now, as far as the ledger knows.';

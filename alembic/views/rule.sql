-- What each routing rule said on any day.
create view audit.rule as
    select changed.position, changed.recorded_at as valid_from, changed.site, changed.data ->> 'record_id' as record_id,
           (changed.data ->> 'active')::boolean as active, changed.data ->> 'project' as project,
           changed.data ->> 'event_name' as event_name,
           nullif(changed.data ->> 'called', '') as called, nullif(changed.data ->> 'calling', '') as calling,
           changed.data ->> 'patient_id_pattern' <> '' as asks_for_patient_id,
           changed.data ->> 'patient_name_pattern' <> '' as asks_for_patient_name,
           (select array_agg(problem) from json_array_elements_text(changed.data -> 'problems') as problem) as problems,
           following.recorded_at as valid_to,
           case following.type when 'RoutingRuleChanged' then 'changed' when 'RoutingRuleRemoved' then 'removed'
           end as ended_how,
           following.position as ended_position, following.type is null as in_force
      from ledger.event as changed
      left join lateral (
           select later.type, later.recorded_at, later.position from ledger.event as later
            where later.stream = changed.stream and later.version > changed.version
              and later.type in ('RoutingRuleChanged', 'RoutingRuleRemoved')
            order by later.version limit 1
           ) as following on true
     where changed.type = 'RoutingRuleChanged';

comment on view audit.rule is
    'Each text that a routing rule has had, from when to when: what was in force on any day. Patterns are not shown.';
comment on column audit.rule.position is 'The position of the event that holds it.';
comment on column audit.rule.valid_from is 'When a run first read it in REDCap.';
comment on column audit.rule.site is 'The site whose run read it.';
comment on column audit.rule.record_id is 'The rule''s record id in REDCap.';
comment on column audit.rule.active is 'Whether it was switched on.';
comment on column audit.rule.project is 'The project that it directs to.';
comment on column audit.rule.event_name is 'The project''s event; blank where it has none.';
comment on column audit.rule.called is 'The pattern for the AE title that a study was sent to.';
comment on column audit.rule.calling is 'The pattern for the AE title that it came from.';
comment on column audit.rule.asks_for_patient_id is
    'Whether it has a pattern for the PatientID; the pattern may spell one out, and is not shown.';
comment on column audit.rule.asks_for_patient_name is
    'Whether it has a pattern for the PatientName; the pattern may spell one out, and is not shown.';
comment on column audit.rule.problems is 'What keeps it from being used.';
comment on column audit.rule.valid_to is 'When a run found it changed or gone.';
comment on column audit.rule.ended_how is 'How it ended: changed, or removed.';
comment on column audit.rule.ended_position is 'The position of the event that says so.';
comment on column audit.rule.in_force is 'Whether it reads so now, as far as the ledger knows.';

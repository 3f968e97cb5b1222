-- What the coupling list asked for and has not arrived.
create view audit.expected as
    select missing.position, missing.recorded_at as told_at, missing.site, missing.data ->> 'record_id' as record_id,
           asks.data ->> 'project' as project, nullif(asks.data ->> 'study', '') as study,
           asks.position as asked_position, asks.recorded_at as asked_at,
           missing.data -> 'near' as near, following.recorded_at as ended_at,
           case following.type when 'ExpectedStudyMissing' then 'told again'
                               when 'ExpectedStudyArrived' then 'arrived'
                               when 'ExpectedStudyNeverCame' then 'entry removed'
                               when 'ExpectedStudyDismissed' then 'acknowledged'
                               when 'CouplingEntryChanged' then 'entry changed' end as ended_how,
           following.type is null as open
      from ledger.event as missing
      join ledger.event as asks on asks.position = (missing.data ->> 'asked')::bigint
      left join lateral (
           (select later.type, later.recorded_at, later.position from ledger.event as later
             where later.stream = missing.stream and later.version > missing.version
               and later.data ->> 'asked' = missing.data ->> 'asked'
             order by later.version limit 1)
            union all
           (select changed.type, changed.recorded_at, changed.position
              from gateway.coupling_entry as entry join ledger.event as changed on changed.position = entry.asks_position
             where entry.record_id = missing.data ->> 'record_id' and entry.asks_position <> asks.position
               and missing.type = 'ExpectedStudyMissing')
            order by position limit 1
           ) as following on true
     where missing.type in ('ExpectedStudyMissing', 'ExpectedStudyNeverCame');

comment on view audit.expected is
    'Each time that a coupling entry had met no study for days, or was removed without having met one, and how it ended.';
comment on column audit.expected.position is 'The position of the event that says so.';
comment on column audit.expected.told_at is 'When that was noticed.';
comment on column audit.expected.site is 'The site whose run noticed it.';
comment on column audit.expected.record_id is 'The entry''s record id in the coupling list.';
comment on column audit.expected.project is 'The project that the study is to go to.';
comment on column audit.expected.study is 'The StudyInstanceUID that the entry names.';
comment on column audit.expected.asked_position is 'The position of the event since which the entry asks for it.';
comment on column audit.expected.asked_at is 'When that was.';
comment on column audit.expected.near is 'Studies that nearly match, as JSON: what keeps each from matching, by StudyInstanceUID.';
comment on column audit.expected.ended_at is 'When that was over, or told again.';
comment on column audit.expected.ended_how is
    'How: arrived, entry removed, entry changed, acknowledged, or told again (other studies nearly match; the next row has them).';
comment on column audit.expected.open is 'Whether it is so now.';

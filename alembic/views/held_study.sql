-- Studies that should have got a generated ID and could not.
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

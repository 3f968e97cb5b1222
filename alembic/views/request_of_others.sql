-- What others requested in REDCap: as looks at `transfers` found it, or as it stood there before this system.
--
-- What answers a request of ours (`found`) is told by audit.transfer, until that has been withdrawn. What the sender told
-- of ours meanwhile (`mine`) is told of the row, too, then. One that is known to be gone since asks for nothing.
create view audit.request_of_others as
    with stood as (
         select told.request as position, null::timestamptz as placed_at, study, project, event_name, instance
           from gateway.outcome as told left join ledger.event as noticed on noticed.position = told.request
          where not told.ours
            -- A row without a name asks for nothing.
            and (noticed.type <> 'TransferObserved' or noticed.data ->> 'name_fingerprint' is not null
                 or told.sends > 0 or told.state = 'failed')
         union all
         select position, null::timestamptz, study, project, event_name, instance from gateway.adopted_transfer as adopted
          where not exists (select from gateway.outcome as told
                             where told.study = adopted.study and told.instance = adopted.instance and not told.ours)
         union all
         select position, placed_at, study, project, event_name, instance from gateway.transfer as answered
          where found and state in ('withdrawn', 'closed')
            and not exists (select from gateway.outcome as told
                             where told.study = answered.study and told.instance = answered.instance and not told.ours)
            and not exists (select from gateway.adopted_transfer as adopted
                             where adopted.study = answered.study and adopted.instance = answered.instance)
         )
    select stood.position, coalesce(stood.placed_at, noticed.recorded_at) as noticed_at, noticed.site, stood.study,
           stood.project, stood.event_name, stood.instance, adopted.study is not null as adopted,
           adopted.requested as requested_on,
           greatest((select count(distinct sent_at) from unnest(theirs.sent_dates || mine.sent_dates) as sent_at)::integer,
                    adopted.sent::integer) as sends,
           coalesce(theirs.first_sent_at, mine.first_sent_at) as first_sent_at,
           coalesce(mine.sent_dates[cardinality(mine.sent_dates)],
                    theirs.sent_dates[cardinality(theirs.sent_dates)]) as sent_at,
           case when told.state = 'failed' then told.sent_at end as tried_at,
           nullif(theirs.mapped_uids || array(select uid from unnest(mine.mapped_uids) with ordinality as of (uid, place)
                                               where uid <> all(coalesce(theirs.mapped_uids, '{}')) order by place),
                  '{}') as mapped_uids,
           coalesce(told.state = 'failed', false) as failed, told.failure, nullif(told.errors, '{}') as errors,
           case when told.state in ('sent', 'failed') then told.at end as reported_at
      from stood
      left join ledger.event as noticed on noticed.position = stood.position
      left join gateway.adopted_transfer as adopted
        on adopted.study = stood.study and adopted.instance = stood.instance
      left join gateway.outcome as theirs on theirs.request = stood.position and not theirs.ours
      left join lateral (
           select told.* from gateway.transfer as answered
             join gateway.outcome as told on told.ours and told.request = answered.position
            where answered.study = stood.study and answered.instance = stood.instance and answered.found
              and (answered.project, answered.event_name) = (stood.project, stood.event_name)
              and told.position > stood.position and told.sends > 0
            order by told.position desc limit 1) as mine on true
      left join gateway.outcome as told
        on told.request = coalesce(mine.request, theirs.request) and told.ours = (mine.request is not null)
     where not exists (
           select from gateway.transfer as answered
             left join gateway.missing_row as missing
               on missing.study = answered.study and missing.kind = 'transfer'
              and missing.key = answered.position::text
            where answered.study = stood.study and answered.instance = stood.instance and answered.found
              and (answered.state in ('placed', 'ending') and missing.position is null
                   or missing.position > stood.position and mine.request is null
                      and coalesce(theirs.sends, 0) = 0 and adopted.sent is not true));

comment on view audit.request_of_others is
    'Each transfer request that others made in REDCap, people or programs, and what became of it; also what stood there '
    'before this system. Pseudonyms are not shown.';
comment on column audit.request_of_others.position is 'The position of the first event about it.';
comment on column audit.request_of_others.noticed_at is 'When it was noticed.';
comment on column audit.request_of_others.site is 'The site that noticed it.';
comment on column audit.request_of_others.study is 'The StudyInstanceUID; the study may never have arrived here.';
comment on column audit.request_of_others.project is 'The research project that the study is to go to.';
comment on column audit.request_of_others.event_name is
    'The project''s event, such as a visit; blank where it has none.';
comment on column audit.request_of_others.instance is 'The repeat instance of its row in REDCap''s transfers.';
comment on column audit.request_of_others.adopted is 'Whether it stood in REDCap before this system.';
comment on column audit.request_of_others.requested_on is
    'When it was requested, as REDCap has it; known of those from before this system.';
comment on column audit.request_of_others.sends is
    'How often it was sent, as far as is known; of those from before this system, once at least.';
comment on column audit.request_of_others.first_sent_at is 'When it was first sent, as the sender wrote it in REDCap.';
comment on column audit.request_of_others.sent_at is 'When it was last sent, as the sender wrote it in REDCap.';
comment on column audit.request_of_others.tried_at is 'When it was tried, where the sender''s last attempt failed.';
comment on column audit.request_of_others.mapped_uids is 'The study UIDs under which it was sent.';
comment on column audit.request_of_others.failed is 'Whether the sender reports that it failed.';
comment on column audit.request_of_others.failure is 'Why it failed, as in audit.transfer.';
comment on column audit.request_of_others.errors is 'The codes that the sender ticked.';
comment on column audit.request_of_others.reported_at is 'When a run noticed what the sender reports.';

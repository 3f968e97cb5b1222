-- What others requested in REDCap: as looks at `transfers` found it, or as it stood there before this system.
--
-- What answers a request of ours (`found`) is told by audit.transfer, until that has been withdrawn.
create view audit.request_of_others as
    select told.request as position, noticed.recorded_at as noticed_at, noticed.site, told.study, told.project,
           told.event_name, told.instance, adopted.study is not null as adopted, adopted.requested as requested_on,
           greatest(told.sends, adopted.sent::integer) as sends, told.first_sent_at,
           told.sent_dates[cardinality(told.sent_dates)] as sent_at,
           case when told.state = 'failed' then told.sent_at end as tried_at,
           nullif(told.mapped_uids, '{}') as mapped_uids, told.state = 'failed' as failed, told.failure,
           nullif(told.errors, '{}') as errors,
           case when told.state in ('sent', 'failed') then told.at end as reported_at
      from gateway.outcome as told
      left join ledger.event as noticed on noticed.position = told.request
      left join gateway.adopted_transfer as adopted
        on adopted.study = told.study and adopted.instance = told.instance
     where not told.ours
       -- A row without a name asks for nothing.
       and (noticed.type <> 'TransferObserved' or noticed.data ->> 'name_fingerprint' is not null or told.sends > 0
            or told.state = 'failed')
       and not exists (select from gateway.transfer as answered
                        where answered.study = told.study and answered.instance = told.instance and answered.found
                          and answered.state in ('placed', 'ending', 'closed')
                          and not exists (select from gateway.missing_row as missing
                                           where missing.study = answered.study and missing.kind = 'transfer'
                                             and missing.key = answered.position::text))
    union all
    select adopted.position, noticed.recorded_at, noticed.site, adopted.study, adopted.project, adopted.event_name,
           adopted.instance, true, adopted.requested, adopted.sent::integer, null, null, null, null, false,
           null, null, null
      from gateway.adopted_transfer as adopted
      left join ledger.event as noticed on noticed.position = adopted.position
     where not exists (select from gateway.outcome as told
                        where told.study = adopted.study and told.instance = adopted.instance and not told.ours)
    union all
    select answered.position, answered.placed_at, noticed.site, answered.study, answered.project, answered.event_name,
           answered.instance, false, null, 0, null, null, null, null, false, null, null, null
      from gateway.transfer as answered
      left join ledger.event as noticed on noticed.position = answered.position
     where answered.found and answered.state = 'withdrawn'
       and not exists (select from gateway.outcome as told
                        where told.study = answered.study and told.instance = answered.instance and not told.ours);

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

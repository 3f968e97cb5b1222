-- What is left to do because a participant withdrew, and what was: as it was when somebody said that it is done.
create view audit.task as
    select done.position, found.recorded_at as since, withdrawn.study, withdrawn.project, done.instance, done.what,
           done.sent_at, done.mapped_uids, withdrawn.position as withdrawn_position,
           withdrew.recorded_at as withdrawn_at, done.recorded_at as done_at, done.by as done_by,
           done.reason as done_reason, false as open
      from gateway.withdrawn_study as withdrawn
      join ledger.event as withdrew on withdrew.position = withdrawn.position
      join lateral (
           select distinct on (told.position) event.recorded_at, told.*
             from ledger.event
            cross join lateral json_to_record(event.data) as told (
                  position bigint, project text, instance integer, what text, sent_at text, mapped_uids text[], by text,
                  reason text)
            where event.stream = 'study/' || withdrawn.study and event.type = 'TaskDone'
              and told.project = withdrawn.project
            order by told.position, event.version desc
           ) as done on true
      join ledger.event as found on found.position = done.position
    union all
    select sent.position, sent.at, withdrawn.study, withdrawn.project, sent.instance,
           case when sent.state = 'sent' or sent.sends > 0 then 'sent'
                when sent.state = 'possibly sent' then 'may have been sent'
                when sent.state = 'ending' then 'not ended yet, can be sent'
                else 'requested by others, can be sent' end,
           sent.sent_at, sent.mapped_uids, withdrawn.position, withdrew.recorded_at, null, null, null, true
      from gateway.withdrawn_study as withdrawn
      join ledger.event as withdrew on withdrew.position = withdrawn.position
      join lateral (
           select told.position, told.at, told.instance,
                  case when told.state in ('awaited', 'failed') and told.sends = 0 then transfer.state
                       else told.state end,
                  told.sends, told.sent_dates[cardinality(told.sent_dates)] as sent_at, told.mapped_uids
             from gateway.transfer join gateway.outcome as told on told.ours and told.request = transfer.position
            where transfer.study = withdrawn.study and transfer.project = withdrawn.project
              and (told.state in ('sent', 'possibly sent') or told.sends > 0
                   -- Its record is locked, or REDCap away: the row stands, and the sender may have it already.
                   or (transfer.state = 'ending' and not transfer.found))
            union all
           select told.position, told.at, told.instance, told.state, told.sends,
                  told.sent_dates[cardinality(told.sent_dates)], told.mapped_uids
             from gateway.outcome as told
            where not told.ours and told.study = withdrawn.study and told.project = withdrawn.project
            union all
           -- Somebody has had it sent from a row that names another project since.
           select max(sent.position), max(sent.recorded_at), (sent.data ->> 'instance')::integer, 'sent'::text, count(*)::integer,
                  max(sent.data ->> 'sent_at'), array_agg(distinct uid) filter (where uid is not null)
             from ledger.event as sent
             left join lateral json_array_elements_text(sent.data -> 'mapped_uids') as uid on true
            where sent.stream = 'study/' || withdrawn.study and sent.type = 'TransferSent'
              and sent.data ->> 'request' is null and sent.data ->> 'project' = withdrawn.project
              and not exists (select from gateway.outcome as told
                               where not told.ours and told.study = withdrawn.study and told.project = withdrawn.project
                                 and told.instance = (sent.data ->> 'instance')::integer)
            group by sent.data ->> 'instance'
            union all
           select adopted.position, event.recorded_at, adopted.instance,
                  case when adopted.sent then 'sent' else 'awaited' end, 0, null::text, '{}'::text[]
             from gateway.adopted_transfer as adopted join ledger.event on event.position = adopted.position
            where adopted.study = withdrawn.study and adopted.project = withdrawn.project
              -- A row of ours, too, where a restored ledger has adopted what it had placed itself.
              and not exists (select from gateway.outcome as told
                               where told.study = adopted.study and told.instance = adopted.instance
                                 and (not told.ours or told.state = 'sent' or told.sends > 0
                                      or told.state = 'possibly sent' and not adopted.sent))
            union all
           select found.position, event.recorded_at, found.instance, 'awaited'::text, 0, null::text, '{}'::text[]
             from gateway.transfer as found join ledger.event on event.position = found.position
            where found.study = withdrawn.study and found.project = withdrawn.project and found.found
              and found.state in ('ending', 'withdrawn')
              and not exists (select from gateway.outcome as told
                               where told.study = found.study and told.instance = found.instance
                                 and (not told.ours or told.state in ('sent', 'possibly sent') or told.sends > 0))
           ) as sent on true
     where not exists (select from ledger.event as done
                        where done.stream = 'study/' || withdrawn.study and done.type = 'TaskDone'
                          and done.data ->> 'position' = sent.position::text)
       -- Somebody else's row that answers a request of ours: that tells what was sent, and whether the row is gone.
       and not (sent.state in ('awaited', 'failed') and sent.sends = 0
                and exists (select from gateway.transfer as answered
                              left join gateway.outcome as told
                                on told.ours and told.request = answered.position and told.sends > 0
                              left join gateway.missing_row as missing
                                on missing.study = answered.study and missing.kind = 'transfer'
                               and missing.key = answered.position::text
                             where answered.study = withdrawn.study and answered.project = withdrawn.project
                               and answered.instance = sent.instance and answered.found
                               and greatest(told.position, missing.position) > sent.position));

comment on view audit.task is
    'What has to be done because a participant withdrew: each request of theirs that was sent, may have been, or can be.';
comment on column audit.task.position is
    'The position by which it is told to be done; what is told of the request later is another task.';
comment on column audit.task.since is 'When that was found.';
comment on column audit.task.study is 'The StudyInstanceUID.';
comment on column audit.task.project is 'The project that the patient withdrew from.';
comment on column audit.task.instance is 'The instance of transfers in REDCap.';
comment on column audit.task.what is
    'What became of the request: sent, may have been sent, not ended yet and can be sent (its record is locked, say), or '
    'requested by others and can be sent.';
comment on column audit.task.sent_at is 'When it was last sent, as the sender wrote it in REDCap.';
comment on column audit.task.mapped_uids is 'The study UIDs under which it was sent.';
comment on column audit.task.withdrawn_position is 'The position of the event that tells that the study is concerned.';
comment on column audit.task.withdrawn_at is 'When that was.';
comment on column audit.task.done_at is 'When somebody said that it is done.';
comment on column audit.task.done_by is 'The account of who said so.';
comment on column audit.task.done_reason is 'What was done.';
comment on column audit.task.open is 'Whether it is still to be done.';

-- Each study that arrived, and what became of it: one row.
create view audit.study as
    select study.study, study.arrived_at, study.site,
           (select count(*) from gateway.series where series.study = study.study) as series,
           study.called as called_aetitle, newest.data ->> 'AETitleCaller' as calling_aetitle,
           study.on_disk, study.delivered_position > 0 as in_redcap,
           array(select distinct transfer.project from gateway.transfer
                  where transfer.study = study.study order by 1) as projects,
           (select count(*) from gateway.transfer where transfer.study = study.study) as requested,
           (select count(*) from gateway.transfer
             where transfer.study = study.study and state = 'placed'
               and not exists (select from gateway.missing_row as missing
                                where missing.study = transfer.study
                                  and (missing.kind = 'study'
                                       or (missing.kind, missing.key) = ('transfer', transfer.position::text)))) as placed,
           (select count(*) from gateway.transfer
             where transfer.study = study.study and state in ('requested', 'ending')) as pending,
           (select count(*) from (
                   select event.data ->> 'request' from ledger.event
                    where event.stream = 'study/' || study.study
                      and event.type = 'TransferWithdrawn' and event.data ->> 'fate' = 'sent'
                   union
                   select told.request::text from gateway.outcome as told
                    where told.study = study.study and told.ours and told.sends > 0) as sent) as known_sent,
           held.reason as held_reason
      from gateway.study
      left join ledger.event as newest on newest.position = study.row_position
      left join gateway.held_study as held on held.study = study.study;

comment on view audit.study is
    'Each study that has arrived, one row: what it is, what was requested for it and what became of that.';
comment on column audit.study.study is 'Its StudyInstanceUID.';
comment on column audit.study.arrived_at is 'When its first series was recorded.';
comment on column audit.study.site is 'The site at which it arrived.';
comment on column audit.study.series is 'How many series of it are known.';
comment on column audit.study.called_aetitle is 'The AE title it was addressed to, by the series recorded first.';
comment on column audit.study.calling_aetitle is 'The AE title of its sender, by the series recorded first.';
comment on column audit.study.on_disk is 'Whether its files were there when last looked at.';
comment on column audit.study.in_redcap is 'Whether its row has been written to REDCap.';
comment on column audit.study.projects is 'The projects that it was requested for, whatever became of that.';
comment on column audit.study.requested is 'How many transfer requests this system made for it; see audit.transfer.';
comment on column audit.study.placed is
    'How many of them stand in REDCap, for the sender to act upon or done; none whose row people deleted or changed.';
comment on column audit.study.pending is 'How many wait to be written to REDCap, or to be withdrawn there.';
comment on column audit.study.known_sent is
    'How many are known to have been sent: by what the sender reports, or because that was seen when they were to '
    'be replaced or withdrawn.';
comment on column audit.study.held_reason is 'Why it waits for a generated ID; empty where it does not.';

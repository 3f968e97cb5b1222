-- What was missing from an export of REDCap for a while, so that nothing was decided by it.
create view audit.doubt as
    select doubted.position, doubted.recorded_at as doubted_at, doubted.site,
           case doubted.type when 'RoutingRuleDoubted' then 'routing rules'
                             when 'CouplingEntryDoubted' then 'coupling list'
                             when 'WithdrawalEntryDoubted' then 'withdrawals'
                             else 'projects' end as list,
           doubted.data ->> 'record_id' as record_id,
           following.recorded_at as ended_at,
           case when following.type like '%Returned' then 'returned'
                when following.type like '%Changed' then 'returned changed'
                when following.type like '%Removed' then 'removed' end as ended_how,
           following.type is null as open
      from ledger.event as doubted
      left join ledger.event as following
        on following.stream = doubted.stream and following.version = doubted.version + 1
     where doubted.type in ('RoutingRuleDoubted', 'CouplingEntryDoubted', 'AutoidProjectDoubted',
                            'WithdrawalEntryDoubted');

comment on view audit.doubt is
    'Each time that a routing rule, coupling entry or project was missing from an export of REDCap, and how that ended: nothing is decided by it meanwhile.';
comment on column audit.doubt.position is 'The position of the event that says so.';
comment on column audit.doubt.doubted_at is 'When the export was read.';
comment on column audit.doubt.site is 'The site whose run read it.';
comment on column audit.doubt.list is 'The list that lacked it: routing rules, coupling list, projects or withdrawals.';
comment on column audit.doubt.record_id is 'Its record id in REDCap.';
comment on column audit.doubt.ended_at is 'When a later export settled it.';
comment on column audit.doubt.ended_how is
    'How: returned (as it was), returned changed, or removed (the next run missed it, too).';
comment on column audit.doubt.open is 'Whether it is doubted now.';

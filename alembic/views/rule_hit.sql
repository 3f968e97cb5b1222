-- How many transfers each rule led to, by day.
--
-- The calendar: see audit.daily_volume.
create view audit.rule_hit as
    select calendar.day, hits.site, hits.rule, hits.project, hits.requests, hits.studies, hits.partial_matches
      from (select day::date as day, day::timestamptz as begins, (day + interval '1 day')::timestamptz as ends
              from generate_series((select min(recorded_at) from ledger.event)::date::timestamp,
                                   (select max(recorded_at) from ledger.event)::date::timestamp,
                                   interval '1 day') as day
           ) as calendar
     cross join lateral (
           select event.site, transfer.cause_record as rule, transfer.project, count(*) as requests,
                  count(distinct transfer.study) as studies,
                  count(*) filter (where not transfer.whole_match) as partial_matches
             from ledger.event
             join gateway.transfer on transfer.position = event.position
            where event.recorded_at >= calendar.begins and event.recorded_at < calendar.ends
              and event.type = 'TransferRequested' and transfer.cause_kind = 'rule'
            group by event.site, transfer.cause_record, transfer.project
           ) as hits;

comment on view audit.rule_hit is 'How many transfers each routing rule led to, a row for each rule, project and day.';
comment on column audit.rule_hit.day is 'The day, in the time zone of the session.';
comment on column audit.rule_hit.site is 'The site.';
comment on column audit.rule_hit.rule is 'The record id of the rule in REDCap.';
comment on column audit.rule_hit.project is 'The project that it directed to on that day.';
comment on column audit.rule_hit.requests is 'How many transfers were requested because of it.';
comment on column audit.rule_hit.studies is 'For how many studies.';
comment on column audit.rule_hit.partial_matches is
    'For how many of the requests its pattern matched only the start of the text.';

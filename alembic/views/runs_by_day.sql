-- How many runs there were, long after their own rows have gone.
create view audit.runs_by_day as
    select day, site, command, exit_code, sum(runs)::bigint as runs, sum(events)::bigint as events,
           sum(calls)::bigint as calls
      from (select day, site, command, exit_code, runs, events, calls from gateway.run_count
            union all
            select (started_at at time zone 'utc')::date, site, command, exit_code, 1,
                   coalesce((summary ->> 'events')::bigint, 0), coalesce((summary ->> 'calls')::bigint, 0)
              from gateway.run) as counted
     group by day, site, command, exit_code;

comment on view audit.runs_by_day is 'How many runs there were each day, those included that have no row of their own any more.';
comment on column audit.runs_by_day.day is 'The day on which they began, in UTC.';
comment on column audit.runs_by_day.site is 'The site.';
comment on column audit.runs_by_day.command is 'The command that was started.';
comment on column audit.runs_by_day.exit_code is 'What they ended with; empty for those that were killed.';
comment on column audit.runs_by_day.runs is 'How many there were.';
comment on column audit.runs_by_day.events is 'How many events were appended meanwhile.';
comment on column audit.runs_by_day.calls is 'How many calls to REDCap they made.';

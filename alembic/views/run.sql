-- Each run of the periodic job: what it did and how it ended.
create view audit.run as
    select run.run, run.started_at, run.finished_at, run.site, run.command, run.exit_code,
           case when run.finished_at is null then 'under way or killed'
                when run.exit_code = 0 then 'done'
                when run.exit_code = 1 then 'done, something needs attention'
                when run.exit_code = 2 then 'ended: usage or configuration'
                when run.exit_code = 3 then 'ended: a service failed'
                when run.exit_code = 4 then 'ended: the ledger failed verification'
                when run.exit_code = 70 then 'ended: an error that nobody foresaw'
                when run.exit_code in (130, 143) then 'ended: interrupted'
                else 'ended with ' || run.exit_code end as outcome,
           (run.summary ->> 'events')::bigint as events, (run.summary ->> 'calls')::bigint as calls,
           run.summary, run.machine
      from gateway.run;

comment on view audit.run is
    'Each run of the periodic job. Runs that recorded nothing are forgotten after a month, others after a year:'
    ' audit.runs_by_day counts them.';
comment on column audit.run.run is 'Its id, which stands in all events that it recorded.';
comment on column audit.run.started_at is 'When it began.';
comment on column audit.run.finished_at is 'When it ended; empty while it is under way, and for ever if it was killed.';
comment on column audit.run.site is 'The site.';
comment on column audit.run.command is 'The command that was started.';
comment on column audit.run.exit_code is 'What it ended with.';
comment on column audit.run.outcome is 'What that means.';
comment on column audit.run.events is 'How many events were appended meanwhile.';
comment on column audit.run.calls is 'How many calls to REDCap it made.';
comment on column audit.run.summary is 'What it came to, part by part, as JSON.';
comment on column audit.run.machine is 'The machine on which it ran: its name, and which start of it this was.';

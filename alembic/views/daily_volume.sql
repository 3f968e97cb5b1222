-- How much was recorded on each day.
--
-- A day begins and ends where the session's time zone has midnight, so a day cannot be part of an index. Hence the
-- calendar: each day becomes a range of times, which the index by time answers.
create view audit.daily_volume as
    select calendar.day, volume.*
      from (select day::date as day, day::timestamptz as begins, (day + interval '1 day')::timestamptz as ends
              from generate_series((select min(recorded_at) from ledger.event)::date::timestamp,
                                   (select max(recorded_at) from ledger.event)::date::timestamp,
                                   interval '1 day') as day
           ) as calendar
     cross join lateral (
           select event.site, count(*) as events,
                  count(*) filter (where event.type = 'SeriesDiscovered' and event.version = 1) as studies,
                  count(*) filter (where event.type = 'SeriesDiscovered') as series,
                  count(*) filter (where event.type = 'TransferRequested') as transfers_requested,
                  count(*) filter (where event.type in ('TransferPlaced', 'TransferAmended')) as transfers_placed,
                  count(*) filter (where event.type = 'FileRejected') as rejected_files,
                  count(*) filter (where event.type = 'IdGenerated') as ids_drawn
             from ledger.event
            where event.recorded_at >= calendar.begins and event.recorded_at < calendar.ends
            group by event.site
           ) as volume;

comment on view audit.daily_volume is 'How much was recorded, a row for each site and day on which anything was.';
comment on column audit.daily_volume.day is 'The day, in the time zone of the session.';
comment on column audit.daily_volume.site is 'The site.';
comment on column audit.daily_volume.events is 'Events of all types.';
comment on column audit.daily_volume.studies is 'Studies that arrived: whose first series was recorded.';
comment on column audit.daily_volume.series is 'Series that arrived.';
comment on column audit.daily_volume.transfers_requested is 'Transfers that this system requested.';
comment on column audit.daily_volume.transfers_placed is 'Transfers that were written to REDCap or found there.';
comment on column audit.daily_volume.rejected_files is 'Files that could not be used.';
comment on column audit.daily_volume.ids_drawn is 'IDs that were drawn.';

-- Rows that REDCap refused, in its words, and how it ended.
create view audit.refused_row as
    select refused.position, refused.recorded_at as refused_at, refused.site, study.study,
           refused.data ->> 'kind' as kind, refused.data ->> 'key' as key,
           (refused.data ->> 'row_position')::bigint as row_position,
           refused.data ->> 'field' as field, refused.data ->> 'message' as message,
           following.recorded_at as ended_at,
           case following.type when 'RowAccepted' then 'accepted' when 'RowRefused' then 'refused again'
                when 'TransferPlaced' then 'placed' when 'TransferRetracted' then 'retracted'
                when 'TransferRequested' then 'replaced' end as ended_how,
           following.type is null as open
      from ledger.event as refused
      left join gateway.study on refused.stream = 'study/' || study.study
      left join lateral (
           select later.type, later.recorded_at from ledger.event as later
            where later.stream = refused.stream and later.version > refused.version
              and case
                  when later.type in ('RowAccepted', 'RowRefused') then
                       later.data ->> 'kind' = refused.data ->> 'kind'
                       and later.data ->> 'key' = refused.data ->> 'key'
                  when later.type in ('TransferPlaced', 'TransferRetracted') then
                       refused.data ->> 'kind' = 'transfer'
                       and later.data ->> 'request' = refused.data ->> 'key'
                  when later.type = 'TransferRequested' then
                       refused.data ->> 'kind' = 'transfer'
                       and refused.data ->> 'key' in (select json_array_elements_text(later.data -> 'replaces'))
                  end
            order by later.version limit 1
           ) as following on true
     where refused.type = 'RowRefused';

comment on view audit.refused_row is
    'Each time that REDCap refused a row, with its words, and how it ended.';
comment on column audit.refused_row.position is 'The position of the event that says so.';
comment on column audit.refused_row.refused_at is 'When REDCap refused it.';
comment on column audit.refused_row.site is 'The site.';
comment on column audit.refused_row.study is 'The StudyInstanceUID.';
comment on column audit.refused_row.kind is 'Which row: study, series or transfer.';
comment on column audit.refused_row.key is
    'Which one: the SeriesInstanceUID, or the position of the transfer request; blank for the study''s own row.';
comment on column audit.refused_row.row_position is 'The position of the event that the row was made from.';
comment on column audit.refused_row.field is 'The field that REDCap complained about; blank where it named none.';
comment on column audit.refused_row.message is 'REDCap''s words, without values.';
comment on column audit.refused_row.ended_at is 'When that was over.';
comment on column audit.refused_row.ended_how is
    'How: accepted (it went through), refused again, or for a transfer placed (it stood there already), retracted or '
    'replaced.';
comment on column audit.refused_row.open is 'Whether the row is missing from REDCap for this reason now.';

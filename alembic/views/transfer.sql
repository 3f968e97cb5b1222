-- Each transfer request: why, when, by which run, and what became of it.
--
-- `life` is what the study's stream says about this very request: one walk through the stream, by the index on
-- (stream, version). Numbers in JSON are compared as text: the planner may look at `data` before `type`, and what other
-- types keep under these keys need not be a number. What is withheld of a cause: see audit.event.
create view audit.transfer as
    select transfer.position, event.recorded_at as requested_at, event.site, transfer.study, transfer.project,
           transfer.event_name, transfer.cause_kind, transfer.cause_record, transfer.cause_position,
           ((case when cause.type = 'RoutingRuleChanged' then
                       (cause.data::jsonb - 'patient_id_pattern' - 'patient_name_pattern')::json
                  else cause.data
             end)::jsonb - 'fingerprint' - 'asks_fingerprint' - 'name_fingerprint')::json as cause_content,
           transfer.whole_match, event.run as requested_run, transfer.state,
           transfer.placed_at, life.placed_run, transfer.instance, life.found,
           nullif(transfer.replaces, '{}') as replaces, life.amends, life.amended_by,
           replacement.position as replaced_by, replacing.recorded_at as replaced_at,
           life.retracted_at, life.retraction_reason, life.ended_at,
           case when life.was_sent or told.sends > 0 then true
                when transfer.state = 'withdrawn' or told.request is not null then false end as sent,
           told.sends, told.first_sent_at,
           told.sent_dates[cardinality(told.sent_dates)] as sent_at,
           case when told.state = 'failed' then told.sent_at end as tried_at,
           told.state = 'possibly sent' as possibly_sent, transfer.state = 'closed' as closed,
           transfer.state = 'placed' and exists (
               select from gateway.missing_row as missing
                where missing.study = transfer.study
                  and (missing.kind = 'study' or (missing.kind, missing.key) = ('transfer', transfer.position::text))
               ) as missing,
           nullif(told.mapped_uids, '{}') as mapped_uids,
           told.state = 'failed' as failed, told.failure, nullif(told.errors, '{}') as errors,
           case when told.state in ('sent', 'failed') then told.at end as reported_at
      from gateway.transfer
      left join ledger.event on event.position = transfer.position
      left join ledger.event as cause on cause.position = transfer.cause_position
      left join lateral (
           select (array_agg(later.run order by later.version desc) filter (where places))[1] as placed_run,
                  bool_or(coalesce(later.data ->> 'found', 'false') = 'true') filter (where places) as found,
                  max((later.data ->> 'replaced')::bigint)
                      filter (where places and later.type = 'TransferAmended') as amends,
                  min((later.data ->> 'request')::bigint)
                      filter (where later.type = 'TransferAmended'
                                and later.data ->> 'replaced' = transfer.position::text) as amended_by,
                  min(later.recorded_at) filter (where later.type = 'TransferRetracted') as retracted_at,
                  min(later.data ->> 'reason') filter (where later.type = 'TransferRetracted') as retraction_reason,
                  max(later.recorded_at) filter (where later.type = 'TransferWithdrawn') as ended_at,
                  bool_or(later.data ->> 'fate' = 'sent') as was_sent
             from (select ours.*, ours.type in ('TransferPlaced', 'TransferAmended')
                                  and ours.data ->> 'request' = transfer.position::text as places
                     from ledger.event as ours
                    where ours.stream = 'study/' || transfer.study
                      and ours.type in ('TransferPlaced', 'TransferAmended', 'TransferRetracted', 'TransferWithdrawn')
                      and transfer.position::text in (ours.data ->> 'request', ours.data ->> 'replaced')) as later
           ) as life on true
      left join lateral (
           select min(later.position) as position from gateway.transfer as later
            where later.study = transfer.study and later.replaces @> array[transfer.position]
           ) as replacement on true
      left join ledger.event as replacing on replacing.position = replacement.position
      left join gateway.outcome as told on told.request = transfer.position and told.ours;

comment on view audit.transfer is
    'Each transfer request of this system: for which study and project, why, when and by which run, and what '
    'became of it. Pseudonyms are not shown.';
comment on column audit.transfer.position is 'The position of the request''s event, by which other rows name it.';
comment on column audit.transfer.requested_at is 'When it was decided and recorded.';
comment on column audit.transfer.site is 'The site that decided it.';
comment on column audit.transfer.study is 'The StudyInstanceUID.';
comment on column audit.transfer.project is 'The research project that the study is to go to.';
comment on column audit.transfer.event_name is 'The project''s event, such as a visit; blank where it has none.';
comment on column audit.transfer.cause_kind is
    'Why: a routing rule (rule), an entry of the coupling list (coupling), a generated ID (autoid) or an operator '
    'by hand (operator).';
comment on column audit.transfer.cause_record is
    'Why: the record id in REDCap of that rule, entry or AutoID entry; by hand, the operator''s account.';
comment on column audit.transfer.cause_position is
    'Why: the position of the event that holds what the rule, entry, ID or operator said when this was decided.';
comment on column audit.transfer.cause_content is
    'Why: what that event says, without sealed values and the patterns of rules.';
comment on column audit.transfer.whole_match is
    'Whether the rule''s pattern matched all of the text that became the pseudonym, or only its start; true '
    'where no rule was the cause.';
comment on column audit.transfer.requested_run is 'The run that decided it; see audit.run.';
comment on column audit.transfer.state is
    'requested (waits to be written), placed (stands in REDCap), contested (a person asked for something else), '
    'ending (no longer wanted, its row not ended yet), withdrawn (ended unsent) or closed (ended, and was or may '
    'have been sent).';
comment on column audit.transfer.placed_at is 'When it was found to stand in REDCap, written or met there.';
comment on column audit.transfer.placed_run is 'The run that placed it.';
comment on column audit.transfer.instance is 'The repeat instance of its row in REDCap''s transfers.';
comment on column audit.transfer.found is
    'Whether REDCap held a row that asked for the same already, so that none was written.';
comment on column audit.transfer.replaces is 'The earlier requests in whose place it was made, by position.';
comment on column audit.transfer.amends is 'The earlier request whose row in REDCap it was written over, by position.';
comment on column audit.transfer.amended_by is 'The later request that was written over its row, by position.';
comment on column audit.transfer.replaced_by is 'The request that was made in its place, by position.';
comment on column audit.transfer.replaced_at is 'When that was requested.';
comment on column audit.transfer.retracted_at is 'When it was decided to withdraw it.';
comment on column audit.transfer.retraction_reason is 'Why it was withdrawn.';
comment on column audit.transfer.ended_at is 'When nothing of it could be sent any more.';
comment on column audit.transfer.sent is
    'Whether it has been sent, by what the sender reports, or as seen when its row was ended; empty where nothing is '
    'known.';
comment on column audit.transfer.sends is 'How often it was sent: a late series has the whole study sent again.';
comment on column audit.transfer.first_sent_at is 'When it was first sent, as the sender wrote it in REDCap.';
comment on column audit.transfer.sent_at is 'When it was last sent, as the sender wrote it in REDCap.';
comment on column audit.transfer.tried_at is 'When it was tried, where the sender''s last attempt failed.';
comment on column audit.transfer.possibly_sent is
    'Whether it was ended while the sender may have held a copy of it, and nothing is known of it since.';
comment on column audit.transfer.closed is
    'Whether its row in REDCap has lost its name, so that it is not sent again.';
comment on column audit.transfer.missing is
    'Whether people are known to have deleted or changed the row in which it stands, or deleted the study''s record.';
comment on column audit.transfer.mapped_uids is
    'The study UIDs under which it was sent: what has to be removed downstream where it should not have been.';
comment on column audit.transfer.failed is 'Whether the sender reports that it failed; empty where it stands nowhere.';
comment on column audit.transfer.failure is
    'Why it failed, as a class of the sender''s message: timeout, no space, no connection, pseudonymisation, refused '
    'by the archive, not found on disk, other or none given.';
comment on column audit.transfer.errors is 'The codes that the sender ticked.';
comment on column audit.transfer.reported_at is 'When a run noticed what the sender reports.';

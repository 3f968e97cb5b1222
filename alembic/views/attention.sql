-- What needs a person now, a branch for each kind, each with the advice that settles it.
create view audit.attention as
    with contradiction as (
         select conflict.*,
                (select string_agg(case cause ->> 'kind'
                                        when 'rule' then 'routing rule '
                                        when 'coupling' then 'coupling entry '
                                        when 'autoid' then 'AutoID record '
                                        else 'a decision by ' end || (cause ->> 'record_id'), ' and ')
                   from json_array_elements(conflict.details -> 'causes') as cause) as causes
           from gateway.conflict)
    select 'rejected file' as kind, position, null::text as study, null::text as project,
           path as subject, reason as details,
           'Have the receiver write the file again, or remove it.' as advice
      from gateway.rejected_file
    union all
    select 'conflict', position, study, project, event_name, causes || ' give different pseudonyms.',
           'Correct the rules or the coupling list so that one pseudonym remains; it is decided again then.'
      from contradiction where kind = 'equals'
    union all
    select 'contested by a person', position, study, project, event_name,
           'A person''s request has another pseudonym than ' || coalesce(causes, 'ours') || '.',
           'Somebody requested this project and event in REDCap under another pseudonym. Remove the wrong one.'
      from contradiction where kind = 'person'
    union all
    select 'coupling stands', position, study, project, event_name,
           causes || ' give different pseudonyms.',
           'A rule now gives another pseudonym than the coupling list gave before. Check which is right.'
      from contradiction where kind = 'coupling stands'
    union all
    select 'unusable rule', position, null, null, record_id,
           concat_ws(' ', array_to_string(problems, ' '),
                     (select 'Studies that wait for it: ' || count(distinct study) || '.'
                        from gateway.deferred_decision as waiting
                       cross join json_array_elements(waiting.details -> 'causes') as cause
                       where cause ->> 'kind' = 'rule' and cause ->> 'record_id' = rule.record_id
                      having count(*) > 0)),
           'Correct the routing rule in REDCap. What came meanwhile is decided by it then.'
      from gateway.rule where problems <> '{}' and not removed
    union all
    select 'unusable coupling entry', position, null, null, record_id, array_to_string(problems, ' '),
           'Complete the entry of the coupling list in REDCap.'
      from gateway.coupling_entry where problems <> '{}' and not removed
    union all
    select 'unusable coupling entry', entry.position, null, null, entry.record_id,
           'Its accession number was forgotten with the last study that had it: it meets no study any more.',
           'Remove the entry in REDCap; or, where it is still meant for another study, give it that one''s UID.'
      from gateway.coupling_entry as entry
      join ledger.subject as number on number.subject = nullif(entry.accession, '')::uuid
     where entry.study = '' and entry.problems = '{}' and not entry.removed and number.wrapped_key is null
    union all
    select 'expected, not arrived', expected.position, nullif(entry.study, ''), entry.project, entry.record_id,
           concat_ws('; ', 'Asked for since ' || to_char(entry.asked_at at time zone 'UTC', 'YYYY-MM-DD'),
                     'nearly matches: ' || (select string_agg(key || ' (' || value || ')', ', ')
                                              from json_each_text(expected.near))) || '.',
           'Compare the entry of the coupling list with the archive, and correct it; or have the study sent again.'
      from gateway.expected_study as expected
      join gateway.coupling_entry as entry using (record_id)
     where expected.asked = entry.asks_position and not expected.removed
    union all
    select 'expected, not arrived', expected.position, nullif(asks.data ->> 'study', ''), asks.data ->> 'project',
           expected.record_id,
           concat_ws('; ', 'Its entry was removed from the coupling list',
                     'nearly matches: ' || (select string_agg(key || ' (' || value || ')', ', ')
                                              from json_each_text(expected.near))) || '.',
           'If it is still wanted, couple it again. Then: fiona-ledger acknowledge POSITION --reason TEXT'
      from gateway.expected_study as expected join ledger.event as asks on asks.position = expected.asked
     where expected.removed
    union all
    select 'unusable withdrawal', position, null, nullif(project, ''), record_id, array_to_string(problems, ' '),
           'Correct the entry of REDCap''s list of withdrawals. If it is settled otherwise: fiona-ledger done POSITION '
           || '--reason TEXT'
      from gateway.withdrawal_entry where problems <> '{}' and not removed
    union all
    select 'withdrawal removed', position, null, nullif(project, ''), record_id,
           'The entry is gone from REDCap''s list of withdrawals. The withdrawal stands: it is for ever.',
           'Ask who removed it, and why. Then: fiona-ledger done POSITION --reason TEXT'
      from gateway.withdrawal_entry where removed
    union all
    select 'withdrawal changed', changed_position, null, nullif(project, ''), record_id,
           'The entry of REDCap''s list of withdrawals reads otherwise now. Whom it named before stays withdrawn: it is for '
           || 'ever.',
           'Was somebody entered by mistake? Then: fiona-ledger done POSITION --reason TEXT'
      from gateway.withdrawal_entry where changed_position is not null and not removed
    union all
    select 'unusable auto-ID project', position, null, project, record_id, array_to_string(problems, ' '),
           'Correct the project''s entry in REDCap; its studies are held until then.'
      from gateway.autoid_project where problems <> '{}' and not removed
    union all
    select 'held study', position, study, project, null, reason,
           case when reason = 'project is closed'
                then 'Correct the list of projects if it is wrong: it gets its ID once the project is open.'
                else 'It gets its ID as soon as the reason is gone. While it is on disk, it can be coupled by hand instead.'
           end || ' To give it up: fiona-ledger retract STUDY --project NAME --reason TEXT'
      from gateway.held_study where reason not in ('two patients in one study', 'participant withdrew')
    union all
    select kind, position, study, project, nullif(event_name, ''),
           concat_ws('; ', nullif(details, ''),
                     'other studies: ' || nullif(array_to_string(studies, ', '), '')),
           case kind
                when 'two patients, one pseudonym' then
                     'Correct the entry whose pseudonym is another patient''s. If the PatientIDs are one person''s: '
                     || 'fiona-ledger same-patient STUDY --project NAME --reason TEXT'
                when 'one patient, two pseudonyms' then
                     'Correct the entry: the patient has another pseudonym in this project already.'
                when 'pseudonym does not fit' then
                     'Correct the pseudonym where it is asked for, or the project''s naming pattern; it goes on then.'
                when 'project is closed' then
                     'It goes on when REDCap''s list of projects says that the project is open.'
                when 'participant withdrew' then
                     'It stays so. To take it off this list: fiona-ledger retract STUDY --project NAME --reason TEXT'
                when 'unknown project' then 'Correct the project''s name where it is asked for.'
                else 'It goes on as soon as the reason is gone. To give it up: fiona-ledger retract STUDY --project NAME '
                     || '--reason TEXT'
           end
      from gateway.held_request
    union all
    select 'two patients in one study', position, study, null, null,
           (select 'Series ' || string_agg(series, ' / series ')
              from (select (select string_agg(uid, ', ') from json_array_elements_text(patient) as uid) as series
                      from json_array_elements(patients) as patient) as of_each),
           'Have the stray series removed, or its PatientID corrected; the study is decided again then. If it is to go '
           || 'all the same, couple it by its study UID.'
      from gateway.mixed_study where over_position is null
    union all
    select 'task', position, study, project, 'instance ' || instance,
           concat_ws(', ', 'The participant withdrew; ' || what, 'on ' || nullif(sent_at, ''),
                     'under study UID ' || nullif(array_to_string(mapped_uids, ', '), '')) || '.',
           'Have it removed from the project''s archive, and the row from REDCap where others requested it. Then: '
           || 'fiona-ledger done POSITION --reason TEXT'
      from audit.task where open
    union all
    select 'contradiction in AutoID', position, null, project, record_id, details,
           'Correct the entries in REDCap''s AutoID; the patients concerned get no ID until then.'
      from gateway.contradiction
    union all
    select 'rule ran out of time', position, study, null, record_id, 'The pattern exceeded its time limit.',
           'Simplify the pattern of the routing rule; the study is decided again then.'
      from gateway.rule_failure
    union all
    -- A request that has ended since does no harm any more.
    select 'event set apart', apart.position,
           case when event.stream like 'study/%' then substr(event.stream, length('study/') + 1) end,
           event.data ->> 'project', event.type, 'It contradicts the tables of ' || apart.projection || ' (' || apart.reason || ').',
           case event.type
                when 'TransferRequested' then
                     'Its row is not written. Have what asks for it corrected, or: fiona-ledger retract STUDY --project '
                     || 'NAME --reason TEXT'
                else 'It is not heeded, all else is. Report it to the maintainers. After an update that mends it: '
                     || 'fiona-ledger rebuild; and where it is a rule, a replay'
           end
      from ledger.set_apart as apart
      join ledger.event on event.position = apart.position
      left join gateway.transfer on transfer.position = apart.position
     where transfer.ended_position is null and mended_position is null
    union all
    select 'refused row', position, study, null, kind || ' ' || key, field || ': ' || message,
           'Correct the value at its source or the field in REDCap''s dictionary.'
      from gateway.refused_row
    union all
    select 'rows refused by the project', min(position), null, null, project || ': ' || string_agg(kind, ', ' order by kind),
           message,
           'Set the REDCap project up: in Development or Production; series and transfers repeating instruments; record'
           ' id study_instance_uid; the fields of redcap.md with their types. One row is tried again once an hour.'
      from gateway.refused_kind group by project, message
    union all
    select 'another REDCap', position, null, null, site, reason,
           'Mend redcap.url or the token; or, if REDCap was restored or moved: fiona-ledger recognise --reason TEXT'
      from gateway.doubted_redcap
    union all
    select 'unreadable record', position, null, null, project || ' ' || record_id, message,
           'Correct the record in REDCap, or delete it. Until then, what it said before stands, and is doubted.'
      from gateway.unreadable_record
    union all
    select 'row deleted or changed in REDCap', position, study, null, kind || ' ' || key,
           'Somebody deleted or changed a row that this system wrote.',
           'It is not written again by itself. If it was intended: fiona-ledger acknowledge POSITION --reason TEXT'
      from gateway.missing_row where not acknowledged
    union all
    select kind, position, study, project, nullif(details ->> 'event_name', ''),
           case kind
                when 'pattern matched the start only' then 'Of routing rule ' || (details ->> 'rule') || '.'
                when 'study changed' then
                     (select string_agg(changed, ', ') from json_array_elements_text(details -> 'changed') as changed)
                     || ' changed; the request ' || (details ->> 'request') || ': ' || (details ->> 'consequence') || '.'
                when 'written over by this system' then
                     concat_ws(', ', 'Instance ' || (details ->> 'instance'), 'series ' || (details ->> 'series'),
                               'request ' || (details ->> 'request')) || '.'
                when 'replaced after it was sent' then 'Request ' || (details ->> 'request') || '.'
                when 'retracted after it was sent' then 'Request ' || (details ->> 'request') || '.'
                else concat_ws('; ', nullif(details ->> 'details', ''), 'other studies: '
                               || (select string_agg(other, ', ')
                                     from json_array_elements_text(details -> 'studies') as other))
           end,
           case kind
                when 'participant withdrew' then
                     'If it is theirs after all: fiona-ledger withdraw --study STUDY --project NAME --reason TEXT. Then, or '
                     || 'if it is somebody else''s: fiona-ledger acknowledge POSITION --reason TEXT'
                else 'Look at it, then run: fiona-ledger acknowledge POSITION --reason TEXT'
           end
      from gateway.notice where kind <> 'one PatientID, two names'
    union all
    select notice.kind, notice.position, study, null, null,
           'other studies: '
           || (select string_agg(other, ', ') from json_array_elements_text(details -> 'studies') as other),
           'One of these studies may be somebody else''s, or the PatientID be given to two people: have it corrected where '
           || 'it is wrong. Then: fiona-ledger acknowledge POSITION --reason TEXT'
      from gateway.notice join gateway.study using (study) join ledger.event on event.position = row_position
      join ledger.subject using (subject)
     -- After the patient was forgotten, nobody could look at the names.
     where notice.kind = 'one PatientID, two names' and wrapped_key is not null
    union all
    select 'transfer failed', position, study, of_project, 'instance ' || instance,
           failure || case when errors = '{}' then '' else ', errors ' || array_to_string(errors, ', ') end,
           'The sender''s message in REDCap says more. Have it sent again there, or: fiona-ledger acknowledge POSITION.'
      from (select told.*, coalesce(told.project, transfer.project) as of_project
              from gateway.outcome as told
              left join gateway.transfer on told.ours and transfer.position = told.request
             where told.state = 'failed' and not told.acknowledged and (not told.ours or transfer.state = 'placed')
           ) as failed
    union all
    select 'may have been sent', told.position, told.study, transfer.project, 'instance ' || told.instance,
           'It was replaced or withdrawn at ' || to_char(told.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
           || ', while the sender may have held a copy of it.',
           'What the sender writes there next settles it. Ask there, and then: fiona-ledger acknowledge POSITION.'
      from gateway.outcome as told join gateway.transfer on transfer.position = told.request
     where told.ours and told.state = 'possibly sent' and not told.acknowledged
    union all
    select 'sent after it was ended', told.position, told.study, transfer.project, 'instance ' || told.instance,
           'Sent as it was, at ' || told.sent_dates[cardinality(told.sent_dates)] || coalesce(
               ', under study UID ' || nullif(array_to_string(told.mapped_uids, ', '), ''), '') || '.',
           'Remove it downstream, then: fiona-ledger acknowledge POSITION --reason TEXT'
      from gateway.outcome as told join gateway.transfer on transfer.position = told.request
      join ledger.event as ended on ended.position = transfer.ended_position
     where told.ours and told.position > transfer.ended_position
       -- Its end told that it was sent, and this is the report of that; or a later attempt has failed.
       and (told.state = 'sent' and (ended.data ->> 'fate' is distinct from 'sent' or told.sends > 1)
            or told.state = 'failed' and told.sends > 0 and ended.data ->> 'fate' is distinct from 'sent')
       and not told.acknowledged
    union all
    select 'not ended yet', transfer.position, study, project, 'instance ' || coalesce(instance::text, 'unknown'),
           'It is no longer wanted' || coalesce(
               ' since ' || to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), '')
           || ', and its row in REDCap can still be sent.',
           'Every run tries to end it. Is the record locked, or REDCap away? Empty transfer_name there by hand, if it is.'
      from gateway.transfer
      left join lateral (
           select max(recorded_at) as recorded_at from ledger.event as told
            where told.stream = 'study/' || transfer.study
              and ((told.type in ('TransferRetracted', 'TransferStrayed')
                    and told.data ->> 'request' = transfer.position::text)
                   or (told.type = 'TransferRequested'
                       and (told.data -> 'replaces')::jsonb @> to_jsonb(transfer.position)))) as ended on true
     where state = 'ending'
    union all
    select 'not ended yet', double.position, double.study, project, 'instance ' || double.instance,
           'It says the same as instance ' || transfer.instance || ', and can be sent beside it.',
           'Every run tries to end it. Is the record locked, or REDCap away? Empty transfer_name there by hand, if it is.'
      from gateway.double_row as double join gateway.transfer on transfer.position = double.request
     where state = 'placed'
    union all
    select 'not sent for a day', position, study, project, 'instance ' || instance,
           'It has waited in REDCap since ' || to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') || '.',
           'Is the sender running, and are the study''s files on disk? It goes away when the sender reports something.'
      from (select told.position, told.study, transfer.project, told.instance, told.at
              from gateway.outcome as told
              join gateway.transfer on transfer.position = told.request
              join gateway.study on study.study = told.study
              join gateway.look on look.site = study.site
             where told.ours and told.state = 'awaited' and transfer.state = 'placed' and not transfer.found
               and told.at >= look.since
               and not exists (select from gateway.missing_row as missing
                                where missing.study = told.study
                                  and (missing.kind = 'study'
                                       or (missing.kind, missing.key) = ('transfer', transfer.position::text)))
               -- A time ahead of the look, by more than a run takes, is none: a clock was wrong.
               and told.at not between look.looked_at - interval '1 day' and look.looked_at + interval '6 hours') as waiting
    union all
    select 'two gateways with one name', null, null, null, site,
           'Its latest runs came by turns from ' || string_agg(distinct machine, ' and ') || '.',
           'A gateway was cloned with its configuration: give each a ledger.site of its own, or switch one off.'
      from (select site.site, latest.machine,
                   lag(latest.machine) over (partition by site.site order by started_at) is distinct from latest.machine
                   as is_turn
              from gateway.site
             cross join lateral (select machine, started_at from gateway.run
                                  where run.site = site.site and machine <> ''
                                  order by started_at desc limit 60) as latest) as turns
     group by site having count(*) filter (where is_turn) > count(distinct machine);

comment on view audit.attention is 'Everything that a person must look at, with what to do.';
comment on column audit.attention.kind is 'What is wrong, in a few words.';
comment on column audit.attention.position is
    'The position of the event that says so; notices are acknowledged by it.';
comment on column audit.attention.study is 'The StudyInstanceUID, where one study is concerned.';
comment on column audit.attention.project is 'The project, where one is concerned.';
comment on column audit.attention.subject is
    'What it is about: a file, an event''s name, a record id, a row; empty where study and project say it all.';
comment on column audit.attention.details is 'What was found.';
comment on column audit.attention.advice is 'What to do.';

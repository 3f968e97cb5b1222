-- Which IDs are in use, by whose doing; never the IDs themselves.
create view audit.generated_id as
    select used.position, event.recorded_at as drawn_at, used.project,
           used.kind, case when used.kind = 'generated' then used.pattern end as pattern, used.record_id as autoid_record, event.site, event.run
      from gateway.used_id as used
      left join ledger.event on event.position = used.position;

comment on view audit.generated_id is
    'Every ID in use in a project: drawn here, found in REDCap''s AutoID, or reserved because a request of '
    'somebody else carries it. The IDs themselves are sealed: whoever may read them finds them in REDCap''s AutoID.';
comment on column audit.generated_id.position is 'The position of the event that says so.';
comment on column audit.generated_id.drawn_at is 'When it was drawn; for the other kinds, when it was found.';
comment on column audit.generated_id.project is 'The research project.';
comment on column audit.generated_id.kind is 'generated (drawn here), adopted (found in AutoID) or reserved.';
comment on column audit.generated_id.pattern is 'The pattern that it was drawn from; empty where not drawn here.';
comment on column audit.generated_id.autoid_record is
    'The record of REDCap''s AutoID that holds it; empty as long as none does.';
comment on column audit.generated_id.site is 'The site whose run recorded it.';
comment on column audit.generated_id.run is 'The run that recorded it; see audit.run.';

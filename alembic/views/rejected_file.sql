-- Files that could not be used, with the reason, and how it ended.
create view audit.rejected_file as
    select rejected.position, rejected.recorded_at as rejected_at, rejected.site,
           split_part(rejected.data ->> 'path', '/', 1) collate "C" as study,
           rejected.data ->> 'path' as path, rejected.data ->> 'reason' as reason,
           following.recorded_at as ended_at,
           case when following.type = 'FileRejected' then 'rejected again'
                else following.data ->> 'how' end as ended_how,
           following.position is null as open
      from ledger.event as rejected
      left join ledger.event as following
        on following.stream = rejected.stream and following.version = rejected.version + 1
     where rejected.type = 'FileRejected';

comment on view audit.rejected_file is
    'Each time that a file could not be used, with the reason, and how it ended; a file that changes and still '
    'cannot be used has a row for each content.';
comment on column audit.rejected_file.position is 'The position of the event that says so.';
comment on column audit.rejected_file.rejected_at is 'When it was read and rejected.';
comment on column audit.rejected_file.site is 'The site.';
comment on column audit.rejected_file.study is 'The name of its folder, which is the StudyInstanceUID if all is well.';
comment on column audit.rejected_file.path is 'The file, below the raw folder.';
comment on column audit.rejected_file.reason is 'What was expected and what was found.';
comment on column audit.rejected_file.ended_at is 'When that was over.';
comment on column audit.rejected_file.ended_how is
    'How: readable (it has been mended), gone (it was removed) or rejected again (for its next content).';
comment on column audit.rejected_file.open is 'Whether it stands rejected now.';

-- Whether each event is under its hash, for who may not read the events.
--
-- The layout is that of ledger/chain.py. What audit.event withholds of an event cannot be guessed by its hash as long as no
-- view shows its event_id, of which 74 bits are drawn.
create view audit.chain as
    select event.position, event.recorded_at, event.stream, event.version, encode(event.hash, 'hex') as hash,
           event.hash = sha256(
               coalesce(previous.hash, decode(repeat('00', 32), 'hex')) || '\x66696f6e612d3100'::bytea
               || int8send(event.position) || int8send(event.version) || int2send(event.schema_version)
               || int8send((extract(epoch from event.recorded_at) * 1000000)::bigint)
               || uuid_send(event.event_id) || uuid_send(event.run)
               || boolsend(event.subject is not null)
               || uuid_send(coalesce(event.subject, '00000000-0000-0000-0000-000000000000'))
               || boolsend(event.sealed is not null)
               || int4send(octet_length(convert_to(event.site, 'UTF8')))
               || int4send(octet_length(convert_to(event.stream, 'UTF8')))
               || int4send(octet_length(convert_to(event.type, 'UTF8')))
               || int4send(octet_length(convert_to(event.data::text, 'UTF8')))
               || int4send(octet_length(coalesce(event.sealed, '')))
               || convert_to(event.site, 'UTF8') || convert_to(event.stream, 'UTF8') || convert_to(event.type, 'UTF8')
               || convert_to(event.data::text, 'UTF8') || coalesce(event.sealed, '')) as holds,
           coalesce(head.hash = event.hash, false) as is_head
      from ledger.event
      left join ledger.event as previous on previous.position = event.position - 1
      left join ledger.head on head.position = event.position;

comment on view audit.chain is
    'Whether each event is under its hash, which covers the event before it and all that it holds, what is sealed and not '
    'shown included; PostgreSQL computes it when asked.';
comment on column audit.chain.position is 'Its place in the whole ledger, from 1, without gaps.';
comment on column audit.chain.recorded_at is 'When it was recorded.';
comment on column audit.chain.stream is 'What it is about.';
comment on column audit.chain.version is 'Its place among the events of that stream, from 1, without gaps.';
comment on column audit.chain.hash is 'Its hash as text, to be compared with a head that was kept.';
comment on column audit.chain.holds is 'Whether its hash is that of the event before it and of its own columns.';
comment on column audit.chain.is_head is 'Whether the ledger says that it ends here, with this hash.';

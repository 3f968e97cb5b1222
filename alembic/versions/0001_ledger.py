"""The ledger: events, their order, subjects, checkpoints; append-only by trigger.

Revision 0001, the first.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
create table ledger.event (
    position       bigint      primary key,
    event_id       uuid        not null unique,
    site           text        not null,
    stream         text        not null,
    version        integer     not null check (version > 0),
    type           text        not null,
    schema_version smallint    not null check (schema_version > 0),
    data           json        not null,
    subject        uuid,
    sealed         bytea,
    recorded_at    timestamptz not null,
    run            uuid        not null,
    hash           bytea       not null check (octet_length(hash) = 32),
    unique (stream, version),
    check (sealed is null or subject is not null)
);
comment on table ledger.event is 'Every fact, in commit order. Never changed, never deleted.';
comment on column ledger.event.data is
    'json, not jsonb: these very bytes are what the hash covers, and storing them is twice as fast.';
comment on column ledger.event.sealed is 'What identifies a person, encrypted under the key of its subject.';
comment on column ledger.event.hash is 'SHA-256 over the previous event''s hash and this event''s columns.';

create table ledger.head (
    only_row boolean primary key default true check (only_row),
    position bigint  not null,
    hash     bytea   not null
);
comment on table ledger.head is 'The last event. Locked by whoever appends, so that positions have no gaps.';
insert into ledger.head (position, hash) values (0, decode(repeat('00', 32), 'hex'));

create table ledger.vault (
    only_row          boolean     primary key default true check (only_row),
    wrapped_index_key bytea       not null,
    made_at           timestamptz not null default now()
);

create table ledger.subject (
    subject      uuid        primary key,
    kind         text        not null,
    scope        text        not null,
    lookup       bytea       unique,
    wrapped_key  bytea,
    made_at      timestamptz not null default now(),
    check ((lookup is null) = (wrapped_key is null))
);
comment on table ledger.subject is
    'Whom sealed values belong to, with the wrapped data key. A forgotten subject has neither lookup nor key.';

create table ledger.projection (
    name         text    primary key,
    code_version integer not null,
    checkpoint   bigint  not null
);
"""

GUARDS = """
create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'The ledger is append-only: % on %.% is refused.', tg_op, tg_table_schema, tg_table_name
        using hint = 'Facts are never changed. Append an event that says what is true now.';
end $$;
create trigger append_only before update or delete on ledger.event
    for each row execute function ledger.refuse_change();
create trigger never_emptied before truncate on ledger.event
    for each statement execute function ledger.refuse_change();
"""


def upgrade() -> None:
    """Makes the schema ledger."""
    op.execute(TABLES)
    op.execute(GUARDS)

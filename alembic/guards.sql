-- What keeps the ledger as it is, even to its owner: made anew after each upgrade of the tables, and compared with what
-- the database has by `fiona-ledger verify`.
--
-- A session that calls itself a replica (session_replication_role) runs no ordinary triggers: hence `always`.

create or replace function ledger.refuse_change() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'The ledger is append-only: % on %.% is refused.', tg_op, tg_table_schema, tg_table_name
        using hint = 'Facts are never changed. Append an event that says what is true now.';
end $$;

create or replace function ledger.refuse_unforgetting() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'The ledger is append-only: a forgotten subject gets no key again.'
        using hint = 'Who comes back after having been forgotten is a new subject.';
end $$;

create or replace trigger append_only before update or delete on ledger.event
    for each row execute function ledger.refuse_change();
create or replace trigger never_emptied before truncate on ledger.event
    for each statement execute function ledger.refuse_change();
alter table ledger.event enable always trigger append_only, enable always trigger never_emptied;

create or replace trigger never_deleted before delete on ledger.subject
    for each row execute function ledger.refuse_change();
create or replace trigger never_emptied before truncate on ledger.subject
    for each statement execute function ledger.refuse_change();
create or replace trigger forgotten_for_good before update on ledger.subject
    for each row when (old.wrapped_key is null and new.wrapped_key is not null)
    execute function ledger.refuse_unforgetting();
alter table ledger.subject enable always trigger never_deleted, enable always trigger never_emptied,
                           enable always trigger forgotten_for_good;

create or replace trigger never_deleted before delete on ledger.vault
    for each row execute function ledger.refuse_change();
create or replace trigger never_emptied before truncate on ledger.vault
    for each statement execute function ledger.refuse_change();
alter table ledger.vault enable always trigger never_deleted, enable always trigger never_emptied;

create or replace trigger never_deleted before delete on ledger.head
    for each row execute function ledger.refuse_change();
create or replace trigger never_emptied before truncate on ledger.head
    for each statement execute function ledger.refuse_change();
create or replace trigger never_back before update on ledger.head
    for each row when (new.position < old.position) execute function ledger.refuse_change();
alter table ledger.head enable always trigger never_deleted, enable always trigger never_emptied,
                        enable always trigger never_back;

create or replace trigger never_deleted before delete on ledger.attestation
    for each row execute function ledger.refuse_change();
create or replace trigger never_emptied before truncate on ledger.attestation
    for each statement execute function ledger.refuse_change();
create or replace trigger never_back before update on ledger.attestation
    for each row when (new.position < old.position) execute function ledger.refuse_change();
alter table ledger.attestation enable always trigger never_deleted, enable always trigger never_emptied,
                               enable always trigger never_back;

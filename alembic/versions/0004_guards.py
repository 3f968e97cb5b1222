"""Guards around the events: keys and subjects are not deleted, the head does not go back, no guard sleeps.

Revision 0004, after 0003.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

GUARDS = """
create trigger never_deleted before delete on ledger.subject
    for each row execute function ledger.refuse_change();
create trigger never_emptied before truncate on ledger.subject
    for each statement execute function ledger.refuse_change();
create trigger never_deleted before delete on ledger.vault
    for each row execute function ledger.refuse_change();
create trigger never_emptied before truncate on ledger.vault
    for each statement execute function ledger.refuse_change();
create trigger never_deleted before delete on ledger.head
    for each row execute function ledger.refuse_change();
create trigger never_emptied before truncate on ledger.head
    for each statement execute function ledger.refuse_change();
create trigger never_back before update on ledger.head
    for each row when (new.position < old.position) execute function ledger.refuse_change();

create function ledger.refuse_unforgetting() returns trigger language plpgsql as $$
begin
    raise exception 'The ledger is append-only: a forgotten subject gets no key again.'
        using hint = 'Who comes back after having been forgotten is a new subject.';
end $$;
create trigger forgotten_for_good before update on ledger.subject
    for each row when (old.wrapped_key is null and new.wrapped_key is not null)
    execute function ledger.refuse_unforgetting();
"""

# A session that calls itself a replica (session_replication_role) runs no ordinary triggers.
ALWAYS = """
alter table ledger.event enable always trigger append_only, enable always trigger never_emptied;
alter table ledger.subject enable always trigger never_deleted, enable always trigger never_emptied,
                           enable always trigger forgotten_for_good;
alter table ledger.vault enable always trigger never_deleted, enable always trigger never_emptied;
alter table ledger.head enable always trigger never_deleted, enable always trigger never_emptied,
                        enable always trigger never_back;
"""


def upgrade() -> None:
    """Adds the guards."""
    op.execute(GUARDS)
    op.execute(ALWAYS)

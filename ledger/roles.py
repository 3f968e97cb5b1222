"""The least privileges that work: a writer for the periodic run, an auditor for the views, a reader for the page.

None of them can change what stands in the ledger, take its guards away or empty a table: that takes the
owner of the tables, who migrates. Granting again takes back what a role had beyond this.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy import Connection, text

from ledger.errors import Misconfigured


class Roles(NamedTuple):
    """The names of the roles; None: not to be touched."""

    writer: str | None = None
    auditor: str | None = None
    reader: str | None = None

    def named(self) -> list[str]:
        """Those that there are."""
        return [role for role in self if role is not None]


_SCHEMAS = ("ledger", "gateway", "audit")

# An append reads and inserts. Moving the head and the checkpoints locks their rows, which takes the
# right to update them. Keys and subjects are made by runs and destroyed by the owner alone.
_WRITER_IN_LEDGER: Mapping[str, str] = {
    "event": "select, insert",
    "head": "select, update (position, hash)",
    "subject": "select, insert",
    "vault": "select",
    "projection": "select, insert, update",
    "set_apart": "select, insert, update",
    "attestation": "select, update (position, hash, forgotten, code)",
    "lease": "select, insert, update, delete",
    "alembic_version": "select",
}
# What is derived can be derived again: a changed projection is rebuilt by the run itself.
_WRITER_IN_GATEWAY = "select, insert, update, delete"
# What status and explanations are made of. Keys are worth nothing without the key file.
_READER_IN_LEDGER = ("event", "head", "subject", "vault", "set_apart", "lease")


def grant(connection: Connection, roles: Roles) -> None:
    """Gives the roles what they need and takes back all else in the ledger's schemas.

    Raises `Misconfigured` where a role does not exist, would not be bound by grants, or where the
    present role may not grant.
    """
    _check(connection, roles)
    with _driver(connection).cursor() as cursor:
        for statement in statements(connection, roles):
            cursor.execute(statement)


def statements(connection: Connection, roles: Roles) -> list[Composed]:
    """The SQL that `grant` executes."""
    database = connection.execute(text("select current_database()")).scalar_one()
    revocations = [statement for role in roles.named() for statement in _revoked(role)]
    connect = SQL("grant connect on database {} to {}")
    revocations += [connect.format(Identifier(database), Identifier(role)) for role in roles.named()]
    if roles.writer is not None:
        revocations += _writer(roles.writer)
    if roles.auditor is not None:
        revocations += _reader_of_audit(roles.auditor)
    if roles.reader is not None:
        revocations += _reader(roles.reader)
    return revocations


def as_text(connection: Connection, roles: Roles) -> str:
    """The same for an administrator to read and execute; the roles need not exist yet."""
    _require_distinct(roles)
    return "".join(f"{statement.as_string(_driver(connection))};\n" for statement in statements(connection, roles))


def beyond(connection: Connection) -> list[str]:
    """Rights in the ledger's schemas that no grant of ours gives, and what is not its owner's; a sentence each."""
    granted = [
        f"{'Everybody (PUBLIC)' if row.role is None else f'The role {row.role!r}'} may {row.privilege} on {row.what}, "
        "which `fiona-ledger grant` gives to nobody."
        for row in connection.execute(_GRANTED)
        if row.role is None or row.is_grantable or not _is_given(row)
    ]
    foreign = [
        f"{row.what} belongs to {row.owner!r}, not to the ledger's owner." for row in connection.execute(_FOREIGN)
    ]
    return granted + foreign


def besides(connection: Connection, roles: Roles) -> dict[str, list[str]]:
    """What each role can do beside what `grant` gives it, by whatever way: phrases that follow "it may"."""
    powers: dict[str, list[str]] = {role: [] for role in roles.named()}
    for row in connection.execute(_POWERS, {"roles": roles.named()}):
        powers[row.role].append(row.power)
    for role, privileges in _effective(connection, roles).items():
        for privilege, relations in privileges.items():
            others = f" and {len(relations) - 1} more" if len(relations) > 1 else ""
            powers[role].append(f"{privilege} on {relations[0]}{others}")
    return powers


def lacking(connection: Connection) -> list[str]:
    """What `grant` gives a writer and the present role does not have: phrases such as `INSERT on ledger.event`."""
    wanted = [
        ("ledger", table, privilege, columns)
        for table, privileges in _WRITER_IN_LEDGER.items()
        for privilege, columns in _parsed(privileges)
    ]
    wanted += [("gateway", "", privilege, "") for privilege, _ in _parsed(_WRITER_IN_GATEWAY)]
    schemas, tables, privileges, columns = zip(*wanted, strict=True)
    parameters = {
        "schemas": list(schemas),
        "tables": list(tables),
        "privileges": list(privileges),
        "columns": list(columns),
    }
    return list(connection.execute(_LACKING, parameters).scalars())


_LACKING = text("""
    select 'USAGE on schema ' || nspname from pg_namespace
     where nspname in ('ledger', 'gateway') and not has_schema_privilege(oid, 'usage')
    union all
    select distinct upper(privilege) || ' on ' || nspname || '.' || relname
      from unnest(cast(:schemas as text[]), cast(:tables as text[]), cast(:privileges as text[]),
                  cast(:columns as text[])) as wanted (schema, relation, privilege, columns)
      join pg_namespace on nspname = schema
      join pg_class on relnamespace = pg_namespace.oid and relkind = 'r' and relation in (relname, '')
     where case columns when '' then not has_table_privilege(pg_class.oid, privilege)
           else exists (select from unnest(string_to_array(columns, ', ')) as part
                         where not has_column_privilege(pg_class.oid, part, privilege)) end
     order by 1
""")


def _parsed(privileges: str) -> list[tuple[str, str]]:
    """Of `select, update (a, b)`: each privilege, and its columns."""
    return re.findall(r"(\w+)(?: \((.*?)\))?(?:, |$)", privileges)


def _effective(connection: Connection, roles: Roles) -> dict[str, dict[str, list[str]]]:
    """By role and privilege, the relations that it has that privilege on though it was not granted to it."""
    powers: dict[str, dict[str, list[str]]] = {role: {} for role in roles.named()}
    for row in connection.execute(_EFFECTIVE, {"roles": roles.named()}):
        if not _is_given_to(roles, row):
            powers[row.role].setdefault(row.privilege, []).append(f"{row.schema}.{row.relation}")
    return powers


# By membership, by what is granted to everybody, by predefined roles: PostgreSQL itself tells what it comes to.
_EFFECTIVE = text("""
    select role, nspname::text as schema, relname::text as relation, '' as column, privilege
      from pg_class join pg_namespace on pg_namespace.oid = relnamespace
     cross join unnest(cast(:roles as text[])) as role
     cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) as privilege
     where nspname in ('ledger', 'gateway', 'audit') and relkind in ('r', 'v')
       and has_table_privilege(role, pg_class.oid, privilege)
     order by role, privilege, schema, relation
""")
_POWERS = text("""
    select rolname::text as role, power
      from pg_roles cross join lateral (
           select 'make roles and grant what it can grant (CREATEROLE)' as power where rolcreaterole
            union all
           select 'copy the whole server (REPLICATION)' where rolreplication
            union all
           select 'read past row security (BYPASSRLS)' where rolbypassrls
            union all
           select 'make schemas in this database' where has_database_privilege(rolname, current_database(), 'create')
            union all
           select 'make objects in the schema ' || nspname from pg_namespace
            where nspname in ('ledger', 'gateway', 'audit') and has_schema_privilege(rolname, oid, 'create')
            union all
           select 'do what ' || other.rolname || ' can, as a member of it' from pg_roles as other
            where other.oid <> pg_roles.oid and pg_has_role(pg_roles.oid, other.oid, 'member')) as powers
     where rolname = any(:roles)
     order by role, power
""")


def _is_given_to(roles: Roles, row: Any) -> bool:
    if row.role == roles.auditor:
        return bool(row.schema == "audit" and row.privilege == "SELECT")
    if row.role == roles.reader:
        return bool(row.privilege == "SELECT" and (row.schema != "ledger" or row.relation in _READER_IN_LEDGER))
    return _is_given(row)


def _is_given(row: Any) -> bool:
    if not row.relation:
        return bool(row.privilege == "USAGE")
    if row.schema == "audit":
        return bool(row.privilege == "SELECT")
    if row.schema == "gateway":
        return row.privilege in _WRITER_IN_GATEWAY.upper().split(", ")
    given = _parsed(_WRITER_IN_LEDGER.get(row.relation, ""))
    return any(
        row.privilege == privilege.upper() and (not columns or row.column in columns.split(", "))
        for privilege, columns in given
    )


# Functions are everybody's to call, by PostgreSQL's default; ours do nothing but refuse.
_GRANTED = text("""
    with relation as (
         select pg_class.oid, nspname as schema, relname, relacl, relowner
           from pg_class join pg_namespace on pg_namespace.oid = relnamespace
          where nspname in ('ledger', 'gateway', 'audit') and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    ), granted as (
         select schema, relname as relation, '' as column, relowner as owner, acl.*
           from relation cross join lateral aclexplode(relacl) as acl
          union all
         select schema, relname, attname, relowner, acl.*
           from relation join pg_attribute on attrelid = relation.oid cross join lateral aclexplode(attacl) as acl
          union all
         select nspname, '', '', nspowner, acl.* from pg_namespace cross join lateral aclexplode(nspacl) as acl
          where nspname in ('ledger', 'gateway', 'audit'))
    select schema::text, relation::text, "column"::text, privilege_type as privilege, is_grantable,
           case grantee when 0 then null else pg_get_userbyid(grantee)::text end as role,
           concat_ws('.', schema, nullif(relation, ''), nullif("column", '')) as what
      from granted where grantee <> owner
     order by what, role, privilege
""")
_FOREIGN = text("""
    select nspname || '.' || relname as what, pg_get_userbyid(relowner)::text as owner
      from pg_class join pg_namespace on pg_namespace.oid = relnamespace
     where nspname in ('ledger', 'gateway', 'audit') and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
       and relowner <> (select relowner from pg_class where oid = 'ledger.event'::regclass)
     order by what
""")


def _revoked(role: str) -> Iterable[Composed]:
    for schema in _SCHEMAS:
        names = {"schema": Identifier(schema), "role": Identifier(role)}
        yield SQL("revoke all on all tables in schema {schema} from {role}").format(**names)
        yield SQL("revoke all on schema {schema} from {role}").format(**names)


def _writer(role: str) -> Iterable[Composed]:
    writer = Identifier(role)
    yield SQL("grant usage on schema ledger, gateway to {}").format(writer)
    for table, privileges in _WRITER_IN_LEDGER.items():
        yield SQL("grant {} on ledger.{} to {}").format(SQL(privileges), Identifier(table), writer)
    yield SQL("grant {} on all tables in schema gateway to {}").format(SQL(_WRITER_IN_GATEWAY), writer)
    # So that a run works right after a `migrate` that brought new tables.
    yield SQL("alter default privileges in schema gateway grant {} on tables to {}").format(
        SQL(_WRITER_IN_GATEWAY), writer
    )
    yield from _reader_of_audit(role)


def _reader(role: str) -> Iterable[Composed]:
    reader = Identifier(role)
    yield SQL("grant usage on schema ledger, gateway to {}").format(reader)
    for table in _READER_IN_LEDGER:
        yield SQL("grant select on ledger.{} to {}").format(Identifier(table), reader)
    yield SQL("grant select on all tables in schema gateway to {}").format(reader)
    yield SQL("alter default privileges in schema gateway grant select on tables to {}").format(reader)
    yield from _reader_of_audit(role)


def _reader_of_audit(role: str) -> Iterable[Composed]:
    """Views run with their owner's rights: reading them takes no right to the tables below."""
    reader = Identifier(role)
    yield SQL("grant usage on schema audit to {}").format(reader)
    yield SQL("grant select on all tables in schema audit to {}").format(reader)
    yield SQL("alter default privileges in schema audit grant select on tables to {}").format(reader)


def _check(connection: Connection, roles: Roles) -> None:
    _require_distinct(roles)
    known = {row.rolname: row for row in connection.execute(_KNOWN, {"roles": roles.named()})}
    missing = [role for role in roles.named() if role not in known]
    if missing:
        made = " ".join(f"{_create(connection, role)};" for role in missing)
        raise Misconfigured(
            f"PostgreSQL has no role named {' or '.join(map(repr, missing))}. An administrator makes it with: {made} "
            "Then run this again."
        )
    unbound = [role for role in roles.named() if known[role].unbound]
    if unbound:
        raise Misconfigured(
            f"The role {unbound[0]!r} owns the ledger's tables, is a member of their owner, or is a superuser: no "
            "grant restricts it. Name a role of its own."
        )
    owner = connection.execute(_OWNER).one()
    if not owner.may_grant:
        raise Misconfigured(
            f"Only {owner.name!r}, who owns the ledger's tables, or a superuser can grant rights to them; ledger.url "
            f"names {owner.present!r}. Run this with a configuration that names the owner, or give `--sql` to an "
            "administrator."
        )


def _require_distinct(roles: Roles) -> None:
    named = {f"--{purpose}": role for purpose, role in roles._asdict().items() if role is not None}
    if not named:
        raise Misconfigured("Expected --writer ROLE, --auditor ROLE, --reader ROLE or several of them, found none.")
    of_one = [option for option, role in named.items() if roles.count(role) > 1]
    if of_one:
        raise Misconfigured(
            f"{' and '.join(of_one)} name the same role. An auditor who can write is none, nor is such a reader: name "
            "one for each."
        )


_KNOWN = text("""
    select rolname::text, rolsuper or pg_has_role(oid, (
             select relowner from pg_class where oid = 'ledger.event'::regclass), 'member') as unbound
      from pg_roles where rolname = any(:roles)
""")
_OWNER = text("""
    select pg_get_userbyid(relowner)::text as name, current_user::text as present,
           pg_has_role(relowner, 'usage') as may_grant
      from pg_class where oid = 'ledger.event'::regclass
""")


def _create(connection: Connection, role: str) -> str:
    return SQL("create role {} login").format(Identifier(role)).as_string(_driver(connection))


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection

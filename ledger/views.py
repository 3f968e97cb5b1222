"""The views of the schema `audit`: one file each, made anew after each upgrade of the tables below them.

The file `alembic/views/NAME.sql` holds the view `audit.NAME` and its comments, as a whole. Who changes one adds a
migration, be it an empty one: without a new revision `migrate` finds nothing to do. As no view stands while the tables
change, a migration never has to look after views, and a view may gain, lose and rename columns.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from psycopg.errors import DependentObjectsStillExist
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ledger.errors import Misconfigured


class _Privilege(NamedTuple):
    """What a role may do with a view, or with a column of it where one is named; names are quoted for SQL."""

    view: str
    column: str
    role: str
    privilege: str
    grantable: bool

    def granted(self) -> str:
        return f"grant {self._what()} to {self.role}{' with grant option' if self.grantable else ''}"

    def revoked(self) -> str:
        return f"revoke {self._what()} from {self.role}"

    def _what(self) -> str:
        return f"{self.privilege}{self.column and f' ({self.column})'} on audit.{self.view}"


@contextmanager
def made_anew(connection: Connection, folder: Path) -> Iterator[None]:
    """Takes all views away, has the tables changed meanwhile, and makes the folder's views with the grants they had.

    Who was granted something by hand keeps it, and who was refused a view by hand is refused it still; a view that was
    not there before is granted by the default privileges that `grant` leaves. Raises `Misconfigured` where something
    else in the database depends on a view.
    """
    before, privileges = _shown(connection), _privileges(connection)
    _drop(connection, {view for view, _ in before})
    yield
    _make(connection, folder)
    _restore(connection, before, privileges)


def differences(connection: Connection, folder: Path) -> list[str]:
    """Views that are missing or read otherwise than the folder's files say, a sentence each.

    Each is made once more, as a temporary one, so that the same server tells both, whatever its version.
    """
    files = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.sql"))}
    with connection.begin_nested() as trial:
        for name, sql in files.items():
            view, _, _comments = sql.partition("\ncomment on ")
            _execute(connection, view.replace(f"create view audit.{name} as", f"create temporary view {name} as"))
        expected = _reading(connection, "temporary")
        trial.rollback()
    present = _reading(connection, "audit")
    return [
        f"The view audit.{name} is {'not as it was made: somebody has changed it' if name in present else 'missing'}."
        for name in sorted(files)
        if present.get(name) != expected[name]
    ]


def _reading(connection: Connection, schema: str) -> dict[str, str]:
    return {row.name: row.definition for row in connection.execute(_READS, {"schema": schema})}


_READS = text("""
    select relname::text as name, concat_ws(' ', relkind, reloptions, pg_get_viewdef(pg_class.oid),
                                    (select array_agg(attname || ' ' || atttypid order by attnum)
                                       from pg_attribute where attrelid = pg_class.oid)) as definition
      from pg_class join pg_namespace on pg_namespace.oid = relnamespace
     where case when relnamespace = pg_my_temp_schema() then 'temporary' else nspname end = :schema
       and relkind in ('v', 'm')
""")


def in_order(views: Mapping[str, str]) -> list[str]:
    """The names of the views, given with their SQL, each after those that it reads from."""
    reads = {name: _read_by(sql) & (views.keys() - {name}) for name, sql in views.items()}
    return list(TopologicalSorter(reads).static_order())


def _read_by(sql: str) -> set[str]:
    """The views that the SQL names; of what only its comments and texts speak, it does not read."""
    return set(re.findall(r"\baudit\.(\w+)", re.sub(r"--.*|'[^']*'", "", sql)))


def _drop(connection: Connection, views: Iterable[str]) -> None:
    names = ", ".join(f"audit.{view}" for view in sorted(views))
    if not names:
        return
    try:
        # In one statement, so that it does not matter which of them reads from which.
        _execute(connection, f"drop view {names}")
    except DBAPIError as exc:
        if not isinstance(exc.orig, DependentObjectsStillExist):
            raise
        dependents = (exc.orig.diag.message_detail or str(exc.orig)).replace("\n", "; ")
        raise Misconfigured(
            "An upgrade makes the views of the schema audit anew, and something that is not part of the ledger depends "
            f"on them: {dependents}. Drop that, run this again, and make it again. Nothing was changed."
        ) from exc


def _make(connection: Connection, folder: Path) -> None:
    views = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.sql"))}
    for name in in_order(views):
        _execute(connection, views[name])


def _restore(connection: Connection, before: Set[tuple[str, str]], privileges: Set[_Privilege]) -> None:
    """Grants again what was granted on views and columns that are still there, and that alone."""
    now, columns = _privileges(connection), _shown(connection)
    known = {view for view, _ in before}
    for privilege in sorted(now - privileges):
        if privilege.view in known:
            _execute(connection, privilege.revoked())
    for privilege in sorted(privileges - now):
        if (privilege.view, privilege.column) in columns:
            _execute(connection, privilege.granted())


def _execute(connection: Connection, sql: str) -> None:
    """Executes one statement or several; without parameters, colons and percent signs are what they are."""
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def _shown(connection: Connection) -> Set[tuple[str, str]]:
    """Each view with each of its columns, and with none, as privileges name them."""
    return {(view, column) for view, column in connection.execute(_SHOWN)}


_SHOWN = text("""
    select quote_ident(relname), case when attnum is null then '' else quote_ident(attname) end
      from pg_class
     cross join lateral (
           select null::smallint as attnum, null::name as attname
            union all
           select attnum, attname from pg_attribute where attrelid = pg_class.oid and not attisdropped
           ) as columns
     where relnamespace = to_regnamespace('audit') and relkind = 'v'
""")


def _privileges(connection: Connection) -> Set[_Privilege]:
    return {_Privilege(*row) for row in connection.execute(_PRIVILEGES)}


# The owner's own rights come with making a view.
_PRIVILEGES = text("""
    select quote_ident(relname), acl.column,
           case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
           privilege_type, is_grantable
      from pg_class
     cross join lateral (
           select '' as column, granted.* from aclexplode(relacl) as granted
            union all
           select quote_ident(attname), granted.* from pg_attribute cross join lateral aclexplode(attacl) as granted
            where attrelid = pg_class.oid and not attisdropped
           ) as acl
     where relnamespace = to_regnamespace('audit') and relkind = 'v' and grantee <> relowner
""")

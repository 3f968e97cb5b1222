"""The audit's views, listed and read: nothing but schema `audit` is asked, so that an auditor's role is enough."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger import migrations
from ledger.errors import NotMigrated
from processors.errors import ConfigurationError

Row = tuple[Any, ...]

_FETCHED_AT_ONCE = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a view: its SQL type, and what it says."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A view of schema `audit`: what it is for, and its columns in order."""

    name: str
    description: str
    columns: tuple[Column, ...]

    @property
    def when(self) -> Column | None:
        """The column that tells when: the first one that holds a time or a day; None where none does."""
        return next((column for column in self.columns if column.type in _TIMES), None)

    def has(self, column: str) -> bool:
        """Whether the view has a column of that name."""
        return any(known.name == column for known in self.columns)


_TIMES = ("timestamp with time zone", "date")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which rows of a view are wanted. None: no matter which; `until` is the last day wanted."""

    since: date | None = None
    until: date | None = None
    study: str | None = None
    project: str | None = None
    limit: int | None = None


def require_views(connection: Connection) -> None:
    """Raises `NotMigrated` or `LedgerIsNewer` unless the tables fit this program.

    A role that may read nothing but schema `audit` cannot know the revision: it sees the views there are.
    """
    if connection.execute(_MAY_ASK_REVISION).scalar_one_or_none() is not False:
        migrations.require_migrated(connection)
    elif not views(connection):
        raise NotMigrated(
            "Expected views in the schema audit that this role may read, found none. Ask an administrator to run "
            "`fiona-ledger migrate`, and to let the role of ledger.url read the schema audit."
        )


_MAY_ASK_REVISION = text("""
    select has_schema_privilege(nspname, 'usage') and has_table_privilege(pg_class.oid, 'select')
      from pg_class join pg_namespace on pg_namespace.oid = relnamespace
     where nspname = 'ledger' and relname = 'alembic_version'
""")
_COLUMNS = text("""
    select relname as view, obj_description(pg_class.oid, 'pg_class') as view_description,
           attname as column, format_type(atttypid, null) as type,
           col_description(pg_class.oid, attnum) as description
      from pg_class
      join pg_namespace on pg_namespace.oid = relnamespace
      join pg_attribute on attrelid = pg_class.oid
     where nspname = 'audit' and relkind = 'v' and attnum > 0 and not attisdropped
       and has_schema_privilege(pg_namespace.oid, 'usage') and has_table_privilege(pg_class.oid, 'select')
     order by relname, attnum
""")


def in_zone(connection: Connection, zone: str | None) -> None:
    """Has days and times be of that zone until the transaction ends; of the session's where there is no such zone."""
    connection.execute(_IN_ZONE, {"zone": zone})


_IN_ZONE = text("""
    select set_config('TimeZone', name, true) from pg_timezone_names where name = cast(:zone as text)
""")


def views(connection: Connection) -> dict[str, View]:
    """The views that this role may read, by name."""
    columns: dict[str, list[Column]] = {}
    descriptions: dict[str, str] = {}
    for row in connection.execute(_COLUMNS):
        descriptions[row.view] = row.view_description or ""
        columns.setdefault(row.view, []).append(
            Column(name=row.column, type=row.type, description=row.description or "")
        )
    return {
        name: View(name=name, description=descriptions[name], columns=tuple(columns_of_view))
        for name, columns_of_view in columns.items()
    }


def view(connection: Connection, name: str) -> View:
    """The view of that name, with or without `audit.` before it. Raises `ConfigurationError`."""
    known = views(connection)
    view_of_name = known.get(name.removeprefix("audit.").replace("-", "_"))
    if view_of_name is None:
        raise ConfigurationError(f"There is no audit view {name!r}. Expected one of: {', '.join(known)}.")
    return view_of_name


def select(connection: Connection, wanted: View, selection: Selection) -> Iterator[Row]:
    """The rows of the view that are wanted, newest first, in the order of its columns.

    They are fetched in portions while they are read: a ledger's events do not fit into memory.
    Raises `ConfigurationError` where the selection names what the view has no column for.
    """
    columns = ", ".join(f'"{column.name}"' for column in wanted.columns)
    statement = f"select {columns} from audit.{wanted.name}"
    if conditions := _conditions(wanted, selection):
        statement += f" where {' and '.join(conditions)}"
    statement += f" order by {', '.join(_order(wanted, selection))}"
    if selection.limit is not None:
        statement += " limit :limit"
    parameters = {name: value for name, value in asdict(selection).items() if value is not None}
    result = connection.execute(text(statement), parameters, execution_options={"yield_per": _FETCHED_AT_ONCE})
    return (tuple(row) for row in result)


def _conditions(wanted: View, selection: Selection) -> list[str]:
    applicable = _applicable(wanted)
    given = [name for name, value in asdict(selection).items() if value is not None and name != "limit"]
    for name in given:
        if name not in applicable:
            lacking = "time or day" if name in ("since", "until") else name
            fit = ", ".join(f"--{option}" for option in (*applicable, "limit"))
            raise ConfigurationError(
                f"--{name} does not apply to audit.{wanted.name}, which has no column for a {lacking}. "
                f"What applies to it: {fit}."
            )
    return [applicable[name] for name in given]


def _applicable(wanted: View) -> dict[str, str]:
    """The conditions that the view has columns for, by option."""
    conditions = {}
    if wanted.when is not None:
        # Days begin and end in the transaction's time zone, as the days in the views do.
        conditions["since"] = f"{wanted.when.name} >= cast(:since as date)"
        conditions["until"] = f"{wanted.when.name} < cast(:until as date) + 1"
    if wanted.has("study"):
        conditions["study"] = "study = :study"
    if wanted.has("project"):
        conditions["project"] = "project = :project"
    elif wanted.has("projects"):
        conditions["project"] = ":project = any(projects)"
    return conditions


def _order(wanted: View, selection: Selection) -> list[str]:
    """Newest first, by position or by time, which grow together, whichever the planner finds by an index.

    Where days are chosen, that is the time: by position, it would look for an old day's rows from the
    end of the ledger backwards.
    """
    if wanted.when is None:
        return ["kind", "position"]
    if not wanted.has("position"):
        return [f"{wanted.when.name} desc", *(column.name for column in wanted.columns if column.type == "text")]
    days = selection.since is not None or selection.until is not None
    return [f"{wanted.when.name} desc", "position desc"] if days else ["position desc"]

"""The guards: triggers and their functions, which refuse changes of what was appended even to the owner.

`alembic/guards.sql` holds them. They are made anew after each upgrade of the tables, and can be compared with what the
database has: made once more for temporary tables, so that the same server tells both, whatever its version.
"""

import re
from pathlib import Path

from sqlalchemy import Connection, text

_FILE = "guards.sql"


def make(connection: Connection, folder: Path) -> None:
    """Makes the guards, or makes them anew."""
    _execute(connection, _statements(folder))


def differences(connection: Connection, folder: Path) -> list[str]:
    """What is not as `make` makes it, a sentence each: guards missing or changed, and what else acts on the tables."""
    statements = _statements(folder)
    with connection.begin_nested() as trial:
        for table in sorted(set(re.findall(r"\bon ledger\.(\w+)", statements))):
            _execute(connection, f"create temporary table {table} (like ledger.{table}) on commit drop")
        _execute(connection, re.sub(r"\bledger\.", "pg_temp.", statements))
        expected = _acting(connection, ["temporary"])
        trial.rollback()
    present = _acting(connection, ["ledger", "gateway", "audit"])
    return [
        *(f"The {name} is missing: somebody has taken it away." for name in sorted(expected.keys() - present.keys())),
        *(f"The {name} is not of our making." for name in sorted(present.keys() - expected.keys())),
        *(
            f"The {name} is not as it was made: somebody has changed it."
            for name in sorted(expected.keys() & present.keys())
            if present[name] != expected[name]
        ),
    ]


def _acting(connection: Connection, schemas: list[str]) -> dict[str, str]:
    return {row.name: row.definition for row in connection.execute(_ACTING, {"schemas": schemas})}


# All that can act on what is written to a table or read from it, beside the views. Temporary ones go by the names of
# those that they stand for.
_ACTING = text(r"""
    with schema as (
         select oid, case when oid = pg_my_temp_schema() then 'ledger' else nspname end as name from pg_namespace
          where case when oid = pg_my_temp_schema() then 'temporary' else nspname end = any(:schemas)
    ), relation as (
         select pg_class.oid, relrowsecurity, schema.name || '.' || relname as name
           from pg_class join schema on schema.oid = relnamespace
    ), acting (name, definition) as (
         select 'trigger ' || tgname || ' on ' || name, tgenabled::text || ' ' || pg_get_triggerdef(pg_trigger.oid)
           from pg_trigger join relation on relation.oid = tgrelid where not tgisinternal
          union all
         select 'rule ' || rulename || ' on ' || name, pg_get_ruledef(pg_rewrite.oid)
           from pg_rewrite join relation on relation.oid = ev_class where rulename <> '_RETURN'
          union all
         select 'policy ' || polname || ' on ' || name, '' from pg_policy join relation on relation.oid = polrelid
          union all
         select 'row security on ' || name, '' from relation where relrowsecurity
          union all
         select 'function ' || schema.name || '.' || proname || '(' || pg_get_function_identity_arguments(pg_proc.oid)
                || ')', case when prokind in ('f', 'p') then pg_get_functiondef(pg_proc.oid) else prokind::text end
           from pg_proc join schema on schema.oid = pronamespace)
    select name, regexp_replace(definition, '\mpg_temp(_\d+)?\.', 'ledger.', 'g') as definition from acting
""")


def _statements(folder: Path) -> str:
    return (folder / _FILE).read_text("utf-8")


def _execute(connection: Connection, sql: str) -> None:
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

"""Runs the migrations, within the transaction of the connection that `ledger.migrations` hands over.

Alembic's own command line makes new revisions (`alembic revision -m ...`), but upgrades no database: it would leave the
views as they were, and the program would take the ledger for upgraded.
"""

from alembic import context
from alembic.util import CommandError
from sqlalchemy import text

connection = context.config.attributes.get("connection")
if connection is None:
    raise CommandError("Expected to be started by `fiona-ledger migrate`, which makes the views too. Run that instead.")

# Whoever gives the owner an empty schema need not let it make schemas: `if not exists` would ask for that right.
if connection.execute(text("select to_regnamespace('ledger') is null")).scalar_one():
    connection.execute(text("create schema ledger"))
context.configure(connection=connection, version_table_schema="ledger", transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()

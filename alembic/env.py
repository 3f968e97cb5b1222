"""Runs the migrations, within the transaction of the connection that `ledger.migrations` hands over.

Called by Alembic's own command line (a developer's tool), it opens the database named by the
program's configuration, through the same function as the program.
"""

from alembic import context
from sqlalchemy import Connection, text


def run(connection: Connection) -> None:
    """Applies the wanted migrations; the version table lives in the schema `ledger`."""
    connection.execute(text("create schema if not exists ledger"))
    context.configure(connection=connection, version_table_schema="ledger", transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


if "connection" in context.config.attributes:
    run(context.config.attributes["connection"])
else:
    from processors.configuration import load
    from processors.gateway import open_gateway_database

    database = open_gateway_database(load(None))
    with database.begin() as opened:
        run(opened)
    database.close()

"""${message}

Revision ${up_revision}, after ${down_revision}.
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """${message}"""
    op.execute("")

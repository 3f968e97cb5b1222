"""Migrations of a later version of the program, for tests to upgrade to."""

import shutil
from pathlib import Path

from ledger import migrations


def later(parent: Path, statements: str = "select 1") -> Path:
    """A folder with the program's views and migrations, and one migration more, which executes the statements."""
    folder = parent / "later"
    shutil.copytree(migrations.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    newest = migrations.revisions()[-1]
    revision = f"{int(newest) + 1:04}"
    (folder / "versions" / f"{revision}_later.py").write_text(
        f"from alembic import op\n\nrevision = {revision!r}\ndown_revision = {newest!r}\n\n\n"
        f"def upgrade():\n    op.execute({statements!r})\n",
        "utf-8",
    )
    return folder

"""docs/audit.md, kept true: `python -m tests.audit.documentation` writes anew what the database says.

That is the description and the columns of each view, from its COMMENTs, and the output below each example:
a query in a block `sql`, or a command in a block `console`, run over the history of `history.py`. All other
words are written by hand.
"""

import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection
from typer.testing import CliRunner

from ledger import embedded
from ledger.database import open_database
from ledger.migrations import migrate
from ledger.programs import installed
from ledger.vault import initialise
from processors.cli.main import app
from processors.operations import audit
from processors.operations.audit import View
from tests.audit.conftest import ZONE, Story, told_story
from tests.audit.test_command import configuration
from tests.conftest import Server, server_folder

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"

_SECTION = re.compile(r"^## audit\.(\w+)\n\n(?:(?!#|```)(?:.*\S.*)\n)*(?:\n(?:\|.*\n)+)?", re.MULTILINE)
_QUERY = re.compile(r"```sql\n(.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)
_COMMAND = re.compile(r"```console\n\$ fiona-ledger audit(.*?)\n.*?```\n", re.DOTALL)


def refreshed(document: str, story: Story) -> str:
    """The document with what the database of the story says in place of what was there."""
    with story.database.begin() as connection, tempfile.TemporaryDirectory() as folder:
        views = audit.views(connection)
        config = configuration(story.url, Path(folder))
        document = _SECTION.sub(lambda found: _section(views[found[1]]), document)
        document = _QUERY.sub(lambda found: _example(connection, found[1]), document)
        return _COMMAND.sub(_printed(config), document)


def documented(document: str) -> list[str]:
    """The views that have a section, in its order."""
    return [found[1] for found in _SECTION.finditer(document)]


def _section(view: View) -> str:
    lines = [f"## audit.{view.name}", "", view.description, "", "| column | type | what it says |", "|---|---|---|"]
    lines += [
        f"| `{column.name}` | {_TYPES.get(column.type, column.type)} | {column.description} |"
        for column in view.columns
    ]
    return "\n".join(lines) + "\n"


_TYPES = {"timestamp with time zone": "timestamptz", "double precision": "float"}


def _example(connection: Connection, query: str) -> str:
    return f"```sql\n{query}```\n\n```text\n{_answer(connection, query)}```\n"


def _answer(connection: Connection, query: str) -> str:
    """What psql prints: the server's own text of each value."""
    driver = connection.connection.driver_connection
    assert driver is not None
    result = driver.pgconn.exec_(query.encode())
    assert result.status == pq.ExecStatus.TUPLES_OK, result.error_message
    places = range(result.nfields)
    rows = [[(result.fname(place) or b"").decode() for place in places]]
    rows += [[(result.get_value(row, place) or b"").decode() for place in places] for row in range(result.ntuples)]
    widths = [max(len(row[place]) for row in rows) for place in places]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(f" {line}" for line in lines) + f"\n({result.ntuples} row{'' if result.ntuples == 1 else 's'})\n"


def _printed(config: Path) -> Callable[[re.Match[str]], str]:
    def printed(found: re.Match[str]) -> str:
        result = CliRunner().invoke(app, ["--config", str(config), "audit", *shlex.split(found[1])], env={"TZ": ZONE})
        assert result.exit_code == 0, result.output
        lines = "\n".join(line.rstrip() for line in result.stdout.replace("\r\n", "\n").splitlines())
        return f"```console\n$ fiona-ledger audit{found[1]}\n{lines}\n```\n"

    return printed


def main() -> None:
    """Writes the document anew."""
    with server_folder() as folder:
        started = embedded.start(folder, max(installed()))
        try:
            server = Server(f"postgresql://postgres@/postgres?host={conninfo_to_dict(started.conninfo)['host']}")
            key_file = folder / "vault.key"
            with server.fresh() as template:
                database = open_database(server.url_of(template), folder)
                migrate(database)
                with database.begin() as connection:
                    initialise(connection, key_file)
                database.close()
                with told_story(server, template, key_file) as story:
                    DOCUMENT.write_text(refreshed(DOCUMENT.read_text("utf-8"), story), "utf-8")
        finally:
            started.close()


if __name__ == "__main__":
    main()

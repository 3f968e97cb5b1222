"""Lines, tables and progress bars as a terminal shows them, made harmless; imported by `console` when there are any."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from ledger.batching import Progress
from processors.cli.harmless import on_a_line


class Screen(Console):
    """A console that prints every text as it is, on one line and without what steers a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """What of lines, cells and titles the console makes its output of."""
        return super().render_str(on_a_line(text), **options)


@contextmanager
def progress_bar(name: str) -> Iterator[Progress]:
    """A bar on standard error for a piece of work; what is given is told how far it has come."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table of text; `rows` are cells in the order of `columns`."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made

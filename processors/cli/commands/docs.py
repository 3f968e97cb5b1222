"""`fiona-ledger docs`: where the documentation is."""

from pathlib import Path

from processors import shipped
from processors.cli import console
from processors.cli.options import JsonOption


def command(*, json: JsonOption = False) -> None:
    """Tell where the documentation of this very version is, and what each page is about.

    Example: less "$(fiona-ledger docs | head -n 1)/README.md"
    """
    titles = {str(page.relative_to(shipped.FOLDER)): _title(page) for page in shipped.pages()}
    if json:
        console.print_json({"folder": str(shipped.FOLDER), "pages": titles})
        return
    out = console.output()
    out.print(str(shipped.FOLDER))
    width = max(map(len, titles))
    for page, title in titles.items():
        out.print(f"  {page.ljust(width)}  {title}")


def _title(page: Path) -> str:
    with page.open(encoding="utf-8") as lines:
        return next(lines).removeprefix("#").strip()

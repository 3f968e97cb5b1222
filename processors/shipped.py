"""What an installation brings beside the program: its documentation, and what an operating system is given."""

from pathlib import Path


def _shipped() -> Path:
    here = Path(__file__).parent
    packaged = here / "_shipped"
    return packaged if packaged.is_dir() else here.parent


FOLDER = _shipped()
"""The folder with README.md, docs/ and deploy/."""


def pages() -> list[Path]:
    """The documentation, in the order in which to read it."""
    return [
        FOLDER / "README.md",
        *sorted((FOLDER / "docs").glob("*.md")),
        FOLDER / "SECURITY.md",
        FOLDER / "CHANGELOG.md",
    ]


def deployed(name: str) -> str:
    """The text of a file in deploy/."""
    return (FOLDER / "deploy" / name).read_text("utf-8")

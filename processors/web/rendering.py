"""Templates, filled with values that can do nothing to a page: escaped, on one line, nothing that turns letters."""

import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from processors.clocks import duration
from processors.text import printable

FOLDER: Final = Path(__file__).parent
STATIC: Final = FOLDER / "static"

_STUDY: Final = r"(?P<study>(?<![\w.])[0-9]+(?:\.[0-9]+){4,}(?![\w.]))"
_DIRECTIVE: Final = r"\b(?P<kind>routing rule|coupling entry) (?P<record>(?=[\w-]*[0-9])[\w-]+)"
_NAMED: Final = f"`(?P<command>[^`]+)`|{_STUDY}|{_DIRECTIVE}"
_PAGES: Final = {"routing rule": "rule", "coupling entry": "entry"}


def environment(local: Callable[[datetime], datetime], *, live: bool) -> Environment:
    """The templates. `local` gives a moment in the hospital's zone; `live`: there are pages to lead to."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def moment(value: datetime, pattern: str = "%Y-%m-%d %H:%M") -> Markup:
        there = local(value)
        return Markup('<time datetime="{}">{}</time>').format(there.isoformat(), there.strftime(pattern))

    made.filters |= {
        "moment": moment,
        "linked": linked if live else lambda words, projects=(): printable(words),  # noqa: ARG005 - as linked has it
        "duration": lambda value: "" if value is None else duration(value),
        "number": lambda value: Markup("&#8239;").join(f"{value:,}".split(",")),
    }
    made.globals |= {"live": live, "link": link, "timedelta": timedelta}
    return made


def linked(words: str, projects: Collection[str] = ()) -> Markup:
    """The words with a link on each study, routing rule and coupling entry that they name, and on these projects.

    What stands between backticks is set as what a person types.
    """
    names = "|".join(re.escape(name) for name in sorted(projects, key=len, reverse=True) if name)
    pattern = re.compile(f"{_NAMED}|(?P<project>{names})" if names else _NAMED, re.IGNORECASE)
    parts, end = [], 0
    for found in pattern.finditer(words):
        parts += [escape(printable(words[end : found.start()])), _anchor(found, words[: found.start()])]
        end = found.end()
    return Markup("").join([*parts, escape(printable(words[end:]))])


def _anchor(found: re.Match[str], before: str) -> Markup:
    named = found.groupdict()
    if named["command"]:
        return Markup("<code>{}</code>").format(printable(named["command"]))
    if named["study"]:
        if not _means_a_study(before):
            return escape(found[0])
        address = link("study", uid=found[0])
    elif named["kind"]:
        address = link(_PAGES[named["kind"].lower()], record=named["record"])
    else:
        address = link("project", name=found[0])
    return Markup('<a href="{}">{}</a>').format(address, printable(found[0]))


def _means_a_study(before: str) -> bool:
    """Whether the UID after these words is that of a study here: neither a series' nor one under which it was sent."""
    words = before.lower()
    return max(words.rfind("series"), words.rfind("under study uid")) <= words.replace("under study", "").rfind("stud")


def link(page: str, **parameters: str | None) -> str:
    """The address of a page: relative, so that a web server may put it in any folder."""
    given = {name: value for name, value in parameters.items() if value}
    return f"{page}?{urlencode(given)}" if given else page


def _shown(value: Any) -> Any:
    if value is None:
        return ""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)

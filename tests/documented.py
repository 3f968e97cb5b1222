"""The commands that a page of docs/ shows for a terminal, with what they say."""

import re
from dataclasses import dataclass

from tests.processes import ROOT


@dataclass(frozen=True)
class Command:
    """A line after root's prompt, and what is shown below it."""

    line: str
    output: str


def commands(page: str) -> list[Command]:
    """All in blocks of the kind `console`, in their order."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    given = [part.partition("\n") for block in blocks for part in re.split(r"^# ", block, flags=re.MULTILINE)[1:]]
    return [Command(line, output) for line, _, output in given]

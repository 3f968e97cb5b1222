"""New IDs for a project: drawn from its naming pattern, or by the site's own tool."""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from processors import bounds
from processors.autoid.site_tool import ToolError, answer_of, tidied_on_sigterm
from processors.configuration.settings import AutoidSection
from processors.naming import Pattern, PatternError, Sampler, parse
from processors.routing import patterns

EXHAUSTED = "all IDs of the naming pattern are in use"
_CHECK_SECONDS = 1.0
_MOST_AT_ONCE = 10_000


class Taken(Protocol):
    """What nobody may be given."""

    def readable(self) -> Collection[str]:
        """Those of the IDs in use that can be read: not those of patients who were forgotten, nor reserved ones."""

    def free(self, values: Sequence[str]) -> Sequence[str]:
        """Those of the values that nobody has, not even in another case or width."""


class NoID(Exception):
    """No ID can be given now; the message is the reason for which studies are held."""


@lru_cache(maxsize=8)
def _parsed(pattern: str) -> Pattern:
    """The pattern, read once and not for each of thousands of names."""
    return parse(pattern)


class Generator(Protocol):
    """Makes IDs that match a project's naming pattern."""

    @property
    def reads_patterns_itself(self) -> bool:
        """Whether only the generator knows which patterns can be used; else those that `naming` can read can."""

    def matches(self, pattern: str, value: str) -> bool:
        """Whether a value could come from the pattern."""

    def draw(self, pattern: str, count: int, taken: Taken) -> list[str]:
        """Up to `count` different IDs that match and are free.

        Raises `NoID` where not even one can be had.
        """


class OwnGenerator:
    """Draws from the pattern's language: every unused ID with equal likelihood."""

    reads_patterns_itself = False

    def __init__(self, randbelow: Callable[[int], int]) -> None:
        self._randbelow = randbelow

    def matches(self, pattern: str, value: str) -> bool:
        """Whether the value is one of the pattern's IDs."""
        try:
            return _parsed(pattern).matches(value)
        except PatternError:
            return False

    def draw(self, pattern: str, count: int, taken: Taken) -> list[str]:
        """Fewer than `count` only where no more are left.

        What is taken is found out of what was drawn, and more is drawn instead: to open all IDs in use before would
        take far longer, and those of forgotten patients do not open. The fewer are free, the more are drawn at once.
        """
        # A blank is no name for anybody, even where a pattern allows it.
        sampler = Sampler(_parsed(pattern), {""})
        drawn: list[str] = []
        at_once = count
        while len(drawn) < count and sampler.left:
            more = [sampler.draw(self._randbelow) for _ in range(min(at_once, sampler.left))]
            drawn = list(taken.free([*drawn, *more]))
            at_once = min(2 * at_once, _MOST_AT_ONCE)
        del drawn[count:]
        if not drawn:
            raise NoID(EXHAUSTED)
        if any(value != value.strip() for value in drawn):
            raise NoID("the naming pattern gives IDs with blanks at their ends, which REDCap does not keep")
        return drawn


class SiteGenerator:
    """Asks the site's own tool, which is called as `gen-id` is; what it returns is checked."""

    reads_patterns_itself = True

    def __init__(self, path: Path, *, time_limit: float) -> None:
        self._path = path
        self._time_limit = time_limit

    def matches(self, pattern: str, value: str) -> bool:
        """Whether the value matches the whole pattern, read as a Python regular expression."""
        try:
            match = patterns.match(pattern, value, time_limit=_CHECK_SECONDS)
        except (patterns.BadPattern, patterns.PatternTimeout):
            return False
        return match is not None and match.whole

    def draw(self, pattern: str, count: int, taken: Taken) -> list[str]:
        """All `count`, or `NoID`: what a tool has got wrong once is not trusted in part.

        It is told of the IDs in use that can be read. Where it gives one of the others, it is asked again with that one
        among them, as long as it may take: a tool that counts on would give the same one for ever.
        """
        used = taken.readable()
        others: set[str] = set()
        begun = time.monotonic()
        while True:
            lines = self._answer(pattern, {*used, *others}, count)
            self._check(pattern, used, count, lines)
            more = set(lines).difference(taken.free(lines))
            if not more:
                return lines
            if more <= others or time.monotonic() - begun > self._time_limit:
                raise NoID("the site's ID generator gave an ID that people take for one in use, or for one withdrawn")
            others |= more

    def _answer(self, pattern: str, used: Collection[str], count: int) -> list[str]:
        with tidied_on_sigterm(), tempfile.TemporaryDirectory(prefix="fiona-ledger-") as folder:
            excluded = Path(folder) / "used-ids"
            descriptor = os.open(excluded, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(f"{value}\n" for value in sorted(used))
            return self._call(pattern, excluded, count)

    def _call(self, pattern: str, excluded: Path, count: int) -> list[str]:
        command = [str(self._path), "-r", pattern, "-e", str(excluded), "-n", str(count), "-m", "random-id"]
        try:
            return answer_of(command, time_limit=self._time_limit).decode("utf-8").splitlines()
        except ToolError as exc:
            raise NoID(f"the site's ID generator {exc}") from exc
        except UnicodeDecodeError as exc:
            raise NoID("the site's ID generator did not answer in UTF-8") from exc

    def _check(self, pattern: str, used: Collection[str], count: int, lines: list[str]) -> None:
        if len(lines) != count:
            raise NoID(f"the site's ID generator was asked for {count} IDs and gave {len(lines)}")
        if len(set(lines)) != count or not set(used).isdisjoint(lines):
            raise NoID("the site's ID generator gave an ID that is in use")
        if not all(value and value == value.strip() and self.matches(pattern, value) for value in lines):
            raise NoID("the site's ID generator gave an ID that does not match the naming pattern")
        if any(len(value) > bounds.PSEUDONYM for value in lines):
            raise NoID(f"the site's ID generator gave an ID of more than {bounds.PSEUDONYM} characters")


def generator_of(section: AutoidSection) -> Generator:
    """The generator that is configured: the site's own tool, or else ours."""
    if section.generator is None:
        return OwnGenerator(secrets.randbelow)
    return SiteGenerator(section.generator, time_limit=section.generator_timeout_seconds)

"""Do the tests notice it when the code that decides does something else? `make mutants` changes it, a bit at a time.

mutmut makes the mutants of functions (`[tool.mutmut]` in pyproject.toml says of what, and which tests are to kill
them). It leaves SQL alone, some of which decides: so its conditions are changed here. One PostgreSQL and one migrated
database serve all of them, because others for each would take most of the time.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from fnmatch import fnmatch
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import NamedTuple

import pytest
from _pytest.runner import runtestprotocol
from sqlalchemy import TextClause, text

from processors.autoid import candidates
from processors.projections import transfers
from processors.projections.rows import Statement
from tests.conftest import TEST_TEMPLATE, TEST_URL, a_server, a_template

MUTMUT = Path(sys.executable).with_name("mutmut")
CONFIGURED = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
WANTED = 0.95

SQL_THAT_DECIDES = {candidates: "tests/autoid/test_waiting.py", transfers: "tests/projections/test_transfers.py"}
"""Modules, each with the tests that are to kill the mutants of its SQL."""

MODULES = sorted(path.removesuffix(".py").replace("/", ".") for path in CONFIGURED["only_mutate"])

Fates = dict[str, str]
"""What became of mutants, by name, in mutmut's words."""

KILLED = ("killed", "timeout", "caught by type check")
"""Noticed, by a test or by mypy, which is part of `make test`."""


def main(names: Sequence[str]) -> int:
    """Prints the survivors and how many were killed; 1 where too few were. `names` are patterns of those to try."""
    with a_server() as server, TemporaryDirectory() as folder, a_template(server, Path(folder)) as (template, key_file):
        os.environ |= {TEST_URL: server.url, TEST_TEMPLATE: f"{template}:{key_file}"}
        fates = {name: fate for name, fate in all_fates(names).items() if fate != "not checked"}
    for name, fate in sorted(fates.items()):
        if fate not in KILLED:
            print(f"{fate}: {name}")  # noqa: T201
    is_enough = True
    for module, counted in by_module(fates).items():
        killed, tried = sum(counted[fate] for fate in KILLED), counted.total()
        is_enough &= killed >= WANTED * tried
        how = ", ".join(f"{number} {fate}" for fate, number in counted.most_common())
        print(f"{module}: {killed} of {tried} mutants noticed ({killed / tried:.1%}): {how}.")  # noqa: T201
    return int(not is_enough)


def all_fates(names: Sequence[str]) -> Fates:
    """What becomes of the mutants that are chosen, of all where none are."""
    return mutants_of_functions(names) | mutants_of_sql(names)


def by_module(fates: Fates) -> dict[str, Counter[str]]:
    """How many mutants of each module came to what."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for name, fate in sorted(fates.items()):
        module = next(module for module in MODULES if name.startswith(f"{module}."))
        counted[module][fate] += 1
    return counted


# Functions


def mutants_of_functions(names: Sequence[str]) -> Fates:
    """What becomes of mutmut's, which takes no name that is none of its own."""
    own = [name for name in names if ": " not in name]
    if names and not own:
        return {}
    environment = os.environ | {"PATH": f"{MUTMUT.parent}:{os.environ['PATH']}"}
    # Its progress is one line that is written over a thousand times.
    subprocess.run([MUTMUT, "run", "--max-children", "1", *own], env=environment, stdout=subprocess.DEVNULL, check=True)
    listed = subprocess.run([MUTMUT, "results", "--all", "true"], capture_output=True, text=True, check=True).stdout
    return dict(line.strip().rsplit(": ", 1) for line in listed.splitlines() if ": " in line)


# SQL


class SqlMutant(NamedTuple):
    """A statement of a module with one condition changed."""

    name: str
    module: ModuleType
    variable: str
    changed: TextClause


def mutants_of_sql(names: Sequence[str]) -> Fates:
    """What becomes of those whose names fit. Ends the program where a module's tests fail without a mutant."""
    fates: Fates = {}
    for module, tests in SQL_THAT_DECIDES.items():
        mutants = [each for each in sql_mutants(module) if not names or any(fnmatch(each.name, name) for name in names)]
        if not mutants:
            continue
        trial = Trial(mutants)
        # What is imported here already shows no values where it fails, which nobody would read.
        unread = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
        with redirect_stdout(StringIO()) as told:
            ended = pytest.main(["-n0", *unread, tests], plugins=[trial])
        if ended != pytest.ExitCode.OK:
            sys.exit(told.getvalue())
        fates |= trial.fates
    return fates


class Trial:
    """Runs the collected tests on one mutant after another, in one session: starting takes longer than they do."""

    def __init__(self, mutants: Sequence[SqlMutant]) -> None:
        self._mutants = mutants
        self.fates: Fates = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Takes the place of running each test once."""
        tests = list(session.items)
        assert not self._notice(tests), f"{tests[0].nodeid} fails without a mutant"
        for mutant in self._mutants:
            with in_place(mutant):
                self.fates[mutant.name] = "killed" if self._notice(tests) else "survived"
        return True

    @staticmethod
    def _notice(tests: list[pytest.Item]) -> bool:
        """Whether a test fails; it is the first to be asked the next time, as mutants of one statement are alike."""
        for number, test in enumerate(tests):
            test._initrequest()  # type: ignore[attr-defined]
            # Told of a test that follows, it leaves what belongs to the session as it is.
            if any(report.failed for report in runtestprotocol(test, nextitem=tests[number - 1], log=False)):
                tests.insert(0, tests.pop(number))
                return True
        return False


@contextmanager
def in_place(mutant: SqlMutant) -> Iterator[None]:
    """The statement is the changed one meanwhile."""
    held = getattr(mutant.module, mutant.variable)
    holder, attribute = (held, "sql") if isinstance(held, Statement) else (mutant.module, mutant.variable)
    original = getattr(holder, attribute)
    object.__setattr__(holder, attribute, mutant.changed)
    yield
    object.__setattr__(holder, attribute, original)


def sql_mutants(module: ModuleType) -> Iterator[SqlMutant]:
    """All of a module."""
    for variable, statement in statements_of(module):
        for start, end, instead in changes(statement.text):
            changed = text(statement.text[:start] + instead + statement.text[end:])
            told = f"{' '.join(statement.text[start:end].split())} -> {instead.strip()}"
            yield SqlMutant(f"{module.__name__}.{variable}: {told}", module, variable, changed)


def statements_of(module: ModuleType) -> Iterator[tuple[str, TextClause]]:
    """The statements of a module, by the names that they have there."""
    for name, value in vars(module).items():
        statement = value.sql if isinstance(value, Statement) else value
        if isinstance(statement, TextClause):
            yield name, statement


Change = tuple[int, int, str]
"""From where to where a text is replaced, and by what."""

_COMPARISONS = {">=": ">", "<=": "<", ">": ">=", "<": "<="}
_OPENINGS = re.compile(r"\b(?:where|on(?! conflict)|when|and|or)\b|[(,]")
_WORDS = re.compile(r"[a-z_]+|[(),]")
_ENDS = frozenset(
    ("and", "or", "as", "end", "from", "group", "join", "left", "limit", "order", "set", "then", "union", "where", ",")
)


def changes(sql: str) -> Iterator[Change]:
    """Every way to leave out a condition, to let a limit in or keep it out, or not to overwrite a column."""
    for opening in _OPENINGS.finditer(sql):
        start, (end, closing) = opening.end(), _operand(sql, opening.end())
        is_condition = opening.group() not in "(," or closing in ("and", "or")
        if is_condition and not _ends_between(sql, opening):
            joined_by = opening.group() if opening.group() in ("and", "or") else closing
            yield start, end, " false" if joined_by == "or" else " true"
    for comparison in re.finditer(r"(?<= )(?:[<>]=?)(?= )", sql):
        yield comparison.start(), comparison.end(), _COMPARISONS[comparison.group()]
    table = re.search(r"insert into gateway\.(\w+)", sql)
    for column in re.finditer(r"(\w+) = excluded\.\w+", sql):
        assert table is not None
        yield column.start(), column.end(), f"{column[1]} = {table[1]}.{column[1]}"


def _operand(sql: str, start: int) -> tuple[int, str]:
    """Where the operand that begins there ends, and the word that ends it."""
    depth, is_between = 0, False
    for word in _WORDS.finditer(sql, start):
        depth += {"(": 1, ")": -1}.get(word.group(), 0)
        if depth < 0 or (depth == 0 and word.group() in _ENDS and not is_between):
            return len(sql[: word.start()].rstrip()), word.group()
        is_between = depth == 0 and (word.group() == "between" or (is_between and word.group() != "and"))
    return len(sql.rstrip()), ""


def _ends_between(sql: str, opening: re.Match[str]) -> bool:
    """Whether it is the `and` of a `between`."""
    before = re.findall(r"\b(?:between|and|or)\b", sql[: opening.start()])
    return opening.group() == "and" and before[-1:] == ["between"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

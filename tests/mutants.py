"""Do the tests notice it when the code that decides does something else? `make mutants` changes it, a bit at a time.

mutmut makes the mutants of functions (`[tool.mutmut]` in pyproject.toml says of what, and which tests are to kill
them). It leaves SQL alone, some of which decides: so its conditions are changed here, each in a child of its own. One
PostgreSQL and one migrated database serve all of them, because others for each would take most of the time.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import NamedTuple

import pytest
from sqlalchemy import TextClause

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
    """What becomes of mutmut's."""
    environment = os.environ | {"PATH": f"{MUTMUT.parent}:{os.environ['PATH']}"}
    # Its progress is one line that is written over a thousand times.
    subprocess.run(
        [MUTMUT, "run", "--max-children", "1", *names], env=environment, stdout=subprocess.DEVNULL, check=True
    )
    listed = subprocess.run([MUTMUT, "results", "--all", "true"], capture_output=True, text=True, check=True).stdout
    return dict(line.strip().rsplit(": ", 1) for line in listed.splitlines() if ": " in line)


# SQL


class SqlMutant(NamedTuple):
    """A statement with one condition changed; `tests` are to notice."""

    name: str
    statement: TextClause
    changed: str
    tests: str


def mutants_of_sql(names: Sequence[str]) -> Fates:
    """What becomes of those whose names fit."""
    chosen = (mutant for mutant in sql_mutants() if not names or any(fnmatch(mutant.name, name) for name in names))
    return {mutant.name: fate_of(mutant) for mutant in chosen}


def fate_of(mutant: SqlMutant) -> str:
    """What becomes of it when its tests are run, in a child that has it in its memory."""
    child = os.fork()
    if not child:
        mutant.statement.text = mutant.changed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os._exit(pytest.main(["-x", "-n0", mutant.tests]))
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {pytest.ExitCode.OK: "survived", pytest.ExitCode.TESTS_FAILED: "killed"}.get(ended, f"exit {ended}")  # type: ignore[call-overload]


def sql_mutants() -> Iterator[SqlMutant]:
    """All of the modules that have SQL that decides."""
    for module, tests in SQL_THAT_DECIDES.items():
        for name, statement in statements_of(module):
            for start, end, instead in changes(statement.text):
                changed = statement.text[:start] + instead + statement.text[end:]
                told = f"{' '.join(statement.text[start:end].split())} -> {instead.strip()}"
                yield SqlMutant(f"{module.__name__}.{name}: {told}", statement, changed, tests)


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

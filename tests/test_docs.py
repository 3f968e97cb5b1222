"""What the README says is compared with what the program is."""

import re
from pathlib import Path
from types import NoneType
from typing import get_args

import pytest
from pydantic import BaseModel

from processors.cli.commands import COMMANDS
from processors.cli.main import load
from processors.configuration.settings import Configuration, TokenSource
from processors.events import FACTS
from processors.project_designs import project_designs
from processors.requests import IN_FORCE, ReportState, State

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = README + "".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))


NAMES = [name for commands in COMMANDS.values() for name in commands]


@pytest.mark.parametrize("command", NAMES)
def test_every_command_is_in_the_documentation(command: str) -> None:
    assert f"fiona-ledger {command}" in DOCS


@pytest.mark.parametrize("command", NAMES)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    assert re.search(rf"^Example\b.*\bfiona-ledger .*\b{command}\b", load(command).help, re.MULTILINE)


def keys(model: type[BaseModel]) -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        kind = next((part for part in get_args(field.annotation) if part is not NoneType), field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not TokenSource:
            found.extend(keys(kind))
        else:
            found.append(name)
    return found


@pytest.mark.parametrize("key", keys(Configuration))
def test_every_key_of_the_configuration_is_in_the_readme(key: str) -> None:
    assert re.search(rf"^ *(# )?{key} = ", README, re.MULTILINE)


def test_every_kind_of_attention_is_in_the_troubleshooting() -> None:
    view = (ROOT / "alembic" / "views" / "attention.sql").read_text("utf-8")
    kinds = set(re.findall(r"select '([a-z A-Z-]+)'(?: as kind)?, position", view))
    assert len(kinds) > 8
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in README] == []


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_links_within_the_documentation_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_links_within_the_documentation_lead_to_headings(path: Path) -> None:
    for target, heading in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", path.read_text("utf-8")):
        page = (path.parent / target if target else path).read_text("utf-8")
        headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
        assert heading in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, (
            target,
            heading,
        )


def test_every_field_of_redcaps_projects_is_in_the_page_on_redcap() -> None:
    page = (ROOT / "docs" / "redcap.md").read_text("utf-8")
    fields = [field for design in project_designs(with_withdrawals=True).values() for field in design.fields]
    assert [field["field_name"] for field in fields if f"`{field['field_name']}`" not in page] == []


def test_the_life_of_a_request_is_drawn_as_the_code_has_it() -> None:
    page = (ROOT / "docs" / "lifecycle.md").read_text("utf-8").partition("## The life of a study")[0]
    rows = dict(re.findall(r"^\| `([a-z ]+)` \| (yes|no|[^|]+) \|", page, re.MULTILINE))
    states = {state for state, column in rows.items() if column in ("yes", "no")}
    assert states == set(get_args(State))
    assert {state for state in states if rows[state] == "yes"} == set(IN_FORCE)
    assert rows.keys() - states == set(get_args(ReportState))
    assert set(re.findall(r"^    (\w+) --> \w+:", page, re.MULTILINE)) == states


def test_the_tests_that_the_documents_name_exist() -> None:
    named = set(re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", DOCS))
    assert len(named) > 20
    lost = [test for path, test in named if f"def {test}(" not in (ROOT / path).read_text("utf-8")]
    assert lost == []


@pytest.mark.parametrize("page", ["lifecycle.md", "architecture.md", "deciding.md", "reconciling.md"])
def test_the_events_that_a_page_names_are_the_programs(page: str) -> None:
    subjects = "Series|Study|File|Rejection|Routing|Coupling|Decisions|Transfer|Conflict|Row|Id|Contradiction|Lost"
    named = set(re.findall(rf"\b(?:{subjects})[A-Z][A-Za-z]+\b", (ROOT / "docs" / page).read_text("utf-8")))
    assert named - {"StudyInstanceUID"} <= FACTS.keys()


def test_the_page_on_adding_things_names_files_that_are_there() -> None:
    page = (ROOT / "docs" / "extending.md").read_text("utf-8")
    paths = re.findall(r"`((?:processors|ledger|alembic|tests)/[\w./]+)`", page)
    assert len(paths) > 30
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []


def test_the_tests_that_the_page_on_people_names_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "people.md").read_text("utf-8"))
    assert len(named) > 40
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text("utf-8")] == []


@pytest.mark.parametrize("page", ["backup.md", "gateways.md", "moving.md", "upgrading.md"])
def test_the_program_takes_the_commands_that_a_page_gives(page: str) -> None:
    """What they do is tried in `tests/cli/test_backup.py`, `tests/adopt/test_after_restore.py` and the like."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    shown = re.findall(r"^ {4,}(?:sudo -u fiona )?fiona-ledger(?:-as-service)? (.+)$", text, re.MULTILINE)
    assert len(shown) >= 2
    for line in shown:
        name, *arguments = line.split()
        load(name).make_context(name, arguments)

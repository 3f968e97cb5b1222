"""Reports that are handed on: what they tell, that they name nobody, and that what they show does nothing."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner, Result

from processors.cli.main import app
from processors.cli.printed import as_html, print_report
from processors.operations.reports.report import Report, Table
from tests.audit.conftest import Story
from tests.audit.history import BRAIN, HEART, HIP, IDENTIFYING, KNEE
from tests.audit.test_command import configuration

HOSTILE = "<script>alert(1)</script><img src=x onerror=y>\x1b[31m\n"


@pytest.fixture(scope="module")
def report(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    """The command with an auditor's configuration: neither a key nor REDCap."""
    config = configuration(story.url, tmp_path_factory.mktemp("reports"))
    return lambda *arguments: CliRunner().invoke(app, ["--config", str(config), "report", *arguments])


class Page(HTMLParser):
    """The tags of a page, its headings, and the cells of its tables by heading."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.headings: list[str] = []
        self.cells: dict[str, list[str]] = {}
        self._within = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._within = tag
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href", "style")]

    def handle_endtag(self, _tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "h2":
            self.headings.append(data)
        elif self._within in ("td", "th"):
            self.cells.setdefault(self.headings[-1], []).append(data)


def test_a_project_is_told_what_became_of_each_study_and_what_waits(report: Callable[..., Result]) -> None:
    made = report("project", HEART)
    assert (made.exit_code, made.stderr) == (0, "")
    page = Page(made.stdout)
    assert {KNEE, HIP, "routing rule 1", "sent"} <= set(page.cells["Studies requested"])
    assert KNEE in page.cells["Left to do after withdrawals"]
    assert "coupling entry" in Page(report("project", BRAIN).stdout).cells["What directs studies here"]


def test_the_register_names_recipients_and_leaves_the_controllers_lines_open(report: Callable[..., Result]) -> None:
    made = report("register")
    page = Page(made.stdout)
    assert made.exit_code == 0
    assert {HEART, BRAIN} <= set(page.cells["Recipients: research projects"])
    assert "was told which data went where" in page.cells["Rights of persons, as carried out"]
    assert "to be filled in: ______________________________" in page.cells["Article 30 (1)"]


@pytest.mark.parametrize("arguments", [("project", HEART), ("project", BRAIN), ("register",)])
def test_reports_name_nobody(report: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    for option in ((), ("--csv",)):
        text = report(*arguments, *option).stdout
        assert [name for name in (*IDENTIFYING, "admin", "astrid") if name in text] == []


def test_a_report_is_csv_for_a_spreadsheet_as_well(report: Callable[..., Result]) -> None:
    rows = list(csv.DictReader(io.StringIO(report("project", HEART, "--csv").stdout)))
    assert [(row["study"], row["outcome"], row["sends"]) for row in rows if row["study"] == KNEE] == [
        (KNEE, "sent", "1")
    ]


def test_a_project_that_nothing_names_is_an_error(report: Callable[..., Result]) -> None:
    made = report("project", "heart study")
    assert (made.exit_code, made.stdout) == (2, "")
    assert "Nothing that the ledger knows names a project 'heart study'" in made.stderr


def test_hostile_text_does_nothing_on_a_page_and_pages_hold_no_script() -> None:
    table = Table(heading=HOSTILE, columns=(HOSTILE,), rows=[(HOSTILE,)])
    page = as_html(Report(title=HOSTILE, introduction=[HOSTILE], main=table, notes=[HOSTILE]), at=datetime.now(UTC))
    assert Page(page).tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td",
        "footer",
    }  # fmt: skip
    assert "\x1b" not in page
    assert "default-src 'none'" in page


def test_a_date_is_not_parted_where_a_column_is_narrow() -> None:
    uid = "1.2.840." * 4 + "1"
    table = Table(heading="", columns=("sent", "study"), rows=[("2026-03-02 08:55", uid)])
    page = as_html(Report(title="", introduction=[], main=table), at=datetime.now(UTC))
    assert '<td class="moment"><span>2026-03-02</span> <span>08:55</span> </td>' in page
    assert f'<td class="long">{uid}</td>' in page


def test_hostile_text_does_nothing_in_a_spreadsheet(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(heading="", columns=("what",), rows=[("=cmd()",)])
    print_report(Report(title="", introduction=[], main=table), as_csv=True, at=datetime.now(UTC))
    assert capsys.readouterr().out.splitlines() == ["what", "'=cmd()"]

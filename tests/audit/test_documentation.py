import re

from tests.audit.conftest import Story
from tests.audit.documentation import DOCUMENT, documented, refreshed
from tests.audit.history import IDENTIFYING
from tests.audit.test_views import VIEWS


def test_what_the_documentation_says_of_columns_and_shows_as_output_is_what_the_database_says(story: Story) -> None:
    """Where this fails, `python -m tests.audit.documentation` writes docs/audit.md anew."""
    document = DOCUMENT.read_text("utf-8")
    assert refreshed(document, story) == document


def test_every_view_is_documented_with_an_example() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert sorted(documented(document)) == list(VIEWS)
    for section in re.split(r"^## audit\.", document, flags=re.MULTILINE)[1:]:
        assert re.search(r"```sql\n.*?```\n\n```text\n.*?\(\d+ rows?\)\n```", section, re.DOTALL)


def test_no_output_in_the_documentation_is_empty() -> None:
    assert "(0 rows)" not in DOCUMENT.read_text("utf-8")


def test_the_documentation_shows_nothing_that_identifies() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert [text for text in IDENTIFYING if text in document] == []

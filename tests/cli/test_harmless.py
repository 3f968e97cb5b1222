"""Words from elsewhere, made harmless."""

import json
from unicodedata import category

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.cli import console
from processors.cli.harmless import as_json, in_a_cell, on_a_line

ESCAPE, TURNED, CONTROL_SEQUENCE = "\x1b[31m", "\u202e", "\x9b31m"


@pytest.mark.parametrize(
    "words", [ESCAPE, TURNED, CONTROL_SEQUENCE, "\n", "\r", "\t", "\x00", "\x7f", "\u2028", "\udc80"]
)
def test_what_steers_a_terminal_is_replaced(words: str) -> None:
    shown = on_a_line(f"a{words}b")
    assert shown == f"a\ufffd{words[1:]}b"


@given(st.text())
def test_a_line_stays_one_line_without_control_and_format_characters(words: str) -> None:
    shown = on_a_line(words)
    assert len(shown) == len(words)
    assert len(shown.splitlines()) <= 1
    assert not {category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("value", ["=cmd()", "+1+cmd()", "-2+3", "@sum(1)", "\t=1", "\r=1", " =1", "＝1"])
def test_no_cell_is_a_formula(value: str) -> None:
    assert in_a_cell(value).startswith(("'", "\ufffd"))


@pytest.mark.parametrize("value", ["1.2.3", "Ødegård, [red]x[/]", "", None, -3, True])
def test_other_cells_stay_as_they_are(value: object) -> None:
    assert in_a_cell(value) == value


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_json_says_the_same_and_steers_nothing(data: dict[str, object]) -> None:
    try:
        orjson.dumps(data)
    except TypeError:  # half a character
        return
    written = as_json(data)
    assert json.loads(written) == data
    assert written.isprintable()


def test_a_screen_prints_markup_as_it_is_and_every_text_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = f"[red]x[/] :smile: [/nothing]{ESCAPE}{TURNED}\nforged"
    out = console.output()
    out.print(hostile, style="bold")
    out.print(console.table(hostile, [hostile], [[hostile]]))
    shown = capsys.readouterr().out
    assert shown.count("[red]x[/] :smile: [/nothing]\ufffd[31m\ufffd\ufffdforged") == 4
    assert "\x1b" not in shown

"""The manual page is made from what the commands say of themselves, and shells complete them."""

import pytest

from processors import shipped
from tests.cli.conftest import forked
from tests.cli.manual import MANUAL, manual


def test_the_manual_page_says_what_the_commands_say() -> None:
    """Where this fails, `python -m tests.cli.manual` writes docs/fiona-ledger.1 anew."""
    assert MANUAL.read_text("utf-8") == manual()
    assert (shipped.FOLDER / "docs" / MANUAL.name).is_file()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("fiona-ledger exp", ["explain", "export"]),
        ("fiona-ledger report p", ["project", "participant"]),
        ("fiona-ledger find --s", ["--study", "--state", "--since"]),
    ],
)
def test_commands_and_their_options_are_completed(typed: str, offered: list[str]) -> None:
    place = str(typed.count(" "))
    done = forked(_FIONA_LEDGER_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=place)
    assert done.out.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str) -> None:
    done = forked(_FIONA_LEDGER_COMPLETE=f"source_{shell}")
    assert f"_FIONA_LEDGER_COMPLETE=complete_{shell}" in done.out

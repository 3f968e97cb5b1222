"""REDCap's server, or whoever runs it, says what must not be shown or kept; so does a configuration."""

from pathlib import Path

import pytest

from processors.configuration.file import load, resolve
from processors.errors import ConfigurationError
from processors.redcap.error_text import row_problems
from processors.redcap.redaction import page, shown
from processors.redcap.transport import shown_address

TOKEN = "0123456789ABCDEF0123456789ABCDEF"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("The value DOE^JANE is not a valid category for transfer_project_name", "The value … is not a valid category"),
        ("The value (Doe Jane, 19151210) is too long.", "The value (…) is too long."),
        ("Verdien «Jane Doe» er ikke gyldig", ""),
        ("The value 'jane_doe' was refused", "The value '…' was refused"),
        ("MAY WILL is not a number. Please try again.", "… is not a number. Please try again."),
        ("JANE", ""),
    ],
)
def test_of_foreign_words_those_are_shown_that_are_known(words: str, expected: str) -> None:
    assert shown(words).startswith(expected)
    assert "jane" not in shown(words).lower()


def test_what_is_kept_of_a_refusal_holds_no_value_however_it_is_quoted() -> None:
    """REDCap's words stay in the ledger for ever."""
    message = "<b>Jane Doe</b> [19151210-0001] &laquo;PID-1&raquo; is not an integer"
    (problem,) = row_problems(f'"1","f_1","x","{message}"', {"1"}, ())
    assert problem.message.endswith("is not an integer")
    assert not any(value in problem.message for value in ("Jane", "Doe", "1915", "0001", "PID"))


def test_all_words_of_a_refusal_are_kept_to_be_sealed_and_stand_in_no_error() -> None:
    message = f"The value 19151210-0001 of Doe^Jane is no integer {TOKEN}"
    (problem,) = row_problems(f'"1","f_1","x","{message}"', {"1"}, ())
    assert problem.words == message.replace(TOKEN, "…")
    assert not any(word in repr(problem) for word in ("1915", "Jane"))


def test_a_page_is_told_by_its_known_words() -> None:
    words = page("<title>502 Bad Gateway</title><p>Request of jane.doe@example.org</p>")
    assert words.startswith("502 Bad Gateway:")
    assert words.endswith("Request of …")


def test_a_token_in_the_path_of_a_redirect_is_not_shown() -> None:
    url = "https://redcap.example/api/"
    assert shown_address(url, f"/{TOKEN}/login/") == "https://redcap.example/…/login/"
    assert shown_address(url, "/api/?token=1#x") == "https://redcap.example/api/"
    assert shown_address(f"https://redcap.example/{TOKEN}/api/", "") == "https://redcap.example/…/api/"


def configuration(folder: Path, *, url: str = "https://redcap.example/api/", tokens: str) -> Path:
    file = folder / "fiona-ledger.toml"
    lines = ["[redcap]", f'url = "{url}"', "[redcap.tokens]", 'coupling = "B"', 'routing = "C"', tokens]
    file.write_text("\n".join(lines))
    return file


def test_a_password_in_the_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = configuration(tmp_path, url="https://me:s3cret@redcap.example/api/", tokens='incoming = "A"')
    with pytest.raises(ConfigurationError, match="found a user or password in it") as caught:
        load(file)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "tokens",
    [
        f'incoming = {{ env = "{TOKEN}" }}',
        f'incoming = {{ file = "/etc/{TOKEN}" }}',
        f'incoming = "A"\n{TOKEN} = "incoming"',
        f'{TOKEN} = {{ env = "incoming" }}',
        f'incoming = ["{TOKEN}"]',
        f'incoming = "{TOKEN}\n',
    ],
)
def test_a_token_in_the_wrong_place_is_not_shown(tmp_path: Path, tokens: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(load(configuration(tmp_path, tokens=tokens)).redcap.tokens.incoming, "incoming", {})
    assert TOKEN not in str(caught.value)

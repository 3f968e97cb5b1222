import pytest

from processors.redcap.redaction import page, redacted

HEX = "0123456789abcdefABCDEF0123456789"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("<b>Not</b>\r\n  so", "Not so"),
        ('no "DOE^JANE" here', "no here"),
        ('no "DOE^JANE', "no"),
        ("no &quot;DOE^JANE&quot; here", "no here"),
        (f"token={HEX}&x", "token=…&x"),
        (f"token={HEX}{HEX}0", "token=…"),
        ("a\x00b\x1b[31m", "a b [31m"),
        ("it's 'single'", "it's 'single'"),
    ],
)
def test_words_become_one_line_without_tags_quotes_tokens_and_control_characters(words: str, expected: str) -> None:
    assert redacted(words) == expected


def test_what_is_to_be_hidden_is_masked_longest_first() -> None:
    assert redacted("is JANE DOE, JANE", {"JANE", "JANE DOE", "is"}) == "is …, …"


def test_a_token_of_another_shape_is_masked_too() -> None:
    assert redacted("no such token: let-me-in", {"let-me-in"}) == "no such token: …"


def test_long_words_are_cut() -> None:
    assert len(redacted("word " * 1000)) <= 200


def test_a_page_is_told_by_its_title_and_beginning_without_scripts() -> None:
    body = "<html><head><title>REDCap</title><style>p {}</style></head><script>x()</script><p>Offline &amp; closed</p>"

    assert page(body) == "REDCap: Offline & closed"

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.redcap.failure_class import VOCABULARY, failure_class


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "none given"),
        (" \n", "none given"),
        ("Connection refused by 10.0.0.7", "no connection"),
        ("could not connect to PACS", "no connection"),
        ("connection timed out", "timeout"),
        ("storescu: TimeOut", "timeout"),
        ("Association rejected", "refused by the archive"),
        ("status 0xA700", "refused by the archive"),
        ("/data/site/raw/1.2.3: No such file or directory", "not found on disk"),
        ("no images of Doe^Jane", "not found on disk"),
        ("anonymizer crashed", "pseudonymisation"),
        ("No space left on device", "no space"),
        ("Doe^Jane", "other"),
        ("å", "other"),
    ],
)
def test_a_message_is_told_by_its_class(message: str, expected: str) -> None:
    assert failure_class(message) == expected


@given(st.text())
def test_whatever_the_message_only_the_vocabulary_is_told(message: str) -> None:
    assert failure_class(message) in VOCABULARY

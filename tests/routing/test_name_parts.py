"""What of a PatientName is found in a pseudonym, in fifteen scripts."""

from collections.abc import Callable
from time import monotonic
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.routing.name_parts import share_a_part

FORMS: list[Literal["NFC", "NFD", "NFKC", "NFKD"]] = ["NFC", "NFD", "NFKC", "NFKD"]
IN_SCRIPTS = [
    "Nordmann^Kari",
    "Иванов^Пётр",
    "Γιώργος^Άννα",
    "नरेश^कुमार",
    "সুমন^রহিম",
    "முருகன்^செல்வி",
    "สมชาย^สุดา",
    "ქართველი^ნინო",
    "Հայկ^Աննա",
    "אברהם^שרה",
    "محمد^فاطمة",
    "ወንድሙ^አበበ",
    "김영수^민준호",
    "ヤマダ^タロウ",
    "司馬相如^諸葛孔明",
]
"""A name of each of fifteen scripts, each part of three letters or more."""


@given(
    st.sampled_from(IN_SCRIPTS),
    st.integers(0, 1),
    st.sampled_from(["", "H-", "001 ", "\ufe0f"]),
    st.sampled_from(["", "-1", "_2", "7"]),
    st.sampled_from(FORMS),
    st.sampled_from([str.upper, str.lower, str.title]),
)
def test_a_part_is_found_in_every_script(
    name: str,
    which: int,
    before: str,
    after: str,
    form: Literal["NFC", "NFD", "NFKC", "NFKD"],
    case: Callable[[str], str],
) -> None:
    part = name.split("^")[which]
    given_pseudonym = before + normalize(form, case(part)) + after
    assert share_a_part(name, given_pseudonym)


@given(st.sampled_from(IN_SCRIPTS), st.from_regex(r"[HPQX]{1,2}-[0-9]{3}", fullmatch=True))
def test_nothing_is_found_where_nothing_is(name: str, pseudonym: str) -> None:
    assert not share_a_part(name, pseudonym)


@given(st.sampled_from(IN_SCRIPTS), st.sampled_from(IN_SCRIPTS))
def test_names_of_two_scripts_share_nothing(one: str, other: str) -> None:
    assert share_a_part(one, other) == (one == other)


@pytest.mark.parametrize(
    ("name", "pseudonym"),
    [
        ("Müller^Jörg", "mueller"),
        ("Müller^Jörg", "MULLER1"),
        ("Mueller^Jo", "müller"),
        ("Bjørn^Åse", "bjorn"),
        ("Bjørn^Åse", "bjoern"),
        ("Bjoern^Aase", "BJØRN"),
        ("Bjørn^Åse", "aase1"),
        ("Sørås^X", "soeras"),
        ("Bøen^X", "BOEEN"),
        ("Łukasz^Żak", "lukasz"),
        ("Strauß^Ea", "strauss"),
        ("Đặng^An", "dang1"),
        ("Þórður^X", "thordur"),
        ("İpek^Su", "ipek1"),
        ("Işık^Su", "ISIK"),
        ("Æther^Œuvre", "aether"),
        ("Æther^X", "ather"),
        ("X^Œuvre", "oeuvre"),
        ("محـــمد^علي", "مُحَمَّد"),
        ("אברהם^שרה", "אַבְרָהָם"),
    ],
)
def test_letters_of_their_own_are_found_however_they_are_written(name: str, pseudonym: str) -> None:
    assert share_a_part(name, pseudonym)


@pytest.mark.parametrize(
    ("name", "pseudonym"),
    [
        ("山田^太郎", "山田太郎"),
        ("山田^太郎", "太郎山田-1"),
        ("王^小明", "王小明"),
        ("王^小明", "小明 王"),
        ("王小明", "王小明"),
        ("Li^Wu", "LiWu"),
        ("Li^Wu", "wu-li"),
        ("Li Wu", "WuLi"),
        ("Jo^Al^^^Md", "jo-al"),
        ("Yamada^Tarou=山田^太郎=ﾔﾏﾀﾞ^ﾀﾛｳ", "山田太郎"),
        ("Yamada^Tarou=山田^太郎=ﾔﾏﾀﾞ^ﾀﾛｳ", "ヤマダ"),
    ],
)
def test_a_name_of_short_parts_is_found_as_one(name: str, pseudonym: str) -> None:
    assert share_a_part(name, pseudonym)


@pytest.mark.parametrize(
    ("name", "pseudonym"),
    [
        ("山田^太郎", "山田-1"),
        ("Li^Wu", "LI-001"),
        ("^", "H-001"),
        ("", ""),
        ("Doe^Jane", "jan"),
        ("Mae^Bo", "MA-01"),
        ("A^B", "AB-1"),
    ],
)
def test_less_than_a_part_is_none(name: str, pseudonym: str) -> None:
    assert not share_a_part(name, pseudonym)


def test_a_part_is_found_within_a_word() -> None:
    """That is what the rule says: it cannot know which words are meant."""
    assert share_a_part("Lee^Bo", "SLEEP-01")


def test_four_thousand_characters_are_in_time() -> None:
    began = monotonic()
    assert not share_a_part("^".join(["abc"] * 1000), "ab-" * 1333)
    assert not share_a_part("^".join(["å"] * 2000), "Ø" * 4000)
    assert monotonic() - began < 1

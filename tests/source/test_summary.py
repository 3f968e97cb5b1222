"""Understanding a summary: what is kept, what is coerced, what is refused and with which words."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.demo import samples
from processors.source import summary

STUDY, SERIES = "1.2.3", "1.2.3.4"


def parse(**values: Any) -> summary.Summary:
    document = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES} | values
    return summary.parse(orjson.dumps(document), study=STUDY, series=SERIES)


def reason(content: bytes) -> str:
    with pytest.raises(summary.Rejected) as rejected:
        summary.parse(content, study=STUDY, series=SERIES)
    return str(rejected.value)


def test_a_summary_with_nothing_but_its_uids_is_usable() -> None:
    found = parse()
    assert found.data == {
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        **dict.fromkeys(summary.KEPT, ""),
        **dict.fromkeys(("AETitleCaller", "AETitleCalled", "CallerIP"), ""),
        "NumFiles": None,
        "ClassifyType": (),
    }
    assert found.identity == {"PatientID": "", "PatientName": ""}


def test_all_real_summaries_are_usable() -> None:
    files = sorted(samples.raw_folder().glob("*/*.json"))
    assert len(files) == 61
    for file in files:
        found = summary.parse(file.read_bytes(), study=file.parent.name, series=file.stem)
        assert found.series == file.stem


def test_what_identifies_the_patient_is_kept_apart() -> None:
    found = parse(PatientID="P-77", PatientName="Doe^Jane")
    assert found.identity == {"PatientID": "P-77", "PatientName": "Doe^Jane"}
    assert b"P-77" not in orjson.dumps(found.data)
    assert b"Doe" not in orjson.dumps(found.data)


def test_keys_that_nobody_asked_for_are_not_kept() -> None:
    assert parse(PatientBirthDate="19700101", Other={"a": 1}) == parse()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("brain", "brain"),
        (None, ""),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        (["a", None, 3], "a\\\\3"),
        ([], ""),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
    ],
)
def test_every_kind_of_value_becomes_text(value: Any, text: str) -> None:
    assert parse(StudyDescription=value).data["StudyDescription"] == text
    assert parse(PatientID=value).identity["PatientID"] == text


def test_ae_titles_lose_their_padding() -> None:
    found = parse(IncomingConnection={"AETitleCaller": "CT01 \x00\x00", "AETitleCalled": "  FIONA  ", "CallerIP": None})
    assert found.data["AETitleCaller"] == "CT01"
    assert found.data["AETitleCalled"] == "FIONA"
    assert found.data["CallerIP"] == ""


@pytest.mark.parametrize("connection", [None, "CT01", 3, ["CT01"]])
def test_a_connection_that_is_no_object_counts_as_missing(connection: Any) -> None:
    assert parse(IncomingConnection=connection) == parse()


def test_identity_is_kept_exactly_as_written() -> None:
    """REDCap holds hashes of these texts, so even a blank at the end matters."""
    found = parse(PatientID=" 12 ", PatientName='O\'Neil^"Zoë"\n\x00')
    assert found.identity == {"PatientID": " 12 ", "PatientName": 'O\'Neil^"Zoë"\n\x00'}


def test_nul_disappears_from_texts() -> None:
    assert parse(SeriesDescription="T1\x00 ax").data["SeriesDescription"] == "T1 ax"


@pytest.mark.parametrize(
    ("value", "count"), [("12", 12), (12, 12), (" 5 ", 5), ("", None), ("many", None), ("٣", None), (-1, None)]
)
def test_the_number_of_files_is_a_number_or_null(value: Any, count: int | None) -> None:
    assert parse(NumFiles=value).data["NumFiles"] == count


@pytest.mark.parametrize(("value", "texts"), [("OT", ("OT",)), (["A", "", None, 3], ("A", "3")), (None, ())])
def test_classify_types_are_a_list_of_texts(value: Any, texts: tuple[str, ...]) -> None:
    assert parse(ClassifyType=value).data["ClassifyType"] == texts


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b'{"StudyInstanceUID": "1.2.3", "Ser', "truncated"),
        (bytes(range(1, 255)), "UTF-8"),
        ('{"a": "ä"}'.encode("latin-1"), "UTF-8"),
        ('{"a": "b"}'.encode("utf-16"), "UTF-8"),
        (b'{"a": "\\ud800"}', "invalid"),
        (b"[]", "a list"),
        (b"null", "null"),
        (b"12", "a number"),
        (b'"text"', "a text"),
        (b"true", "true or false"),
        (b"[" * 5_000, "invalid"),
    ],
)
def test_what_is_no_json_object_is_refused(content: bytes, words: str) -> None:
    assert words in reason(content)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "missing"),
        ("", "missing"),
        (" ", "malformed"),
        (12, "malformed"),
        (["1.2"], "malformed"),
        ("1/2", "malformed"),
        ("..", "malformed"),
        (".", "malformed"),
        ("1.2\n", "malformed"),
        ("1" * 65, "malformed"),
        ("9.9.9", "contradicts"),
    ],
)
@pytest.mark.parametrize("key", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_uids_that_are_not_those_of_the_path_are_refused(key: str, value: Any, words: str) -> None:
    document = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES} | {key: value}
    assert words in reason(orjson.dumps(document))
    assert key in reason(orjson.dumps(document))


def test_a_missing_uid_is_refused() -> None:
    assert reason(b"{}") == "StudyInstanceUID is missing"


def _nested(depth: int, wrap: Callable[[str], str]) -> bytes:
    value = "1"
    for _ in range(depth):
        value = wrap(value)
    return f'{{"StudyInstanceUID":"{STUDY}","SeriesInstanceUID":"{SERIES}","PatientID":{value}}}'.encode()


@pytest.mark.parametrize("wrap", [lambda value: f"[{value}]", lambda value: f'{{"a":{value}}}'])
def test_deep_nesting_is_refused_rather_than_ending_the_run(wrap: Callable[[str], str]) -> None:
    """Used to end in a RecursionError: the decoder goes deeper than Python does."""
    assert "nested too deeply" in reason(_nested(1_000, wrap))


def test_an_endless_accession_number_is_refused() -> None:
    document = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "AccessionNumber": "9" * 513}
    assert "AccessionNumber" in reason(orjson.dumps(document))


@pytest.mark.parametrize("uid", ["1", "1.2.3", "a-f_0", "9" * 64])
def test_uids(uid: str) -> None:
    assert summary.is_uid(uid)


@pytest.mark.parametrize("uid", ["", ".", "...", "1/2", "1 2", "ä", "1" * 65, "1\n", "../x"])
def test_no_uids(uid: str) -> None:
    assert not summary.is_uid(uid)


def test_a_patient_id_with_too_many_digits_for_a_number_is_refused_instead_of_rounded() -> None:
    content = orjson.dumps({"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "PatientID": 0})
    assert "PatientID" in reason(content.replace(b'"PatientID":0', b'"PatientID":123456789012345678901234'))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*summary.KEPT, "PatientID", "NumFiles", "ClassifyType", "Other"]), anything))
def test_any_object_with_its_uids_is_kept_as_text_or_refused(values: dict[str, Any]) -> None:
    try:
        found = parse(**values)
    except summary.Rejected:
        return
    assert all(isinstance(found.data[key], str) for key in summary.KEPT)
    assert all(isinstance(text, str) for text in found.identity.values())
    assert summary.content(found) == summary.content(parse(**values))


@given(st.binary())
def test_no_content_does_more_than_be_refused(content: bytes) -> None:
    with pytest.raises(summary.Rejected):
        summary.parse(content, study=STUDY, series=SERIES)

"""What those who send DICOM can do to a run by what they send."""

import os
from pathlib import Path

import pytest

from processors.gateway import Gateway
from tests.source.receiver import Receiver
from tests.source.test_bad_input import Find, Meddling, rejected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'{"StudyInstanceUID": "1.1", ', "truncated"),
        (bytes(range(256)), "UTF-8"),
        ('{"PatientName": "Jörg"}'.encode("latin-1"), "UTF-8"),
        ('{"StudyInstanceUID": "1.1"}'.encode("utf-16"), "UTF-8"),
        (b"[]", "a list"),
        (b"null", "null"),
        (b"7", "a number"),
        (b"{}", "missing"),
        (b'{"StudyInstanceUID": " "}', "malformed"),
        (b'{"StudyInstanceUID": 11}', "malformed"),
        (b'{"StudyInstanceUID": "../1.1"}', "malformed"),
        (b'{"StudyInstanceUID": ".."}', "malformed"),
        (b'{"StudyInstanceUID": "' + b"1" * 65 + b'"}', "malformed"),
        (b'{"StudyInstanceUID": "9.9", "SeriesInstanceUID": "1.1.1"}', "contradicts"),
        (b'{"StudyInstanceUID": "1.1", "SeriesInstanceUID": "9.9"}', "contradicts"),
        (
            b'{"StudyInstanceUID":"1.1","SeriesInstanceUID":"1.1.1","PatientID":' + b"[" * 900 + b"]" * 900 + b"}",
            "nested",
        ),
    ],
)
def test_bad_content_is_rejected_once_and_others_go_on(
    gateway: Gateway, find: Find, receiver: Receiver, content: bytes, words: str
) -> None:
    file = receiver.file("1.1/1.1.1.json", content)
    receiver.summary("1.1", "1.1.2")
    found = find()
    assert (found.rejected, found.discovered) == (1, 1)
    assert words in rejected(gateway)["1.1/1.1.1.json"]
    receiver.made(file)
    found = find()
    assert (found.read, found.rejected) == (1, 0)
    assert find().listed == 0


def test_a_link_or_pipe_put_in_a_files_place_is_not_followed(find: Find, receiver: Receiver, tmp_path: Path) -> None:
    files = [receiver.summary("1.1", "1.1.1"), receiver.summary("1.1", "1.1.2")]
    (tmp_path / "secret").write_bytes(files[0].read_bytes())

    def meddle(name: str) -> None:
        place = receiver.raw / "1.1" / name
        place.unlink()
        if place == files[0]:
            place.symlink_to(tmp_path / "secret")
        else:
            os.mkfifo(place)

    assert find(opened=lambda raw: Meddling(raw, meddle)).discovered == 0

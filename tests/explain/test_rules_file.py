"""Files of routing rules: what is read, and what is refused with which words."""

import json
from pathlib import Path

import pytest

from processors.errors import ConfigurationError
from processors.explain.rules_file import FIELDS, read_rules
from tests.explain.conftest import row

HEADER = ",".join(FIELDS)


def refusal(path: Path, content: str | bytes, name: str = "rules.csv") -> str:
    """The words with which a file is refused."""
    file = path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigurationError) as refused:
        read_rules(file, {"12"})
    assert str(refused.value).startswith(str(file))
    return str(refused.value).removeprefix(str(file))


def test_a_table_exported_from_redcap_with_labels_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rules.csv"
    file.write_text(
        f"{HEADER},routing_rules_complete,redcap_data_access_group\n"
        '7,Yes,"Brain, Ageing and Memory",FIONA,,"H-[0-9]{2,3}",,baseline,Complete,\n'
        "8,No,Heart Study,,CT1,,Doe.*,,Complete,\n"
    )
    first, second = read_rules(file, set())
    assert (first.record_id, first.active, first.project) == ("7", True, "Brain, Ageing and Memory")
    assert (first.called, first.patient_id_pattern, first.event_name) == ("FIONA", "H-[0-9]{2,3}", "baseline")
    assert (second.active, second.calling, second.patient_name_pattern) == (False, "CT1", "Doe.*")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_comes_with_any_usual_separator_and_with_a_byte_order_mark(
    tmp_path: Path, separator: str, mark: str
) -> None:
    file = tmp_path / "rules.csv"
    cells = ["1", "1", "Heart Study", "FIONA", "", "H", "", ""]
    file.write_text(f"{mark}{separator.join(FIELDS)}\r\n{separator.join(cells)}\r\n\r\n", "utf-8")
    assert [rule.project for rule in read_rules(file, set())] == ["Heart Study"]


@pytest.mark.parametrize("name", ["rules.json", "rules", "rules.txt"])
def test_json_is_one_rule_or_a_list_of_them(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(json.dumps(row("5")))
    assert [rule.record_id for rule in read_rules(file, set())] == ["5"]
    file.write_text(json.dumps([row("5"), {**row("6"), "record_id": 6, "routing_event_name": None}]))
    assert [rule.record_id for rule in read_rules(file, set())] == ["5", "6"]


def test_a_pattern_that_does_not_compile_makes_the_rule_unusable_and_not_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(row(allowed_patientid="(")))
    assert "does not compile" in read_rules(file, set())[0].problems[0]


def test_an_enormous_pattern_makes_the_rule_unusable(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps([row("1", allowed_patientid="(" * 5_000), row("2", allowed_patientid="(a{999}){999}")]))
    assert [len(rule.problems) for rule in read_rules(file, set())] == [1, 1]


def test_malformed_json_is_refused_with_its_place(tmp_path: Path) -> None:
    assert ", line 2, column 4: expected JSON" in refusal(tmp_path, "[\n  {x]", "rules.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("3", "found a number"),
        ("[3]", "rule 1: expected a rule with its fields, found a number"),
        ("[[]]", "rule 1: expected a rule with its fields, found a list"),
        ("[]", "expected at least one rule"),
        ('[{"a": 1, "a": 2}]', "found one twice"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"record_id": ' + "9" * 5_000 + "}]", "numbers too long"),
        (json.dumps([{**row(), "routing_event_name": ["x"]}]), "rule 1, routing_event_name: expected a text"),
        (json.dumps([{**row(), "routing_active": True}]), "rule 1, routing_active: expected a text, found true or"),
        (json.dumps([{**row(), "routing_colour": "x"}]), "found something else in field 9. Known are"),
        (json.dumps([{"record_id": "1"}]), "expected also routing_active, routing_dest_project"),
        (json.dumps([row("1"), row(" 1 ")]), "rule 2, record_id: expected each rule once, found '1' again, which"),
        (json.dumps([row(" ")]), "record_id: expected the rule's record id"),
        (json.dumps([row("\x1b[2J")]), "record_id: expected the rule's record id"),
        (json.dumps([row(active="maybe")]), "routing_active: expected 1, 0, Yes or No"),
        (json.dumps([row(dest_project="3")]), "looks like the code of a choice"),
        (json.dumps([row(dest_project="a\nb")]), "routing_dest_project: expected one line of text"),
        (json.dumps([row(event_name="\ud800")]), "routing_event_name: expected one line of text"),
    ],
)
def test_json_that_is_no_table_of_rules_is_refused(tmp_path: Path, content: str, words: str) -> None:
    assert words in refusal(tmp_path, content, "rules.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "found an empty file"),
        ("  \n \n", "found an empty file"),
        ("\ufeff", "found an empty file"),
        (HEADER, "expected at least one rule"),
        ("hello", "found something else in field 1. Known are record_id,"),
        (
            f"{HEADER},routing_colour\n",
            "line 1: expected REDCap's names of the routing fields, found something else in",
        ),
        (f"{HEADER},colour,{','.join('abcdefghi')}\n", "in fields 9, 10, 11, 12, 13, 14, 15, 16 and 2 more."),
        (f"{HEADER},record_id\n", "found record_id twice"),
        (HEADER.replace(",routing_event_name", ""), "expected also routing_event_name"),
        (f"{HEADER}\n1,1,Heart Study\n", "line 2: expected 8 columns, found 3"),
        (f'{HEADER}\n1,1,"Heart Study\n', "line 2: expected CSV"),
        (f"{HEADER}\n1,2,Heart Study,FIONA,,H,,\n", "line 2 (record 1), routing_active"),
        (f"{HEADER}\n1,1,A,FIONA,,H,,\n\n1,1,B,FIONA,,H,,\n", "line 4, record_id: expected each rule once"),
        (f"{HEADER}\n1,1,{'x' * 200_000},FIONA,,H,,\n", "line 2: expected CSV"),
        (b"record_id\n\xff", ", line 2: expected UTF-8"),
        (HEADER.encode("utf-16"), ", line 1: expected UTF-8"),
    ],
)
def test_csv_that_is_no_table_of_rules_is_refused(tmp_path: Path, content: str | bytes, words: str) -> None:
    assert words in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rules.csv", "Doe^Jane;01010112345;1.2.3\n"),
        ("rules.csv", "Doe^Jane,Doe^Jane\n"),
        ("rules.json", '[{"Doe^Jane": "01010112345"}]'),
        ("rules.json", '[{"Doe^Jane": "1", "Doe^Jane": "2"}]'),
        ("rules.json", '["Doe^Jane"]'),
        ("rules.json", '[{"record_id": "1"}, Doe^Jane]'),
    ],
)
def test_nothing_of_another_file_than_is_meant_is_told(tmp_path: Path, name: str, content: str) -> None:
    words = refusal(tmp_path, content, name)
    assert "expected" in words
    assert "Jane" not in words
    assert "0101" not in words


def test_a_project_that_is_called_a_number_is_no_code(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(row(dest_project="12")))
    assert read_rules(file, {"12"})[0].project == "12"


def test_a_folder_or_nothing_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="something else than a file"):
        read_rules(tmp_path, set())
    with pytest.raises(ConfigurationError, match="no such file"):
        read_rules(tmp_path / "missing.csv", set())

"""Reading responses, as plain values: shapes, counts, errors in every format, and what is never shown."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.errors import Refused, ServiceError, Unanswered
from processors.redcap import Banned, Blocked, Misdirected, NotPermitted, RowsRefused, UnknownFields
from processors.redcap.calls import Call, create_project
from processors.redcap.responses import read_count, read_metadata, read_new_token, read_record_name, read_rows
from processors.redcap.transport import Response

TOKEN = "0123456789ABCDEF0123456789ABCDEF"
EXPORT = Call(project="incoming", name="export of records", expected="a JSON list of rows", token=TOKEN, form={})
IMPORT = Call(
    project="incoming",
    name="import of 2 rows",
    expected="a count of 2 records",
    token=TOKEN,
    form={},
    rows=[{"uid": "1.1", "name": "DOE^JANE"}, {"uid": "1.2", "name": 'says "hello there" loudly'}],
    record_field="uid",
)


def response(body: str | bytes, status: int = 200) -> Response:
    return Response(status=status, body=body if isinstance(body, bytes) else body.encode(), url="https://r/api/")


def error_of(call: Call, body: str | bytes, status: int = 200) -> ServiceError:
    with pytest.raises(ServiceError) as raised:
        (read_count if call.is_import else read_rows)(call, response(body, status))
    return raised.value


def test_every_value_becomes_text_and_the_instance_digits_or_blank() -> None:
    body = '[{"a": null, "b": 1, "c": 1.5, "redcap_repeat_instance": 2}, {"redcap_repeat_instance": " 3 "}, {}]'

    rows = read_rows(EXPORT, response(body))

    assert rows[0] == {
        "a": "", "b": "1", "c": "1.5", "redcap_repeat_instance": "2", "redcap_repeat_instrument": "",
    }  # fmt: skip
    assert [row["redcap_repeat_instance"] for row in rows] == ["2", "3", ""]


def test_a_byte_order_mark_before_the_json_is_passed_over() -> None:
    assert read_rows(EXPORT, response(b"\xef\xbb\xbf[]")) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("{}", "JSON that is not a list"),
        ('"text"', "JSON that is not a list"),
        ("3", "JSON that is not a list"),
        ("[1]", "a number in place of a row"),
        ('["DOE^JANE"]', "a text in place of a row"),
        ('[{"a": ["DOE^JANE"]}]', "a list in place of a value"),
        ('[{"a": true}]', "a truth value in place of a value"),
        ('[{"redcap_repeat_instance": "DOE^JANE"}]', "not a number in redcap_repeat_instance"),
        (b'[{"a": "D\xff"}]', "JSON that breaks off"),
        ('[{"a": "DOE^JANE"', "JSON that breaks off"),
        ("DOE", "a text in place of JSON"),
        ("", "an empty body"),
        (" \n", "an empty body"),
    ],
)
def test_rows_of_another_shape_are_no_answer(body: str | bytes, found: str) -> None:
    error = error_of(EXPORT, body)

    assert type(error) is Unanswered
    assert found in str(error)
    assert "JANE" not in str(error)


@pytest.mark.parametrize("body", ['{"count": 2}', '{"count": "2"}'])
def test_the_count_of_all_records_is_success(body: str) -> None:
    assert read_count(IMPORT, response(body)) == 2


@pytest.mark.parametrize(
    "body",
    ['{"count": 1}', '{"count": 3}', '{"count": 0}', '{"count": -2}', '{"count": null}', "{}", "2", '["1.1"]'],
)
def test_any_other_count_leaves_open_what_was_stored(body: str) -> None:
    error = error_of(IMPORT, body)

    assert type(error) is Unanswered
    assert "expected a count of 2 records" in str(error)
    assert "not known" in str(error)


@pytest.mark.parametrize(("body", "name"), [("6", "6"), ("6\n", "6"), ('"6"', "6"), ("20-1", "20-1")])
def test_the_next_record_name_is_read_as_text(body: str, name: str) -> None:
    assert read_record_name(EXPORT, response(body)) == name


@pytest.mark.parametrize("body", ["", "<html>6</html>", "The hostname", '{"error": "x"}', "[]", "DOE^JANE 6"])
def test_anything_else_is_no_record_name(body: str) -> None:
    with pytest.raises(Unanswered):
        read_record_name(EXPORT, response(body))


CREATION = create_project("incoming", 2 * TOKEN, "A title", "4", b"<ODM/>")


@pytest.mark.parametrize("before", ["", "insert into redcap_projects values (1);\n", '"'])
def test_a_new_projects_token_stands_at_the_end_of_whatever_comes(before: str) -> None:
    assert read_new_token(CREATION, response(f"{before}{TOKEN}{before[:1].strip('i')}")) == TOKEN


@pytest.mark.parametrize("body", ["", "<html>busy</html>", 2 * TOKEN, f"{TOKEN} and more", '{"error": "no"}'])
def test_what_holds_no_new_token_leaves_open_whether_the_project_was_made(body: str) -> None:
    with pytest.raises(Unanswered) as raised:
        read_new_token(CREATION, response(body))
    assert "Whether it was made is not known: look under My Projects" in str(raised.value)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("body", ["[]", '[{"record_id": "1"}]'])
def test_rows_that_describe_no_field_are_no_dictionary(body: str) -> None:
    with pytest.raises(Unanswered):
        read_metadata(EXPORT, response(body))


FORMATS = [
    pytest.param('{{"error":"{}"}}', id="json"),
    pytest.param("ERROR: {}", id="csv"),
    pytest.param('<?xml version="1.0" encoding="UTF-8" ?><hash><error>{}</error></hash>', id="xml"),
    pytest.param("<hash><error><![CDATA[{}]]></error></hash>", id="cdata"),
]


@pytest.mark.parametrize("form", FORMATS)
def test_errors_are_read_in_every_format(form: str) -> None:
    refused = error_of(EXPORT, form.format("You do not have API Export privileges"), 403)
    unknown = error_of(
        EXPORT, form.format("The following fields were not found in the project as real data fields: a"), 400
    )

    assert type(refused) is NotPermitted
    assert "You do not have API Export privileges" in str(refused)
    assert isinstance(unknown, UnknownFields)
    assert unknown.fields == ("a",)


def test_unknown_fields_are_understood_in_any_language_by_their_names() -> None:
    call = Call(project="p", name="c", expected="e", token=TOKEN, form={"fields[0]": "a", "fields[1]": "b"})

    error = error_of(call, '{"error": "Die folgenden Felder gibt es im Projekt nicht: a, \'b\'"}', 400)

    assert isinstance(error, UnknownFields)
    assert error.fields == ("a", "b")


def test_unknown_fields_as_servers_of_2013_list_them() -> None:
    body = '{"error": "The following fields were not found in the project", "fields": ["a", "b"]}'

    error = error_of(IMPORT, body, 400)

    assert isinstance(error, UnknownFields)
    assert error.fields == ("a", "b")


@pytest.mark.parametrize(
    ("call", "body", "status", "kind"),
    [
        pytest.param(EXPORT, '{"error": "It is not so."}', 400, Refused, id="another no to a read"),
        pytest.param(EXPORT, '{"error": "It is not so."}', 200, Unanswered, id="an error with 200"),
        pytest.param(IMPORT, '{"error": "It is not so."}', 200, Unanswered, id="an error with 200, import"),
        pytest.param(IMPORT, '{"error": "It is not so."}', 400, RowsRefused, id="another no to an import"),
        pytest.param(IMPORT, '{"error": "The data is not in the specified format."}', 400, Refused, id="format"),
        pytest.param(IMPORT, '{"error": ""}', 400, Unanswered, id="an error without words"),
        pytest.param(IMPORT, "", 413, Unanswered, id="too large"),
        pytest.param(IMPORT, '{"error": "It is not so."}', 503, Unanswered, id="words with 503"),
        pytest.param(EXPORT, "<html>Bad Request</html>", 400, Unanswered, id="a page with 400"),
        pytest.param(EXPORT, "<h1>Not Found</h1>", 404, Misdirected, id="a wrong path"),
        pytest.param(EXPORT, "<hash><error>not implemented.</error></hash>", 501, Misdirected, id="501"),
        pytest.param(EXPORT, "", 302, Misdirected, id="a redirect to nowhere"),
        pytest.param(EXPORT, '{"error": "Token missing"}', 401, NotPermitted, id="401"),
        pytest.param(EXPORT, "slow down", 429, Banned, id="429"),
        pytest.param(EXPORT, "You cannot use REDCap", 200, Banned, id="a ban as text"),
        pytest.param(EXPORT, '{"error": "Your IP address has been banned"}', 403, Banned, id="a ban as JSON"),
        pytest.param(EXPORT, "<p>The IP address 10.0.0.1 has been blocked.</p>", 503, Banned, id="a page of a ban"),
        pytest.param(EXPORT, '[{"a": "he was banned"', 200, Unanswered, id="data about a ban"),
        pytest.param(EXPORT, "<p>Ihre IP-Adresse (10.0.0.1) wurde gesperrt.</p>", 200, Banned, id="a ban in German"),
        pytest.param(EXPORT, "<p>Votre adresse 10.0.0.1 est bloquée</p>", 200, Banned, id="a ban in French"),
        pytest.param(IMPORT, "<p>Anfrage blockiert. IP: 10.0.0.1</p>", 403, Blocked, id="a firewall in German"),
        pytest.param(EXPORT, '<form><input type="password" name="p"></form>', 200, Misdirected, id="a login page"),
    ],
)  # fmt: skip
def test_each_response_is_taken_for_what_it_is(call: Call, body: str, status: int, kind: type[ServiceError]) -> None:
    assert type(error_of(call, body, status)) is kind


@pytest.mark.parametrize("value", ["a parameter, banned", 'a "banned" one', 'says "IP address blocked'])
def test_values_of_a_refused_row_may_speak_of_bans_and_parameters(value: str) -> None:
    """A study description "banned" must not stop all calls."""
    line = f'"1.1","name","{value}","Not valid."'

    error = error_of(IMPORT, json.dumps({"error": line}), 400)

    assert isinstance(error, RowsRefused)
    assert [problem.record for problem in error.problems] == ["1.1"]


def test_columns_that_a_restricted_user_does_not_see_are_missed() -> None:
    """REDCap drops them silently, and a plan made without them would repeat what is there."""
    call = Call(project="incoming", name="x", expected="y", token=TOKEN, form={}, columns=["uid", "name", "error"])

    with pytest.raises(Refused, match=r"rows without name.*Full Data Set"):
        read_rows(call, response('[{"uid": "1", "error___1": "0"}]'))


SECRETS = st.text(min_size=4, max_size=40).map(str.strip).filter(lambda text: len(text) >= 4)
SHAPES = [
    "{}",
    "<p>{}</p>",
    "<title>{}</title>",
    "ERROR: {}",
    "the value {} is wrong",
    "<hash><error>{}</error></hash>",
    '{{"error": "no {}"}}',
    '"1.1","f","{}","Wrong."',
    '["{}"]',
    '[{{"uid": "{}"',
    "token={}&data=[]",
]


@settings(max_examples=200)
@given(
    value=SECRETS,
    token=st.text("0123456789ABCDEFabcdef", min_size=32, max_size=32),
    shape=st.sampled_from(SHAPES),
    status=st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500]),
    as_json=st.booleans(),
)
def test_no_message_shows_a_token_or_a_value_that_was_sent(
    value: str, token: str, shape: str, status: int, *, as_json: bool
) -> None:
    """Whatever a server or a firewall repeats of what was sent to it."""
    rows = [{"uid": "1.1", "name": value}]
    call = Call(project="p", name="c", expected="e", token=token, form={}, rows=rows, record_field="uid")
    for secret in (value, token):
        text = shape.format(secret)
        body = orjson.dumps({"error": text}) if as_json else text.encode()
        error = error_of(call, body, status)
        problems = error.problems if isinstance(error, RowsRefused) else ()
        own_words = str(error_of(call, shape.format("").encode(), status))
        for message in (str(error), *(problem.message for problem in problems)):
            assert secret not in message or secret in own_words

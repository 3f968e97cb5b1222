"""Whom the page answers, and what it may do to the ledger."""

import asyncio
from threading import Lock

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient
from starlette.types import Message

from ledger.errors import Unreachable
from processors.configuration.file import parse
from processors.errors import ConfigurationError
from processors.gateway import Work
from processors.web.app import ReadingGateway, Site
from tests.web.conftest import CONFIGURATION, Shown


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "[::1]:8642", "LOCALHOST"])
def test_requests_for_this_machine_are_answered(shown: Shown, host: str) -> None:
    assert shown.client.get("/search", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "evil.example:8642", ""])
def test_a_name_that_was_made_to_lead_here_is_not_answered(shown: Shown, host: str) -> None:
    assert shown.client.get("/search", headers={"host": host}).status_code == 421


def test_a_form_from_elsewhere_is_not_taken(shown: Shown) -> None:
    for site, code in (("cross-site", 403), ("same-site", 403), ("same-origin", 303)):
        answer = shown.client.post("/search", data={"project": "P"}, headers={"sec-fetch-site": site})
        assert answer.status_code == code


def test_a_form_that_is_too_long_is_not_taken(shown: Shown) -> None:
    assert shown.client.post("/find", content=b"x" * 20_000).status_code == 413


def test_whoever_leaves_within_a_form_leaves_no_traceback(shown: Shown) -> None:
    answered: list[Message] = []

    async def leaves() -> Message:
        return {"type": "http.disconnect"}

    async def hears(message: Message) -> None:
        answered.append(message)

    async def visit() -> None:
        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": "/find", "query_string": b"", "headers": headers}
        await shown.client.app(scope, leaves, hears)

    asyncio.run(visit())
    assert answered[0]["status"] == 400


def test_a_form_that_does_not_come_to_an_end_is_waited_for_no_longer_than_told(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.web.app._PATIENCE_SECONDS", 0.01)
    answered: list[Message] = []

    async def dawdles() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def hears(message: Message) -> None:
        answered.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/find",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    asyncio.run(shown.client.app(scope, dawdles, hears))  # type: ignore[arg-type]
    assert answered[0]["status"] == 408
    assert (b"connection", b"close") in answered[0]["headers"]
    assert b"Expected the whole form within 0.01 seconds." in answered[1]["body"]


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("GET", "/find", "POST"),
        ("GET", "/patient", "POST"),
        ("DELETE", "/search", "GET, HEAD, POST"),
        ("POST", "/style.css", "GET, HEAD"),
        ("TRACE", "/", "GET, HEAD"),
    ],
)
def test_another_method_is_answered_by_those_that_are_meant(
    shown: Shown, method: str, address: str, allowed: str
) -> None:
    answer = shown.client.request(method, address)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert f"Expected {allowed.replace(', ', ' or ')}." in answer.text


def test_a_value_that_no_form_sends_is_told_by_what_is_wrong_with_it(shown: Shown) -> None:
    assert "uid: expected text, found the character NUL (%00) in it" in shown.text("/study?uid=1.2%003", 404)
    assert "name: expected up to 2,000 characters, found 2,001." in shown.text(f"/project?name={'x' * 2001}", 404)


def test_no_error_comes_through_to_the_server(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(shown.site, "_refused", refused)
    answer = shown.client.get("/study?uid=9.9")
    assert (answer.status_code, answer.text) == (500, "told: KeyError\n")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_can_change_nothing(shown: Shown) -> None:
    reading = ReadingGateway.of(shown.gateway, shown.gateway.database, Lock())
    with pytest.raises(Unreachable, match="takes no changes"), reading.begin() as work:
        work.execute(text("update gateway.study set site = 'mine'"))


def test_an_error_that_nobody_foresaw_tells_no_value(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_study(_: Work, wanted: str) -> str:
        raise KeyError(f"secret {wanted}")

    monkeypatch.setattr("processors.web.app.find_study", find_study)
    answer = shown.client.post("/find", data={"name": "1.2.3"})
    assert (answer.status_code, "told: KeyError" in answer.text, "secret" in answer.text) == (500, True, False)


def test_an_address_that_others_reach_is_refused_unless_it_is_meant(shown: Shown) -> None:
    with pytest.raises(ConfigurationError, match=r"web.*expected an address of this machine alone"):
        parse(f'{CONFIGURATION}[web]\naddress = "0.0.0.0"\n', "the test's")
    meant = parse(f'{CONFIGURATION}[web]\naddress = "0.0.0.0"\ninsecure = true\n', "the test's")
    site = Site(shown.gateway, meant, unrecorded=lambda: None, told=str)
    with TestClient(site.application(), base_url="http://gateway.example") as client:
        assert client.get("/search").status_code == 200

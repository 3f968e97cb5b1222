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

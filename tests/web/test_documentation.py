"""What docs/page.md has an administrator set up, as far as it can be tried."""

import re
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from starlette.testclient import TestClient

from ledger import roles
from ledger.database import open_database
from ledger.roles import Roles
from processors.configuration.settings import WebSection
from processors.web.app import Site
from tests.audit.conftest import Story
from tests.conftest import Server
from tests.roles.conftest import as_role
from tests.web.conftest import EVIL_STUDY, NUMBER, Shown

PAGE = (Path(__file__).parents[2] / "docs" / "page.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_both_web_servers_are_led_to_where_it_listens_and_say_who_asks() -> None:
    web = WebSection()
    for language, passed in (("apache", "ProxyPass"), ("nginx", "proxy_pass")):
        pass_on, who = blocks(language)
        (address,) = re.findall(rf'^ *{passed} +"?(http://[^";]+)"?;?$', pass_on, re.MULTILINE)
        assert address == f"http://{web.address}:{web.port}/"
        assert web.user_header in who
    assert f"Host {web.address};" in blocks("nginx")[0]


def test_the_role_of_its_own_can_read_every_page_and_change_nothing(story: Story, shown: Shown, server: Server) -> None:
    assert "fiona-ledger grant --reader fiona_page" in PAGE
    role = f"page_{uuid4().hex[:12]}"
    server.execute(f"create role {role} login password '{role}'")
    try:
        with story.database.begin() as connection:
            roles.grant(connection, Roles(reader=role))
            assert roles.besides(connection, Roles(reader=role)) == {role: []}
            assert [power for power in roles.beyond(connection) if role in power] == []
        with closing(open_database(as_role(story.url, role), Path("/nowhere"))) as reading:
            site = Site(shown.gateway, shown.configuration, unrecorded=lambda: None, told=str, database=reading)
            with TestClient(site.application(), base_url="http://127.0.0.1") as client:
                for address in (
                    "/",
                    "/search",
                    f"/study?uid={EVIL_STUDY}",
                    f"/study?uid={EVIL_STUDY}&day=2026-03-03",
                    "/project?name=Heart+Study",
                    "/project.csv?name=Heart+Study",
                    "/rule?record=1",
                    "/entry?record=12",
                ):
                    assert client.get(address).status_code == 200, address
                found = client.post("/find", data={"name": NUMBER}, follow_redirects=False)
                assert found.status_code == 303
    finally:
        Server(story.url).execute(f"drop owned by {role}")
        server.execute(f"drop role {role}")

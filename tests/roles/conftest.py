"""Roles of PostgreSQL for a test, and the program as the one or the other."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from psycopg.sql import SQL, Identifier, Literal

from tests.conftest import Server
from tests.verification.program import Program, configured

MakeRole = Callable[[str], str]


def as_role(url: str, role: str) -> str:
    """The address for a role, whose password is its name where the server asks for one."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{role}@{host}").geturl()


@pytest.fixture
def made_role(server: Server, database_url: str) -> Iterator[MakeRole]:
    """Makes roles of their own for the test: they belong to the whole server, and are dropped at the end."""
    database = urlsplit(database_url).path.lstrip("/")
    with ExitStack() as stack:

        def make(purpose: str) -> str:
            name = f"{purpose}_{uuid4().hex[:12]}"
            names = {"role": Identifier(name), "password": Literal(name)}
            server.execute(SQL("create role {role} login password {password}").format(**names).as_string())
            stack.callback(server.execute, SQL("drop role {role}").format(**names).as_string())
            stack.callback(_drop_owned, server, database, name)
            return name

        yield make


def _drop_owned(server: Server, database: str, role: str) -> None:
    Server(server.url_of(database)).execute(SQL("drop owned by {}").format(Identifier(role)).as_string())


@pytest.fixture
def program(database_url: str, key_file: Path, tmp_path: Path) -> Program:
    """The program as the owner of the tables."""
    return configured(tmp_path, url=database_url, key_file=key_file, site="owner")


@pytest.fixture
def writer(program: Program, made_role: MakeRole) -> str:
    role = made_role("writer")
    assert program("grant", "--writer", role).code == 0
    return role


@pytest.fixture
def auditor(program: Program, made_role: MakeRole) -> str:
    role = made_role("auditor")
    assert program("grant", "--auditor", role).code == 0
    return role

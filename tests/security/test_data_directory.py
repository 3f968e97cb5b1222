"""What stays in a server's files after keys were destroyed: its whole data folder is searched, byte by byte."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from processors.operations.forget.forget import compact
from tests.conftest import Server, SettableClock, a_server, a_template
from tests.flow.harness import BRAIN, HEART, standard_simulator
from tests.forget.sites import PrivateSite, traces

ADA, ADAS_NAME = "19151210-ADA", "Lovelace^Ada"
FREE_TEXT: dict[str, Any] = {
    "StudyDescription": "PLANTED study of Ada",
    "SeriesDescription": "PLANTED series of Ada",
    "InstitutionName": "PLANTED clinic",
    "SequenceName": "PLANTED sequence",
}
EVERYBODY = "19[0-9]{6}-[A-Z]+"
KEYS = """
    select wrapped_key from ledger.subject where wrapped_key is not null
    union all select lookup from ledger.subject where lookup is not null
    union all select wrapped_index_key from ledger.vault
"""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server whose files nobody else writes, and whose old WAL is deleted instead of used again."""
    with a_server() as server:
        server.execute("alter system set wal_recycle = off")
        server.execute("select pg_reload_conf()")
        yield server


@pytest.fixture
def site(own_server: Server, tmp_path: Path) -> Iterator[PrivateSite]:
    clock = SettableClock()
    with a_template(own_server, tmp_path) as (name, key_file), standard_simulator(clock) as simulator:
        url = own_server.url_of(name)
        site = PrivateSite(folder=tmp_path, database_url=url, key_file=key_file, clock=clock, simulator=simulator)
        site.project()
        yield site
        site.close()


def filled(site: PrivateSite) -> set[bytes]:
    """Ada's studies are requested by rule, coupling entry and generated ID; gives the keys that open all of it."""
    site.rule(patient_id=EVERYBODY, project=BRAIN)
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME, AccessionNumber="ACC-A-OF-ADA", **FREE_TEXT)
    site.entry("7", accession="ACC-A-OF-ADA", project=HEART, subject="SECRET-PSEUDONYM")
    site.study("1.2", ADA, PatientName=ADAS_NAME)
    site.run()
    with site.gateway() as gateway, gateway.database.begin() as connection:
        connection.execute(text("analyze"))
    return {bytes(key) for (key,) in site.query(KEYS)}


def holding(site: PrivateSite, secrets: set[bytes]) -> set[str]:
    """The files of the server, below its data folder, that hold one of these, what waits in memory written out.

    `checkpoint` deletes the WAL of before, `pg_switch_wal` has the present file end.
    """
    with site.gateway() as gateway, gateway.database.begin() as connection:
        for statement in ("checkpoint", "select pg_switch_wal()", "checkpoint"):
            connection.execute(text(statement))
        folder = Path(connection.execute(text("show data_directory")).scalar_one())
        files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        str(path.relative_to(folder)) for path, content in files.items() if any(secret in content for secret in secrets)
    }


def test_no_file_of_the_server_keeps_a_destroyed_key(site: PrivateSite) -> None:
    keys = filled(site)
    site.forget_patients(ADA)
    keys -= {bytes(key) for (key,) in site.query(KEYS)}
    assert len(keys) > 5
    assert holding(site, keys), "this test shows nothing where PostgreSQL wipes by itself"
    with site.gateway() as gateway:
        assert compact(gateway.database)
    assert holding(site, keys) == set()


def test_nor_does_one_keep_what_the_old_master_key_opens(site: PrivateSite) -> None:
    keys = filled(site)
    site.rekey()
    keys -= {bytes(key) for (key,) in site.query(KEYS)}
    assert holding(site, keys)
    with site.gateway() as gateway:
        assert compact(gateway.database)
    assert holding(site, keys) == set()


def test_no_file_of_the_server_ever_holds_what_identifies_a_person(site: PrivateSite) -> None:
    filled(site)
    drawn = site.requested("1.2")
    planted = traces(ADA, ADAS_NAME, "SECRET-PSEUDONYM", "ACC-A-OF-ADA", drawn, *FREE_TEXT.values())
    assert holding(site, {trace.encode() for trace in planted}) == set()


def test_nor_do_its_files_lead_from_a_study_to_its_generated_id(site: PrivateSite) -> None:
    """With the key file at hand, after the patient was forgotten: they used to stand there together, in plain."""
    filled(site)
    drawn = site.requested("1.2")
    assert drawn in site.finds({drawn})
    site.forget_patients(ADA)
    assert site.finds({drawn, "ACC-A-OF-ADA", *FREE_TEXT.values()}) == set()
    assert drawn in site.used()

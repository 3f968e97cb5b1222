import os
import shutil
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from ledger import lease, rekeying, store
from ledger.database import Database
from ledger.errors import Corrupt, KeyProblem
from ledger.key_file import next_key_file, read_master_key
from ledger.vault import SubjectName, Vault
from processors.errors import ServiceError
from processors.events.transfers import TransferObserved
from processors.gateway import Gateway
from processors.locks import only_run
from processors.operations.forget.exclusive_lock import exclusive_lock
from processors.operations.forget.rekey import rekey
from tests.forget.killed import killed_at
from tests.ledger.samples import first_broken
from tests.ledger.samples import opened as opened_database

STEPS = [
    "before the new key file",
    "after the new key file",
    "among the data keys",
    "before the commit",
    "after the commit",
    "after the renaming",
]
PATIENTS = {f"PID-{number}": {"pseudonym": f"PID-{number}"} for number in range(5)}


def seal(gateway: Gateway, patient_id: str) -> None:
    with gateway.begin() as work:
        observed = TransferObserved(
            study=patient_id, project="Heart", event_name="", instance=1, fingerprint="", pseudonym=patient_id
        )
        work.record([work.seal(observed, SubjectName("patient", "", patient_id))])


@pytest.fixture
def filled(gateway: Gateway) -> Gateway:
    """A ledger with a few patients, of whom one has been forgotten."""
    for patient_id in (*PATIENTS, "FORGOTTEN"):
        seal(gateway, patient_id)
    with gateway.begin() as work:
        forgotten = gateway.vault.found(work.connection, [SubjectName("patient", "", "FORGOTTEN")])
        assert gateway.vault.forget(work.connection, forgotten.values()) == 1
    return gateway


def opened(database: Database, key_file: Path) -> list[dict[str, object]]:
    """All that can be unsealed with the key in the file."""
    with database.begin() as connection:
        vault = Vault.open(connection, key_file)
        return list(vault.unseal(connection, list(store.read(connection))).values())


def wrapped(database: Database) -> list[tuple[UUID, bytes | None]]:
    with database.begin() as connection:
        rows = connection.execute(text("select subject, wrapped_key from ledger.subject order by subject"))
        return [(row.subject, row.wrapped_key) for row in rows]


def test_after_a_change_all_opens_with_the_new_key_and_nothing_with_the_old(
    filled: Gateway, database: Database, key_file: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copy(key_file, tmp_path / "old.key"))
    before = wrapped(database)
    assert rekey(filled, key_file, by="operator") == len(PATIENTS)
    assert opened(database, key_file) == list(PATIENTS.values())
    after = wrapped(database)
    assert [subject for subject, _ in after] == [subject for subject, _ in before]
    kept = [(a, b) for (_, a), (_, b) in zip(before, after, strict=True) if a == b]
    assert kept == [(None, None)], "the forgotten one's"
    with pytest.raises(KeyProblem, match="given since"):
        opened(database, old)


def test_the_change_is_an_event_without_any_key(filled: Gateway, database: Database, key_file: Path) -> None:
    rekey(filled, key_file, by="operator")
    with database.begin() as connection:
        (event,) = store.read(connection, types=["MasterKeyChanged"])
        assert first_broken(connection) is None
    assert (event.stream, event.data) == ("vault/master-key", {"by": "operator", "subjects": len(PATIENTS)})


def test_names_and_contents_are_found_again_after_a_change(filled: Gateway, database: Database, key_file: Path) -> None:
    name = SubjectName("patient", "", "PID-1")
    with database.begin() as connection:
        known, print_ = filled.vault.found(connection, [name]), filled.vault.fingerprint(b"content")
    rekey(filled, key_file, by="operator")
    with database.begin() as connection:
        vault = Vault.open(connection, key_file)
        assert (vault.found(connection, [name]), vault.fingerprint(b"content")) == (known, print_)
        assert filled.vault.found(connection, [name]) == known != {}
    seal(filled, "PID-9")
    assert opened(database, key_file) == [*PATIENTS.values(), {"pseudonym": "PID-9"}]


@pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)
def test_killed_at_any_step_the_ledger_opens_and_the_change_can_be_made(
    filled: Gateway, database: Database, database_url: str, key_file: Path, tmp_path: Path, step: int
) -> None:
    old = Path(shutil.copy(key_file, tmp_path / "old.key"))
    assert killed_at(database_url, key_file, step + 1) == -9
    committed = step >= STEPS.index("after the commit")
    with database.begin() as connection:
        vault = Vault.open(connection, key_file)
        assert bool(list(store.read(connection, types=["MasterKeyChanged"]))) == committed
    assert opened(database, key_file) == list(PATIENTS.values())
    assert (key_file.read_bytes() != old.read_bytes()) == committed, "opening it has completed the change"
    filled.vault = vault
    seal(filled, "PID-8")
    assert rekey(filled, key_file, by="operator") == len(PATIENTS) + 1
    assert opened(database, key_file) == [*PATIENTS.values(), {"pseudonym": "PID-8"}]
    assert sorted(path.name for path in key_file.parent.glob("vault.key*")) == ["vault.key"]
    with pytest.raises(KeyProblem):
        opened(database, old)


def test_these_are_all_the_steps(filled: Gateway, key_file: Path) -> None:
    steps: list[str] = []
    rekey(filled, key_file, by="operator", at=steps.append)
    assert steps == STEPS


def test_a_change_whose_renaming_was_lost_is_completed_by_the_next_program(
    filled: Gateway, database: Database, key_file: Path, tmp_path: Path
) -> None:
    """As after a power cut, before the folder was on the disk."""
    old = Path(shutil.copy(key_file, tmp_path / "old.key"))
    rekey(filled, key_file, by="operator")
    new = key_file.read_bytes()
    key_file.rename(next_key_file(key_file))
    old.rename(key_file)
    assert opened(database, key_file) == list(PATIENTS.values())
    assert key_file.read_bytes() == new
    assert not next_key_file(key_file).exists()


@pytest.mark.parametrize("junk", [b"", b"fiona-ledger-master-key-1:AAAA", b"\xff"])
def test_half_a_key_file_from_an_interrupted_change_is_in_nobodys_way(
    filled: Gateway, database: Database, key_file: Path, junk: bytes
) -> None:
    next_key_file(key_file).write_bytes(junk)
    assert opened(database, key_file) == list(PATIENTS.values())
    rekey(filled, key_file, by="operator")
    assert opened(database, key_file) == list(PATIENTS.values())


def test_with_a_wrong_key_a_waiting_one_that_does_not_fit_either_is_left_where_it_is(
    filled: Gateway, database: Database, key_file: Path
) -> None:
    for file in (key_file, next_key_file(key_file)):
        file.write_text("fiona-ledger-master-key-1:" + "A" * 43 + "=\n")
        file.chmod(0o600)
    assert filled.vault is not None
    with pytest.raises(KeyProblem, match="not the one this ledger was made with"):
        opened(database, key_file)
    assert next_key_file(key_file).exists()


def test_a_commit_that_is_still_under_way_keeps_its_key_file(
    filled: Gateway, database: Database, key_file: Path
) -> None:
    """Its program was killed, and its locks outside of the transaction are gone; the server commits all the same."""
    waiting = next_key_file(key_file)
    waiting.write_bytes(b"the key that is being committed")
    with database.begin() as committing:
        committing.execute(text("update ledger.vault set wrapped_index_key = wrapped_index_key"))
        with filled.database.begin() as connection:
            connection.execute(text("set local lock_timeout = '50ms'"))
            with pytest.raises(OperationalError):
                rekeying.rewrap(connection, key_file)
    assert waiting.read_bytes() == b"the key that is being committed"


def test_a_program_that_knows_the_old_key_makes_no_subject_that_nobody_could_open(
    filled: Gateway, database: Database, key_file: Path
) -> None:
    with database.begin() as connection:
        stale = Vault.open(connection, key_file)
    rekey(filled, key_file, by="operator")
    for attempt in ("PID-99", "PID-1"):  # a new one, and one to be found
        with pytest.raises(KeyProblem, match="was changed while this was at work"), database.begin() as connection:
            stale.subjects(connection, [SubjectName("patient", "", attempt)])
    assert len(wrapped(database)) == len(PATIENTS) + 1


def test_a_data_key_that_does_not_open_stops_the_change_before_anything_is_changed(
    filled: Gateway, database: Database, key_file: Path
) -> None:
    with database.begin() as connection:
        connection.execute(text("update ledger.subject set wrapped_key = :junk where subject = :one"), {
            "junk": os.urandom(60), "one": next(subject for subject, key in wrapped(database) if key is not None)
        })  # fmt: skip
    before, key = wrapped(database), key_file.read_bytes()
    with pytest.raises(Corrupt, match=r"data key of subject .*Nothing was changed"):
        rekey(filled, key_file, by="operator")
    assert (wrapped(database), key_file.read_bytes()) == (before, key)
    assert not next_key_file(key_file).exists()


def test_a_folder_that_takes_no_file_stops_the_change_before_anything_is_changed(
    filled: Gateway, database: Database, key_file: Path
) -> None:
    next_key_file(key_file).mkdir()
    before = wrapped(database)
    with pytest.raises(KeyProblem, match=r"cannot be written.*Nothing was changed"):
        rekey(filled, key_file, by="operator")
    assert wrapped(database) == before


def test_the_new_key_file_is_its_owners_alone_as_the_old_one_was(filled: Gateway, key_file: Path) -> None:
    if os.geteuid() == 0:
        os.chown(key_file, 1234, 1234)
    before = key_file.stat()
    rekey(filled, key_file, by="operator")
    after = key_file.stat()
    assert after.st_mode & 0o777 == 0o600
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


def test_where_the_key_file_is_a_link_the_file_behind_it_is_replaced(
    filled: Gateway, database: Database, key_file: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.key"
    link.symlink_to(key_file)
    before = read_master_key(key_file)
    rekey(filled, link, by="operator")
    assert link.is_symlink()
    assert read_master_key(key_file) != before
    assert opened(database, link) == list(PATIENTS.values())


def test_more_subjects_than_a_portion_holds_are_all_wrapped_anew(
    filled: Gateway, database: Database, key_file: Path
) -> None:
    with database.begin() as connection:
        names = [SubjectName("patient", "", f"many/{number}") for number in range(rekeying.BATCH)]
        filled.vault.subjects(connection, names)
    told: list[tuple[int, int]] = []
    count = rekey(filled, key_file, by="operator", progress=lambda done, total: told.append((done, total)))
    total = rekeying.BATCH + len(PATIENTS)
    assert (count, told) == (total, [(rekeying.BATCH, total), (total, total)])
    with database.begin() as connection:
        vault = Vault.open(connection, key_file)
        vault.load(connection, [subject for subject, _ in wrapped(database)])


def test_a_run_under_way_is_waited_for(gateway: Gateway, key_file: Path, database_url: str) -> None:
    before = key_file.read_bytes()
    told: list[str] = []
    with (
        opened_database(database_url) as database,
        lease.held(database, "run", "main"),
        pytest.raises(ServiceError, match="Nothing was changed: the run of site 'main' did not end"),
        exclusive_lock(gateway, waiting=told.append, patience_seconds=0.05),
    ):
        pass
    assert told == ["the run of site 'main'"]
    assert key_file.read_bytes() == before
    with exclusive_lock(gateway):
        pass


def test_runs_of_all_sites_wait_until_it_is_over(gateway: Gateway, database_url: str) -> None:
    with opened_database(database_url) as database:
        for site in (gateway.site, "elsewhere"):
            there = Gateway(database=database, vault=gateway.vault, site=site, clock=gateway.clock, run=gateway.run)
            with exclusive_lock(gateway), only_run(there) as busy:
                assert busy is not None
            with only_run(there) as busy:
                assert busy is None

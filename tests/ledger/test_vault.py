import base64
import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from ledger import migrations, store
from ledger.database import Database
from ledger.errors import Corrupt, KeyProblem
from ledger.events import Event, NewEvent, new_event_id
from ledger.key_file import read_master_key
from ledger.vault import StoredVault, SubjectName, Vault, initialise
from tests.ledger.processes import make_subjects, migrate_and_initialise, processes
from tests.ledger.samples import append, everything, fact, first_broken, opened, scalar, the_store

ADA = SubjectName("patient", "", "19151210-0001")
GRACE = SubjectName("patient", "", "19061209-0002")
PAYLOAD = {"PatientName": "Lovelace^Ada", "PatientID": "19151210-0001"}


def append_sealed(database: Database, vault: Vault, name: SubjectName = ADA, stream: str = "study/1") -> Event:
    event_id = new_event_id()
    with database.begin() as connection:
        subject = vault.subjects(connection, [name])[name]
        event = NewEvent(
            stream=stream,
            type="Came",
            data={},
            event_id=event_id,
            subject=subject,
            sealed=vault.seal(subject, event_id, PAYLOAD),
        )
        return the_store().append(connection, [event])[0]


def unsealed(database: Database, key_file: Path, *events: Event) -> dict[int, dict[str, object]]:
    with database.begin() as connection:
        return Vault.open(connection, key_file).unseal(connection, events)


def test_what_was_sealed_opens_again_in_another_process(database: Database, vault: Vault, key_file: Path) -> None:
    append_sealed(database, vault)
    (event,) = everything(database)
    assert unsealed(database, key_file, event) == {1: PAYLOAD}


@given(st.dictionaries(st.text(), st.text()))
def test_every_payload_opens_as_it_was_sealed(database: Database, vault: Vault, payload: dict[str, str]) -> None:
    event_id = new_event_id()
    with database.begin() as connection:
        subject = vault.subjects(connection, [ADA])[ADA]
        sealed = vault.seal(subject, event_id, payload)
        event = NewEvent(stream="s", type="T", data={}, event_id=event_id, subject=subject, sealed=sealed)
        stored = the_store().append(connection, [event])
        assert vault.unseal(connection, stored) == {stored[0].position: payload}
        connection.rollback()


def test_sealing_the_same_twice_gives_different_bytes(database: Database, vault: Vault) -> None:
    first, second = append_sealed(database, vault), append_sealed(database, vault)
    assert first.subject == second.subject
    assert first.sealed != second.sealed


def test_a_sealed_part_does_not_open_in_another_event(database: Database, vault: Vault, key_file: Path) -> None:
    event = append_sealed(database, vault)
    with pytest.raises(Corrupt, match="position 1 does not open"):
        unsealed(database, key_file, event._replace(event_id=new_event_id()))


def test_a_sealed_part_does_not_open_with_another_subjects_key(
    database: Database, vault: Vault, key_file: Path
) -> None:
    event, other = append_sealed(database, vault), append_sealed(database, vault, GRACE)
    with pytest.raises(Corrupt):
        unsealed(database, key_file, event._replace(subject=other.subject))


def test_a_changed_sealed_part_is_noticed(database: Database, vault: Vault, key_file: Path) -> None:
    event = append_sealed(database, vault)
    assert event.sealed is not None
    spoilt = event.sealed[:-1] + bytes([event.sealed[-1] ^ 1])
    with pytest.raises(Corrupt) as caught:
        unsealed(database, key_file, event._replace(sealed=spoilt))
    assert "Lovelace" not in str(caught.value)


def test_a_data_key_put_under_another_subject_is_noticed(database: Database, vault: Vault, key_file: Path) -> None:
    event, other = append_sealed(database, vault), append_sealed(database, vault, GRACE)
    with database.begin() as connection:
        connection.execute(
            text("""
                update ledger.subject set wrapped_key = other.wrapped_key
                  from ledger.subject as other
                 where other.subject = :other and subject.subject = :subject
            """),
            {"other": other.subject, "subject": event.subject},
        )
    with pytest.raises(Corrupt, match="data key of subject"):
        unsealed(database, key_file, event)


def test_events_without_a_sealed_part_are_left_out(database: Database, vault: Vault, key_file: Path) -> None:
    append(database, fact())
    append_sealed(database, vault)
    assert list(unsealed(database, key_file, *everything(database))) == [2]


def test_one_name_is_one_subject_and_another_name_another(database: Database, vault: Vault) -> None:
    with database.begin() as connection:
        subjects = vault.subjects(connection, [ADA, GRACE, ADA])
    with database.begin() as connection:
        assert vault.subjects(connection, [GRACE, ADA]) == subjects
    assert len(set(subjects.values())) == 2


def test_kind_and_scope_are_part_of_a_name(database: Database, vault: Vault) -> None:
    names = [SubjectName("patient", "", "1"), SubjectName("study", "", "1"), SubjectName("patient", "x", "1")]
    with database.begin() as connection:
        assert len(set(vault.subjects(connection, names).values())) == 3


def test_finding_a_subject_makes_none(database: Database, vault: Vault) -> None:
    with database.begin() as connection:
        assert vault.found(connection, [ADA]) == {}
        made = vault.subjects(connection, [ADA])[ADA]
        assert vault.found(connection, [ADA]) == {ADA: made}
    assert scalar(database, "select count(*) from ledger.subject") == 1


def test_a_subject_that_was_rolled_back_is_made_anew(database: Database, vault: Vault, key_file: Path) -> None:
    """It used to be remembered: what was then sealed for it could never be opened again."""
    with database.begin() as connection:
        vault.subjects(connection, [ADA])
        connection.rollback()
    event = append_sealed(database, vault)
    assert unsealed(database, key_file, event) == {event.position: PAYLOAD}


def test_a_subject_rolled_back_to_a_savepoint_is_made_anew(database: Database, vault: Vault) -> None:
    with database.begin() as connection:
        savepoint = connection.begin_nested()
        lost = vault.subjects(connection, [ADA])[ADA]
        savepoint.rollback()
        assert vault.subjects(connection, [ADA])[ADA] != lost


def test_after_its_key_is_destroyed_an_event_stands_and_verifies_but_does_not_open(
    database: Database, vault: Vault, key_file: Path
) -> None:
    event, other = append_sealed(database, vault), append_sealed(database, vault, GRACE)
    destroy_key(database, event.subject)
    assert unsealed(database, key_file, *everything(database)) == {other.position: PAYLOAD}
    with database.begin() as connection:
        assert first_broken(connection) is None
        assert store.read_positions(connection, [1]) == {1: event}


def test_nothing_can_be_sealed_for_a_forgotten_subject(database: Database, vault: Vault, key_file: Path) -> None:
    event = append_sealed(database, vault)
    assert event.subject is not None
    destroy_key(database, event.subject)
    with database.begin() as connection:
        fresh = Vault.open(connection, key_file)
        fresh.load(connection, [event.subject])
    with pytest.raises(KeyProblem, match=str(event.subject)):
        fresh.seal(event.subject, new_event_id(), PAYLOAD)


def test_somebody_who_comes_back_after_being_forgotten_is_somebody_new(database: Database, vault: Vault) -> None:
    before = append_sealed(database, vault)
    destroy_key(database, before.subject)
    assert append_sealed(database, vault).subject != before.subject


def destroy_key(database: Database, subject: UUID | None) -> None:
    with database.begin() as connection:
        connection.execute(
            text("update ledger.subject set lookup = null, wrapped_key = null where subject = :subject"),
            {"subject": subject},
        )


def test_a_subject_may_not_lose_only_its_key_or_only_its_lookup(database: Database, vault: Vault) -> None:
    append_sealed(database, vault)
    for column in ("lookup", "wrapped_key"):
        with pytest.raises(Exception, match="subject_check"), database.begin() as connection:
            connection.execute(text(f"update ledger.subject set {column} = null"))
    assert scalar(database, "select count(lookup) + count(wrapped_key) from ledger.subject") == 2


def test_two_processes_that_make_the_same_subjects_in_different_orders_make_each_once(
    database: Database, database_url: str, key_file: Path
) -> None:
    names = [SubjectName("patient", "", str(number)) for number in range(40)]
    with processes(2) as pool:
        forwards = pool.submit(make_subjects, database_url, key_file, names)
        backwards = pool.submit(make_subjects, database_url, key_file, names[::-1])
        assert forwards.result() == backwards.result()[::-1]
    assert scalar(database, "select count(*) from ledger.subject") == len(names)


def test_no_table_holds_anything_of_a_name(database: Database, vault: Vault) -> None:
    append_sealed(database, vault)
    with database.begin() as connection:
        tables = connection.execute(
            text("""
                select format('%I.%I', schemaname, tablename) from pg_tables
                 where schemaname in ('ledger', 'gateway')
            """)
        ).scalars()
        rows = [
            row
            for table in tables
            for row in connection.execute(text(f"select row_to_json(t)::text from {table} as t")).scalars()
        ]
    content = "\n".join(rows)
    assert "study/1" in content
    for part in ("Lovelace", "Ada", "19151210"):
        assert part not in content
        assert part.encode().hex() not in content


def test_equal_contents_have_equal_fingerprints_in_one_ledger_only(
    database: Database, vault: Vault, key_file: Path
) -> None:
    with database.begin() as connection:
        again = Vault.open(connection, key_file)
    assert vault.fingerprint(b"x") == again.fingerprint(b"x")
    assert vault.fingerprint(b"x") != vault.fingerprint(b"y")
    assert vault.fingerprint(b"x") != Vault(os.urandom(32), os.urandom(32), StoredVault(uuid4(), b"")).fingerprint(b"x")


def write_key(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)


def some_key() -> str:
    return f"fiona-ledger-master-key-1:{base64.b64encode(os.urandom(32)).decode()}\n"


def test_a_wrong_master_key_is_a_key_problem_before_anything_is_written(database: Database, key_file: Path) -> None:
    write_key(key_file, some_key())
    with pytest.raises(KeyProblem, match="not the one this ledger was made with"), database.begin() as c:
        Vault.open(c, key_file)
    assert scalar(database, "select count(*) from ledger.subject") == 0


def test_a_missing_key_file_of_a_ledger_with_a_vault_is_never_remade(database: Database, key_file: Path) -> None:
    key_file.unlink()
    for attempt in (Vault.open, initialise):
        with pytest.raises(KeyProblem, match="Put it back from its backup"), database.begin() as connection:
            attempt(connection, key_file)
    assert list(key_file.parent.glob("*.key*")) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"garbage",
        b"\xff\xfe\x00",
        b"fiona-ledger-master-key-1:",
        b"fiona-ledger-master-key-1:not base64!",
        b"fiona-ledger-master-key-1:" + base64.b64encode(b"too short"),
        b"fiona-ledger-master-key-2:" + base64.b64encode(bytes(32)),
    ],
)
def test_a_garbage_key_file_is_a_key_problem_that_does_not_show_its_content(
    database: Database, key_file: Path, content: bytes
) -> None:
    key_file.write_bytes(content)
    with pytest.raises(KeyProblem) as caught, database.begin() as connection:
        initialise(connection, key_file)
    assert base64.b64encode(b"too short").decode() not in str(caught.value)
    assert key_file.read_bytes() == content


def test_a_folder_in_place_of_the_key_file_is_a_key_problem(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="IsADirectoryError"):
        read_master_key(tmp_path)


def test_a_new_ledger_gets_a_key_file_that_only_its_owner_may_read(empty_url: str, tmp_path: Path) -> None:
    key_file = tmp_path / "new" / "folder" / "vault.key"
    assert migrate_and_initialise(empty_url, key_file) == (True, True)
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key_file.parent.iterdir()] == ["vault.key"]
    assert len(read_master_key(key_file)) == 32


def test_a_new_ledger_takes_a_key_file_that_is_there(empty_url: str, tmp_path: Path) -> None:
    key_file = tmp_path / "vault.key"
    write_key(key_file, some_key())
    before = key_file.read_bytes()
    assert migrate_and_initialise(empty_url, key_file) == (True, False)
    assert key_file.read_bytes() == before


def test_initialising_again_changes_nothing(database: Database, key_file: Path) -> None:
    before = scalar(database, "select wrapped_index_key from ledger.vault")
    with database.begin() as connection:
        assert initialise(connection, key_file) is False
    assert scalar(database, "select wrapped_index_key from ledger.vault") == before


def test_a_key_file_that_cannot_be_made_is_a_key_problem_and_leaves_no_vault(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(empty_url) as database:
        migrations.migrate(database)
        with pytest.raises(KeyProblem, match="cannot be made"), database.begin() as connection:
            initialise(connection, tmp_path / "file" / "vault.key")
        assert scalar(database, "select count(*) from ledger.vault") == 0


def test_a_ledger_without_a_vault_says_what_to_run(empty_url: str, tmp_path: Path) -> None:
    with opened(empty_url) as database:
        migrations.migrate(database)
        with pytest.raises(KeyProblem, match="Run `fiona-ledger migrate`"), database.begin() as connection:
            Vault.open(connection, tmp_path / "vault.key")


def test_two_that_set_up_a_ledger_at_once_agree_on_one_key(empty_url: str, tmp_path: Path) -> None:
    key_file = tmp_path / "vault.key"
    with processes(4) as pool:
        ends = [pool.submit(migrate_and_initialise, empty_url, key_file) for _ in range(4)]
        results = [end.result() for end in ends]
    assert sorted(changed for changed, _ in results) == [False, False, False, True]
    assert sorted(made for _, made in results) == [False, False, False, True]
    with opened(empty_url) as database, database.begin() as connection:
        assert Vault.open(connection, key_file).fingerprint(b"") != ""


def test_an_unknown_subject_has_no_key(database: Database, vault: Vault) -> None:
    stranger = uuid4()
    with database.begin() as connection:
        vault.load(connection, [stranger, None])
    with pytest.raises(KeyProblem):
        vault.seal(stranger, new_event_id(), {})

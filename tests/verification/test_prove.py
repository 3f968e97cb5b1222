"""Proofs of what the ledger holds of a study, and who can verify them."""

import base64
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger import attestation, chain
from ledger.chain import Broken, parse_checkpoint, verify_consistency, verify_proof
from ledger.database import Database
from ledger.errors import Corrupt, Misconfigured
from ledger.export import export
from ledger.proof import Signer, _root, _Tree, checkpoint_of, prove, prove_consistent
from ledger.vault import Vault
from tests.flow.conftest import MakeSite, make_site
from tests.flow.harness import Site
from tests.ledger.samples import append, fact
from tests.verification.program import Program, configured
from tests.verification.tampering import rewrite, tamper

__all__ = ["make_site"]

STUDY, OTHER = "1.2.826.7", "1.2.826.8"
SIGNER = Signer("fiona-ledger/test", bytes(range(32)))


def hash_of(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree as RFC 9162, 2.1.1, defines it, by recursion."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + hash_of(leaves[:half]) + hash_of(leaves[half:])).digest()


@given(st.integers(1, 70), st.data())
def test_each_path_leads_to_the_root_of_the_tree_as_the_rfc_defines_it(size: int, data: st.DataObject) -> None:
    leaves = [chain.leaf_hash(bytes([number])) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    paths: dict[int, list[bytes]] = {index: []}
    assert _root(list(leaves), paths) == hash_of(leaves)
    assert chain.root_above(leaves[index], index, size, paths[index]) == hash_of(leaves)
    for wrong in ([*paths[index], leaves[0]], paths[index][:-1]):
        if wrong != paths[index]:
            with pytest.raises(ValueError, match="too"):
                chain.root_above(leaves[index], index, size, wrong)


@pytest.fixture
def ledger(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Twenty-one events, of which the tree takes eight at a time."""
    monkeypatch.setattr("ledger.proof._LEAVES", 8)
    append(database, *(fact(f"study/{number % 3}", n=number) for number in range(21)))
    return database


def proof_of(database: Database, *positions: int) -> str:
    with database.begin() as connection:
        return prove(connection, SIGNER, [f"[{position}] in words" for position in positions], positions)


def test_all_events_of_a_stream_are_proven_wherever_they_lie(ledger: Database) -> None:
    for first in (1, 2, 3):
        positions = range(first, 22, 3)
        proof = verify_proof(proof_of(ledger, *positions), SIGNER.key)
        assert [event.position for event in proof.events] == list(positions)
        assert (proof.verified, proof.checkpoint.size) == (True, 21)
    with ledger.begin() as connection:
        hashes = [
            bytes(row[0]) for row in connection.exec_driver_sql("select hash from ledger.event order by position")
        ]
    assert proof.checkpoint.root == hash_of([chain.leaf_hash(each) for each in hashes])


def _as_saved(content: str, how: str) -> bytes:
    """As editors on other systems save it."""
    saved = content.replace("\n", "\r\n") if "crlf" in how else content
    return saved.encode("utf-8-sig" if "bom" in how else "utf-8")


@pytest.mark.parametrize("how", ["crlf", "bom", "crlf and bom"])
def test_what_another_editor_has_saved_verifies_all_the_same(
    ledger: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """It was said to be no export at all, or changed since it was signed."""
    key = ("--key", SIGNER.key.as_line())
    old = checkpoint(ledger)
    append(ledger, fact("study/9"))
    exported: list[bytes] = []
    with ledger.begin() as connection:
        export(connection, exported.append)
    for name, content in {
        "proof": proof_of(ledger, 1, 4),
        "kept": old,
        "since": proof_since(ledger, old),
        "export": b"".join(exported).decode(),
        "key": SIGNER.key.as_line(),
    }.items():
        (tmp_path / name).write_bytes(_as_saved(content, how))
    proof, kept, since, events, key_file = (
        str(tmp_path / name) for name in ("proof", "kept", "since", "export", "key")
    )
    for arguments in ([proof, *key], [kept, *key], [since, "--since", kept, *key], [events, "--head", kept]):
        assert chain.main(arguments) == 0, capsys.readouterr().err
    assert chain.main([proof, "--key", key_file]) == 0


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_what_was_saved_as_utf_16_is_named(
    ledger: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    (tmp_path / "proof").write_bytes(f"\ufeff{proof_of(ledger, 1)}".encode(encoding))
    assert chain.main([str(tmp_path / "proof")]) == 2
    assert "it was saved as UTF-16" in capsys.readouterr().err


def test_a_proof_that_was_cut_off_says_so(ledger: Database) -> None:
    text = proof_of(ledger, 1)
    for cut in (text[: text.index("index 0\n") + 30], text[: text.index("index 0\n") + 20]):
        with pytest.raises(Broken, match="is cut off"):
            verify_proof(cut, SIGNER.key)


class _Lines(list[str]):
    """Lines, and how many of them were copied."""

    copied = 0

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        self.copied += len(found) if isinstance(at, slice) else 0
        return found

    def __iter__(self) -> Iterator[str]:
        self.copied += len(self)
        return super().__iter__()


def test_what_follows_an_event_is_not_copied_to_verify_it(database: Database) -> None:
    """A proof of 20,000 events took a minute and more."""
    append(database, *(fact("study/1", n=number) for number in range(40)))
    lines = _Lines(proof_of(database, *range(1, 41)).rstrip("\n").split("\n"))
    assert len(chain._proof(lines, SIGNER.key).events) == 40
    assert lines.copied <= len(lines)


def test_whatever_is_changed_in_a_proof_shows(ledger: Database) -> None:
    lines = proof_of(ledger, 1, 4, 7, 10, 13, 16, 19).split("\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        middle = len(line) // 2
        changed = line[:middle] + ("A" if line[middle] != "A" else "B") + line[middle + 1 :]
        with pytest.raises((Broken, ValueError)):
            verify_proof("\n".join([*lines[:number], changed, *lines[number + 1 :]]), SIGNER.key)
        with pytest.raises((Broken, ValueError)):
            verify_proof("\n".join([*lines[:number], *lines[number + 1 :]]), SIGNER.key)


def test_what_turns_letters_around_has_escapes_in_a_proof(database: Database) -> None:
    append(database, fact("study/1", text="a\u202eb\u2029c"))
    text = proof_of(database, 1)
    assert all(character.isprintable() for character in text.replace("\n", ""))
    (event,) = verify_proof(text, SIGNER.key).events
    assert "a\u202eb\u2029c" in event.data.decode()


def test_an_event_that_is_left_out_of_the_file_is_missed(ledger: Database) -> None:
    text = proof_of(ledger, 1, 4)
    first = text.index('{"previous"')
    second = text.index('{"previous"', first + 1)
    with pytest.raises(Broken, match="other events than it holds"):
        verify_proof(text[:second], SIGNER.key)
    with pytest.raises(Broken, match="other events than it holds"):
        verify_proof(text[:first] + text[second:], SIGNER.key)


def test_versions_of_a_stream_that_are_kept_back_are_missed(ledger: Database) -> None:
    with pytest.raises(Broken, match="version 3"):
        verify_proof(proof_of(ledger, 1, 7), SIGNER.key)


def test_another_key_does_not_verify_it(ledger: Database) -> None:
    text = proof_of(ledger, 1)
    other = Signer("fiona-ledger/test", bytes(32))
    with pytest.raises(Broken, match="another key"):
        verify_proof(text, other.key)
    namesake = chain.VerifierKey(SIGNER.key.name, other.key.public)
    with pytest.raises(Broken, match="another key"):
        verify_proof(text, namesake)


def test_what_is_signed_is_what_the_forms_say(ledger: Database) -> None:
    """Read by hand, as C2SP's signed-note, tlog-checkpoint and tlog-proof describe them."""
    text = proof_of(ledger, 4)
    proof = text[text.index("c2sp.org/tlog-proof@v1\n") :]
    header, _, checkpoint = proof.partition("\n\n")
    assert header.split("\n")[1] == "index 3"
    assert all(len(base64.b64decode(line)) == 32 for line in header.split("\n")[2:])
    body, _, signature = checkpoint.partition("\n\n")
    assert body.split("\n")[:2] == ["fiona-ledger/test", "21"]
    dash, name, encoded = signature.rstrip("\n").split(" ")
    assert (dash, name) == ("—", "fiona-ledger/test")
    signed = base64.b64decode(encoded)
    public = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    assert signed[:4] == hashlib.sha256(b"fiona-ledger/test\n\x01" + public.public_bytes_raw()).digest()[:4]
    public.verify(signed[4:], f"{body}\n".encode())


@given(st.integers(1, 40), st.data())
def test_what_a_ledger_has_become_is_proven_by_a_few_nodes(size: int, data: st.DataObject) -> None:
    """With portions of four leaves, whose nodes are put together."""
    old = data.draw(st.integers(1, size))
    leaves = [chain.leaf_hash(bytes([number])) for number in range(size)]

    def portions(_: _Tree, first: int, end: int) -> Iterator[list[bytes]]:
        yield from (leaves[at : min(at + 4, end)] for at in range(first, end, 4))

    tree = _Tree.__new__(_Tree)
    tree.size, tree._tops = size, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.proof._LEAVES", 4)
        patch.setattr(_Tree, "_leaves", portions)
        path = tree.consistency(old)
        assert tree.root(0, size) == hash_of(leaves)
    old_root = hash_of(leaves[:old])
    assert chain.roots_above(path, old, size, old_root) == (old_root, hash_of(leaves))
    if path:
        wrong = [path[0][::-1], *path[1:]]
        assert chain.roots_above(wrong, old, size, old_root) != (old_root, hash_of(leaves))
        with pytest.raises(ValueError, match="too long"):
            chain.roots_above([*path, path[0]], old, size, old_root)


def checkpoint(database: Database) -> str:
    with database.begin() as connection:
        return checkpoint_of(connection, SIGNER)


def proof_since(database: Database, kept: str) -> str:
    with database.begin() as connection:
        return prove_consistent(connection, SIGNER, parse_checkpoint(kept))


def test_a_kept_checkpoint_becomes_the_ledger_of_today(ledger: Database) -> None:
    kept = checkpoint(ledger)
    append(ledger, *(fact("study/9", n=number) for number in range(7)))
    proof = proof_since(ledger, kept)
    new, verified = verify_consistency(proof, parse_checkpoint(kept), SIGNER.key)
    assert (new, new.size, verified) == (parse_checkpoint(checkpoint(ledger)), 28, True)
    for text in (proof.replace("old 21", "old 20"), proof.replace("\n28\n", "\n27\n"), checkpoint(ledger)):
        with pytest.raises((Broken, ValueError)):
            verify_consistency(text, parse_checkpoint(kept), SIGNER.key)
    forged = parse_checkpoint(kept)._replace(root=bytes(32))
    with pytest.raises(Broken, match="not what the ledger began with"):
        verify_consistency(proof, forged, SIGNER.key)


def test_a_ledger_that_was_rewritten_is_not_what_the_checkpoint_was(ledger: Database) -> None:
    kept = checkpoint(ledger)
    rewrite(ledger, "update ledger.event set type = 'Other' where position = 20")
    with pytest.raises(Corrupt, match="not what this ledger, of 21 events, began with"):
        proof_since(ledger, kept)


def test_a_ledger_that_lacks_an_event_proves_nothing(ledger: Database) -> None:
    tamper(ledger, "delete from ledger.event where position = 12")
    with ledger.begin() as connection, pytest.raises(Corrupt, match="missing between positions 9 and 16"):
        checkpoint_of(connection, SIGNER)


def test_a_checkpoint_of_more_events_than_there_are_is_not_met(ledger: Database) -> None:
    ahead = parse_checkpoint(checkpoint(ledger))._replace(size=22)
    with ledger.begin() as connection, pytest.raises(Corrupt, match="cut off"):
        prove_consistent(connection, SIGNER, ahead)
    other = ahead._replace(origin="fiona-ledger/other")
    with ledger.begin() as connection, pytest.raises(Misconfigured, match="fiona-ledger/other"):
        prove_consistent(connection, SIGNER, other)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A site that has requested a study, and received another one."""
    site = make_site()
    site.rule(patient_id="HEART-.*")
    site.series(STUDY, PatientID="HEART-0815", PatientName="MARKER^NAME")
    site.series(OTHER, PatientID="ELSE-4711")
    site.run()
    return site


@pytest.fixture
def site_program(site: Site, tmp_path: Path) -> Program:
    return configured(tmp_path, url=site.database_url, key_file=site.key_file)


def test_a_study_is_proven_to_somebody_with_python_alone(site_program: Program, tmp_path: Path) -> None:
    ended = site_program("prove", STUDY, "--output", str(tmp_path / "study.proof"))
    assert (ended.code, ended.err) == (0, "")
    assert f"events of study {STUDY}" in ended.out
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(str(chain.__file__), elsewhere / "chain.py")
    alone = subprocess.run(
        [sys.executable, "-I", "-S", "chain.py", str(tmp_path / "study.proof")],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    # Signatures take a package that this Python has not.
    assert (alone.returncode, alone.stderr) == (1, "")
    assert "SeriesDiscovered" in alone.stdout
    assert "By whom it is signed was not verified" in alone.stdout


def test_the_key_that_was_made_known_verifies_it(
    site_program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = site_program("prove", "--key").out.strip()
    file = tmp_path / "study.proof"
    site_program("prove", STUDY, "--output", str(file))
    assert chain.main([str(file), "--key", key]) == 0
    told = capsys.readouterr().out
    assert "Signed with the key that was given." in told
    assert "TransferRequested" in told
    assert chain.main([str(file), "--key", Signer("fiona-ledger/x", bytes(32)).key.as_line()]) == 4
    assert chain.main([str(file), "--key", "no key"]) == 2
    assert chain.main([str(file)]) == 0
    assert key in capsys.readouterr().out


def test_it_tells_of_no_other_study_and_of_nobody(site: Site, site_program: Program) -> None:
    proof = site_program("prove", STUDY).out
    for hidden in (OTHER, "HEART-0815", "MARKER", "ELSE-4711"):
        assert hidden not in proof
    told = [event.position for event in verify_proof(proof).events]
    of_study = site.query(f"select position from ledger.event where stream = 'study/{STUDY}' order by position")
    assert told == [row[0] for row in of_study]


def test_the_key_outlives_a_change_of_the_master_key(site_program: Program) -> None:
    key = site_program("prove", "--key").out
    assert site_program("rekey").code == 0
    assert site_program("prove", "--key").out == key


@pytest.mark.parametrize("tampers", [tamper, rewrite])
def test_what_was_tampered_with_is_not_proven(
    site: Site, site_program: Program, tampers: Callable[[Database, str], None]
) -> None:
    with site._database.begin() as connection:
        attestation.attest(connection, Vault.open(connection, site.key_file))
    where = f"where stream = 'study/{STUDY}' and version = 1"
    tampers(site._database, f"update ledger.event set recorded_at = recorded_at + interval '1 day' {where}")
    ended = site_program("prove", STUDY)
    assert (ended.code, ended.out) == (4, "")


def test_an_outsider_who_kept_a_checkpoint_is_shown_that_nothing_was_changed(
    site: Site, site_program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, proof = tmp_path / "kept.checkpoint", tmp_path / "since.proof"
    assert site_program("prove", "--checkpoint", "--output", str(kept)).code == 0
    site.series("1.2.826.9")
    site.run()
    assert site_program("prove", "--since", str(kept), "--output", str(proof)).code == 0
    key = site_program("prove", "--key", "--json").data["key"]
    assert chain.main([str(proof), "--since", str(kept), "--key", key]) == 0
    assert f"the first {parse_checkpoint(kept.read_text()).size} of them as they were" in capsys.readouterr().out
    assert chain.main([str(proof), "--since", str(kept)]) == 2
    kept.write_text(kept.read_text().replace("\n", "\n1", 1))
    assert chain.main([str(proof), "--since", str(kept), "--key", key]) == 4
    assert site_program("prove", "--since", str(kept)).code == 4
    assert site_program("prove", "--since", str(proof)).code == 2
    assert site_program("prove", "--since", str(tmp_path / "none")).code == 2


def test_without_a_study_it_says_what_it_needs(site_program: Program) -> None:
    ended = site_program("prove")
    assert ended.code == 2
    assert "Expected a study to be proven" in ended.err
    assert site_program("prove", "9.9").code == 2

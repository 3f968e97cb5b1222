"""Who vouches elsewhere that the ledger was only appended to, and what becomes of it where nobody can."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ledger import chain
from ledger.chain import Broken, parse_key, parse_witness_key
from ledger.database import Database
from ledger.errors import Corrupt
from ledger.proof import Signer
from processors.configuration.file import parse
from processors.configuration.settings import Configuration, LedgerSection
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.operations.health import Severity
from processors.operations.limits import Limits
from processors.operations.proofs.daily import Evidence, gather, signer_of
from processors.operations.proofs.kept import Folder
from processors.operations.proofs.timestamps import Authority, NoTimestamp
from processors.operations.status import status
from tests.conftest import SettableClock
from tests.ledger.samples import append, fact
from tests.verification import witness
from tests.verification.program import Program
from tests.verification.tampering import rewrite
from tests.verification.witness import KEY, NAME, answer, cosignature

TODAY = date(2026, 3, 2)
OTHER = Signer("witness.example/w2", b"o" * 32).key.as_line()


def configuration(tmp_path: Path, key_file: Path, proof: str) -> Configuration:
    return parse(f'[ledger]\ndata_dir = "{tmp_path}"\nkey_file = "{key_file}"\n{proof}', "test")


def command_of(tmp_path: Path, site: str) -> list[str]:
    return [sys.executable, witness.__file__, str(tmp_path / "state"), site]


@pytest.fixture
def site_key(gateway: Gateway, key_file: Path) -> str:
    with gateway.begin() as work:
        return signer_of(work.connection, LedgerSection(key_file=key_file)).key.as_line()


@pytest.fixture
def by_command(tmp_path: Path, key_file: Path, site_key: str, program: Program) -> Configuration:
    """A witness asked by a command; the program's configuration names it, too."""
    proof = f'[[proof.witnesses]]\nkey = "{KEY.as_line()}"\ncommand = {json.dumps(command_of(tmp_path, site_key))}\n'
    program.config.write_text(program.config.read_text() + f'[proof]\nfolder = "{tmp_path / "proofs"}"\n{proof}')
    return configuration(tmp_path, key_file, proof)


@pytest.fixture
def ledger(gateway: Gateway) -> Database:
    append(gateway.database, *(fact(f"study/{number % 3}", n=number) for number in range(9)))
    return gateway.database


def gathered(gateway: Gateway, given: Configuration) -> Evidence:
    evidence = Evidence.of(given)
    gather(gateway, evidence, given.ledger)
    return evidence


def day_later(gateway: Gateway, clock: SettableClock) -> None:
    append(gateway.database, *(fact("study/9", n=number) for number in range(5)))
    clock.advance(86_400)


def test_a_witness_countersigns_each_days_checkpoint_which_chain_py_verifies_elsewhere(
    gateway: Gateway,
    ledger: Database,
    clock: SettableClock,
    by_command: Configuration,
    program: Program,
    site_key: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Evidence.of(by_command).is_due(clock.now)
    evidence = gathered(gateway, by_command)
    assert not evidence.is_due(clock.now)
    assert not evidence.is_due(clock.now + timedelta(hours=12))
    day_later(gateway, clock)
    assert evidence.is_due(clock.now)
    gathered(gateway, by_command)
    assert evidence.silences() == []
    sizes = [kept.checkpoint.size for _, kept in evidence.folder.newest_first()]
    assert sizes == [14, 9]
    assert all(kept.seen_at(KEY) for _, kept in evidence.folder.newest_first())

    file = evidence.folder.path / "2026-03-03.checkpoint"
    assert chain.main([str(file), "--key", site_key, "--witness", KEY.as_line()]) == 0
    assert f"Countersigned by {NAME} at 2023-03-20T12:25:47+00:00." in capsys.readouterr().out
    assert chain.main([str(file), "--key", site_key, "--witness", OTHER]) == 4
    assert chain.main([str(file)]) == 2
    assert chain.main([str(file), "--key", site_key, "--witness", "none"]) == 2

    ended = program("verify", "--kept")
    assert (ended.code, ended.err) == (0, "")
    assert "Kept heads and checkpoints: 2, each still part of the ledger." in ended.out
    assert f"Vouched for by {NAME}: 2 checkpoints, last at 2023-03-20" in ended.out
    assert program("verify", "--kept", "--without-keys").code == 2
    rewrite(ledger, "update ledger.event set type = 'Other' where position = 3")
    assert program("verify").code == 0, "nothing within the database can show it"
    assert "At position 9 the ledger has the root" in program("verify", "--kept").err
    clock.advance(86_400)
    append(gateway.database, fact("study/1"))
    # The day's own checkpoint is signed, but who has seen another ledger grow does not countersign it.
    assert "ended with 4" in gathered(gateway, by_command).silences()[0].words


@pytest.mark.usefixtures("ledger")
def test_a_cosignature_that_is_changed_or_another_checkpoints_does_not_hold(
    gateway: Gateway, by_command: Configuration, site_key: str, program: Program
) -> None:
    folder = gathered(gateway, by_command).folder
    kept = folder.checkpoint(TODAY)
    text = (folder.path / f"{TODAY}.checkpoint").read_text()
    assert text == kept.note + cosignature(kept.checkpoint.as_text())
    assert kept.is_signed(parse_key(site_key))
    for line in (
        cosignature(kept.checkpoint._replace(size=8).as_text()),
        f"— {NAME} {base64.b64encode(KEY.key_id + bytes(71)).decode()}\n",
    ):
        folder.keep(TODAY, kept.note, line)
        with pytest.raises(ValueError, match=r"changed since|not the length"):
            folder.checkpoint(TODAY).seen_at(KEY)
        assert program("verify", "--kept").code == 4
    assert folder.checkpoint(TODAY).seen_at(parse_witness_key(OTHER)) is None
    folder.keep(TODAY, kept.note, "something else\n")
    ended = program("verify", "--kept")
    assert (ended.code, "is not a checkpoint as it was kept there" in ended.err) == (2, True)


def _signed_by_another(kept: bytes) -> bytes:
    return Signer(kept.decode().split("\n")[0], b"o" * 32).signed(kept.decode().partition("\n\n")[0] + "\n").encode()


def _with_another_root(kept: bytes) -> bytes:
    return kept.replace(kept.split(b"\n")[2], b"A" * 43 + b"=")


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("damaged", [lambda _: b"", lambda _: b"\xff", _signed_by_another, _with_another_root])
def test_a_damaged_checkpoint_is_put_aside_and_a_new_one_countersigned(
    gateway: Gateway,
    clock: SettableClock,
    by_command: Configuration,
    program: Program,
    damaged: Callable[[bytes], bytes],
) -> None:
    folder = gathered(gateway, by_command).folder
    file = folder.path / f"{TODAY}.checkpoint"
    content = damaged(file.read_bytes())
    file.write_bytes(content)
    (folder.path / f"{TODAY}.tsr").write_bytes(b"of the one before")
    evidence = Evidence.of(by_command)
    (told, _) = gather(gateway, evidence, by_command.ledger)
    assert f"{file} is not as it was kept there" in told
    assert file.with_name(f"{file.name}.damaged").read_bytes() == content
    assert folder.timestamp(TODAY) is None
    assert folder.checkpoint(TODAY).seen_at(KEY)
    assert not evidence.is_due(clock.now)
    assert program("verify", "--kept").code == 0


@pytest.mark.usefixtures("ledger")
def test_an_earlier_checkpoint_that_is_damaged_is_passed_over(
    gateway: Gateway, clock: SettableClock, by_command: Configuration, program: Program
) -> None:
    folder = gathered(gateway, by_command).folder
    (folder.path / f"{TODAY}.checkpoint").write_bytes(b"")
    day_later(gateway, clock)
    assert gathered(gateway, by_command).silences() == []
    assert folder.checkpoint(date(2026, 3, 3)).seen_at(KEY)
    assert "is not a checkpoint as it was kept there" in program("verify", "--kept").err


def test_a_witness_is_waited_for_a_moment_only(tmp_path: Path, key_file: Path) -> None:
    """One that hung held the run for half a minute."""
    assert configuration(tmp_path, key_file, "").proof.time_limit_seconds <= 5
    with pytest.raises(ConfigurationError, match="less than or equal to 10"):
        configuration(tmp_path, key_file, "[proof]\ntime_limit_seconds = 11")


@pytest.mark.usefixtures("ledger")
def test_a_witness_that_remembers_more_than_we_do_is_asked_once_more(
    gateway: Gateway, clock: SettableClock, by_command: Configuration
) -> None:
    shutil.rmtree(gathered(gateway, by_command).folder.path)
    day_later(gateway, clock)
    evidence = gathered(gateway, by_command)
    assert evidence.silences() == []
    assert evidence.folder.checkpoint(date(2026, 3, 3)).seen_at(KEY)


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["false"], "its command ended with 1"),
        (["/nowhere/curl"], "its command cannot be started"),
        (["echo", "no cosignature"], "answered something else than a cosignature by witness.example/w1+"),
        (["echo", cosignature("another\n1\nAAAA\n").strip()], "answered something else than a cosignature"),
        (["sleep", "60"], "did not answer within its time limit"),
    ],
)
def test_a_witness_that_gives_nothing_stops_nothing_is_told_and_asked_again_after_an_hour(
    gateway: Gateway,
    clock: SettableClock,
    tmp_path: Path,
    key_file: Path,
    command: list[str],
    words: str,
) -> None:
    proof = f'[proof]\ntime_limit_seconds = 0.2\n[[proof.witnesses]]\nkey = "{KEY.as_line()}"\n'
    given = configuration(tmp_path, key_file, f"{proof}command = {json.dumps(command)}\n")
    began, evidence = clock.now, gathered(gateway, given)
    assert (evidence.is_due(clock.now + timedelta(minutes=59)), evidence.is_due(clock.now + timedelta(hours=1))) == (
        False,
        True,
    )
    clock.advance(86_400)
    gathered(gateway, given)
    (silence,) = evidence.silences()
    assert (silence.name, silence.since) == (NAME, began)
    assert words in silence.words
    (found,) = [each for each in status(gateway, Limits(evidence=evidence)).health if each.kind == "witness"]
    assert (found.severity, found.since) == (Severity.WARNING, began)
    assert found.words.startswith(f"Nothing vouches for the ledger's checkpoint: {NAME} ")


@pytest.mark.usefixtures("ledger")
def test_a_witness_that_looks_into_a_folder_answers_when_it_wants_to(
    gateway: Gateway, clock: SettableClock, tmp_path: Path, key_file: Path, site_key: str
) -> None:
    share = tmp_path / "share"
    proof = f'[[proof.witnesses]]\nkey = "{KEY.as_line()}"\nfolder = "{share}"\n'
    given = configuration(tmp_path, key_file, proof)
    assert "No such file" in gathered(gateway, given).silences()[0].words
    share.mkdir()
    clock.advance(3_600)
    evidence = gathered(gateway, given)
    assert evidence.silences()[0].words == f"has not answered yet in {share / 'cosignature'}"
    request = (share / "request").read_text()
    day_later(gateway, clock)
    gathered(gateway, given)
    assert (share / "request").read_text() == request
    status_code, body = answer(tmp_path / "state", parse_key(site_key), request)
    assert status_code == 200
    (share / "cosignature").write_text(body)
    clock.advance(3_600)
    assert gathered(gateway, given).silences() == []
    assert evidence.folder.checkpoint(TODAY).seen_at(KEY)
    assert list(share.iterdir()) == []
    gathered(gateway, given)
    assert answer(tmp_path / "state", parse_key(site_key), (share / "request").read_text())[0] == 200
    (share / "request").write_text("spoilt")
    (share / "cosignature").write_text(body)
    clock.advance(3_600)
    assert "is not what was asked there" in gathered(gateway, given).silences()[0].words


def test_a_ledger_that_is_not_what_was_attested_is_sent_to_nobody(gateway: Gateway, by_command: Configuration) -> None:
    with gateway.begin() as work:
        work.record([fact("study/1")])
    gateway.attest()
    rewrite(gateway.database, "update ledger.event set type = 'Other' where position = 1")
    with pytest.raises(Corrupt, match="rewritten or cut off"):
        gathered(gateway, by_command)
    assert Folder(Path(by_command.ledger.data_dir) / "proofs").days() == []


@pytest.mark.parametrize(
    ("proof", "expected"),
    [
        ('[[proof.witnesses]]\nkey = "none"\ncommand = ["x"]', "expected the key of a witness"),
        (f'[[proof.witnesses]]\nkey = "{KEY.as_line()}"', "expected either command"),
        (f'[[proof.witnesses]]\nkey = "{KEY.as_line()}"\ncommand = ["x"]\n' * 2, "expected each witness once"),
        ('[proof]\ntimestamp_url = "http://tsa.example/"', "timestamp_url and timestamp_roots together"),
    ],
)
def test_who_vouches_is_configured_in_words_that_are_checked(
    tmp_path: Path, key_file: Path, proof: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        configuration(tmp_path, key_file, proof)


def test_a_key_handed_out_as_one_of_notes_is_a_witnesss_too() -> None:
    assert parse_witness_key(KEY._replace(kind=b"\x01").as_line()) == KEY
    with pytest.raises(ValueError, match="prove --key"):
        parse_key(KEY.as_line())


def test_the_consistency_of_nothing_with_anything_takes_no_path() -> None:
    nothing = chain.Checkpoint("o", 0, chain.Tree().root())
    signer = Signer("o", bytes(32))
    new = signer.signed(nothing._replace(size=1, root=bytes(32)).as_text())
    assert chain.verify_consistency(chain.consistency(0, [], new), nothing, signer.key)[0].size == 1
    with pytest.raises(Broken):
        chain.verify_consistency(chain.consistency(0, [bytes(32)], new), nothing, signer.key)


# Time-stamps


_CONFIG = """
[tsa]
default_tsa = it
[it]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
"""


@pytest.fixture(scope="module")
def authority_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority's key and certificate."""
    folder = tmp_path_factory.mktemp("tsa")
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "root.pem", "-subj", "/CN=tsa.example", "-days", "36500"),
            *("-addext", "extendedKeyUsage=critical,timeStamping", "-addext", "keyUsage=critical,digitalSignature"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def authority(authority_folder: Path) -> Iterator[tuple[str, list[bytes]]]:
    """The address of an authority, and what else it is to answer."""
    otherwise: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500 if otherwise == [b""] else 200)
            self.end_headers()
            self.wfile.write(otherwise[0] if otherwise else stamped(authority_folder, query))

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/tsr", otherwise
        server.shutdown()


def stamped(folder: Path, query: bytes) -> bytes:
    (folder / "query.tsq").write_bytes(query)
    command = "openssl ts -reply -queryfile query.tsq -config tsa.cnf -signer root.pem -inkey key.pem -out token.tsr"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return (folder / "token.tsr").read_bytes()


@pytest.mark.usefixtures("ledger")
def test_one_time_stamp_a_day_is_had_kept_and_verified_offline(
    gateway: Gateway,
    tmp_path: Path,
    key_file: Path,
    program: Program,
    authority: tuple[str, list[bytes]],
    authority_folder: Path,
) -> None:
    url, otherwise = authority
    root = authority_folder / "root.pem"
    proof = f'[proof]\nfolder = "{tmp_path / "proofs"}"\ntimestamp_url = "{url}"\ntimestamp_roots = "{root}"\n'
    given = configuration(tmp_path, key_file, proof)
    program.config.write_text(program.config.read_text() + proof)
    for wrong, words in ((b"", "answered with HTTP 500"), (b"no token", "gave something else than a time-stamp")):
        otherwise[:] = [wrong]
        evidence = Evidence.of(given)
        evidence.folder.keep_failures({}) if evidence.folder.path.exists() else None
        gathered(gateway, given)
        assert words in evidence.silences()[0].words
    otherwise.clear()
    evidence.folder.keep_failures({})
    gathered(gateway, given)
    assert evidence.silences() == []
    assert not evidence.is_due(gateway.clock())
    otherwise[:] = [b""]
    ended = program("verify", "--kept", "--json")
    assert (ended.code, [(each["name"], each["checkpoints"]) for each in ended.data["vouched_for"]]) == (0, [(url, 1)])
    token = evidence.folder.path / "2026-03-02.tsr"
    note = tmp_path / "note"
    note.write_text(evidence.folder.checkpoint(TODAY).note)
    command = ["openssl", "ts", "-verify", "-data", str(note), "-in", str(token), "-CAfile", str(root)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    changed = token.read_bytes()
    token.write_bytes(changed[:-9] + bytes([changed[-9] ^ 1]) + changed[-8:])
    assert program("verify", "--kept").code == 4
    with pytest.raises(NoTimestamp, match="gave something else"):
        Authority(url, root, time_limit=1).verify(changed, b"something else")


def test_an_authority_that_cannot_be_asked_is_told_of(
    tmp_path: Path, authority_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Authority("http://127.0.0.1:1/", authority_folder / "root.pem", time_limit=1)
    with pytest.raises(NoTimestamp, match="did not answer"):
        away.stamp(b"something")
    with pytest.raises(NoTimestamp, match="cannot be read"):
        Authority("", tmp_path / "missing.pem", time_limit=1).verify(b"token", b"something")
    with pytest.raises(NoTimestamp, match="expected certificates"):
        Authority("", Path(__file__), time_limit=1).verify(b"token", b"something")
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(NoTimestamp, match=r"fiona-ledger\[timestamps\]"):
        away.stamp(b"something")

"""The gateway's other users: what they prepare in folders, and what they say of themselves."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import embedded, embedded_watch
from ledger.database import Database
from ledger.errors import KeyProblem, Misconfigured
from ledger.vault import Vault
from processors.cli.bootstrap import operator
from processors.cli.commands.demo import _data_dir
from processors.configuration.file import load, resolve
from processors.configuration.settings import TokenSource
from processors.errors import ConfigurationError
from tests.conftest import server_folder
from tests.test_configuration import MINIMAL, TOKEN, written

AS_ROOT = os.geteuid() == 0
SOMEBODY = 4242


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as made:
        yield made


def test_a_data_folder_that_others_may_write_is_refused(folder: Path) -> None:
    data_dir = folder / "ledger"
    data_dir.mkdir()
    data_dir.chmod(0o777)
    with pytest.raises(Misconfigured, match=r"nobody else's to write, found user .* and mode 0777"):
        embedded.start(data_dir)


@pytest.mark.skipif(not AS_ROOT, reason="root alone can give folders and links away")
def test_a_data_folder_or_a_link_to_it_that_somebody_else_has_made_is_refused(folder: Path) -> None:
    theirs, link = folder / "theirs", folder / "link"
    theirs.mkdir()
    os.chown(theirs, SOMEBODY, SOMEBODY)
    with pytest.raises(Misconfigured, match=f"found user {SOMEBODY}"):
        embedded.start(theirs)
    (folder / "ours").mkdir()
    link.symlink_to(folder / "ours")
    os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(Misconfigured, match="a link that somebody else has made"):
        embedded.start(link / "ledger")


def test_nobody_else_can_open_the_lock_and_hang_every_command(folder: Path) -> None:
    lock = folder / ".postgres.lock"
    lock.touch(0o644)
    os.close(embedded_watch.own_file(lock))
    assert lock.stat().st_mode & 0o777 == 0o600
    lock.unlink()
    lock.symlink_to(folder / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        embedded_watch.own_file(lock)


def test_the_demo_keeps_its_data_where_nobody_else_can_have_made_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    above = _data_dir(folder).parent
    assert above != folder
    assert not above.stat().st_mode & 0o002


def test_what_sudo_user_says_is_told_as_said() -> None:
    account = operator({})
    assert operator({"SUDO_USER": "boss"}) == f"{account} ($SUDO_USER says: boss)"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_configuration_that_others_may_write_is_not_used(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, MINIMAL)
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"others may write it \(mode {mode:04o}\); run `chmod go-w"):
        load(file)


def test_a_configuration_in_a_folder_that_everybody_may_write_is_not_used(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL)
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="everybody may put another in its place"):
        load(file)
    tmp_path.chmod(0o1777)
    assert load(file).ledger.site == "main"


def test_a_token_file_that_everybody_may_read_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="everybody may read it") as refused:
        resolve(TokenSource(file=file), "incoming")
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("host", ["redcap.example", "10.0.0.7", "[fe80::1]", "127.0.0.1.example"])
def test_plain_http_to_another_machine_must_be_asked_for(tmp_path: Path, host: str) -> None:
    plain = MINIMAL.replace("https://redcap.example", f"http://{host}")
    with pytest.raises(ConfigurationError, match="expected https in redcap"):
        load(written(tmp_path, plain))
    allowed = plain.replace("[redcap]", "[redcap]\ninsecure = true")
    assert load(written(tmp_path, allowed)).redcap.is_overheard


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_a_key_file_that_others_may_use_is_refused(database: Database, key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeyProblem, match=f"has mode {mode:04o}.*chmod 600"), database.begin() as connection:
        Vault.open(connection, key_file)

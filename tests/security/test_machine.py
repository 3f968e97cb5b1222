"""The gateway's other users: what they prepare in folders, and what they say of themselves."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import embedded
from ledger.errors import Misconfigured
from processors.cli.bootstrap import operator
from processors.cli.commands.demo import _data_dir
from tests.conftest import server_folder

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
    os.close(embedded._own_file(lock))
    assert lock.stat().st_mode & 0o777 == 0o600
    lock.unlink()
    lock.symlink_to(folder / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        embedded._own_file(lock)


def test_the_demo_keeps_its_data_where_nobody_else_can_have_made_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    above = _data_dir(folder).parent
    assert above != folder
    assert not above.stat().st_mode & 0o002


def test_what_sudo_user_says_is_told_as_said() -> None:
    account = operator({})
    assert operator({"SUDO_USER": "boss"}) == f"{account} ($SUDO_USER says: boss)"

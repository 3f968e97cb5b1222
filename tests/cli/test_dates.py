"""Moments as people read them: in the machine's own zone, whichever zone they come in."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from processors.cli.commands.status import _last_run, _sending
from processors.cli.dates import local_time, until, zone_name
from processors.operations.status import Sending


@pytest.fixture(autouse=True)
def _oslo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Oslo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (datetime(2026, 3, 2, 9, 0, tzinfo=UTC), "2026-03-02 10:00"),
        (datetime(2026, 7, 2, 9, 0, tzinfo=timezone(timedelta(hours=9))), "2026-07-02 02:00"),
        (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "2026-03-29 03:30"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "2026-10-25 02:30 +0200"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2026-10-25 02:30 +0100"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=UTC), "2026-10-25 03:30"),
    ],
)
def test_a_moment_is_shown_as_the_clocks_here_show_it(moment: datetime, shown: str) -> None:
    assert local_time(moment) == shown


def test_the_last_day_that_there_is_is_a_day() -> None:
    assert until("--until", "9999-12-30") == datetime(9999, 12, 31).astimezone()
    assert until("--until", "9999-12-31") == datetime(9999, 12, 31).astimezone()


def test_status_shows_what_the_database_gives_in_any_zone_as_the_clocks_here_do() -> None:
    began = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert " at 2026-03-02 10:00:00, " in _last_run({"command": "run", "started_at": began, "outcome": "done"})
    assert _sending(Sending(sent=0, unsent=1, failed=0, oldest=began)).count("2026-03-02 10:00") == 1


def test_the_machine_s_zone_has_the_name_that_everybody_gives_it(tmp_path: Path) -> None:
    link, elsewhere = tmp_path / "localtime", tmp_path / "copied"
    link.symlink_to("/usr/share/zoneinfo/Europe/Oslo")
    elsewhere.touch()
    assert zone_name({}, link) == "Europe/Oslo"
    assert zone_name({"TZ": ":Pacific/Auckland"}, link) == "Pacific/Auckland"
    assert zone_name({"TZ": "/usr/share/zoneinfo/Asia/Kolkata"}, link) == "Asia/Kolkata"
    assert zone_name({"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}, link) is None
    assert zone_name({}, elsewhere) is None

"""The diary of one configuration's runs, kept in a file: what the ledger cannot know, as it may be what is away.

    an outage        runs that an error ended, with none between them that got through
    what was told    so that cron mails what needs a person when it is new and when it is a day old, and not each minute

It lies in `ledger.data_dir`, named after the configuration, so that each site of a machine has its own. It is
replaced as a whole; and it holds messages and kinds only, which never hold secrets. Losing it costs a mail.
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from ledger.private_files import written_whole
from processors.clocks import is_due
from processors.configuration.settings import LedgerSection

A_DAY: Final = timedelta(days=1)
_SERVICE: Final = 3
_NUMBERS: Final = re.compile(r"[0-9][0-9.:]*")


class Outage(NamedTuple):
    """Runs that an error ended, with none between them that got through.

    `since` is when the first of them ended, `at` the newest; `recorded`, whether the ledger tells of that. `told_at` is
    when somebody was told of this error last.
    """

    since: datetime
    at: datetime
    exit_code: int
    error_kind: str
    error: str
    recorded: bool
    told_at: datetime

    def is_like(self, exit_code: int, error_kind: str, error: str) -> bool:
        """Whether the error is this one again, whatever times and counts it names.

        What a service does to us is one thing, whichever call meets it first.
        """
        same_words = exit_code == _SERVICE or without_numbers(self.error) == without_numbers(error)
        return (self.exit_code, self.error_kind) == (exit_code, error_kind) and same_words


class Diary(NamedTuple):
    """The outages, by the command that errors end, a resident apart; and when it was told, once or twice, of all that
    is to be told of.

    Two commands can take turns, of which one gets through each time.
    """

    outages: Mapping[str, Outage] = {}
    told: Mapping[str, list[datetime]] = {}

    @property
    def unrecorded(self) -> Outage | None:
        """The newest outage of which the ledger does not tell."""
        unknown = [outage for outage in self.outages.values() if not outage.recorded]
        return max(unknown, key=lambda outage: outage.at, default=None)

    def after_error(
        self, command: str, *, now: datetime, exit_code: int, error_kind: str, error: str, recorded: bool
    ) -> tuple["Diary", bool]:
        """The diary after one more run that an error ended, and whether that is to be told: if new, and each day."""
        before = self.outages.get(command)
        known = before is not None and before.is_like(exit_code, error_kind, error)
        is_news = before is None or not known or is_due(before.told_at, now, A_DAY)
        outage = Outage(
            since=now if before is None or before.since > now else before.since,
            at=now,
            exit_code=exit_code,
            error_kind=error_kind,
            error=error,
            recorded=recorded,
            told_at=now if before is None or is_news else before.told_at,
        )
        return self._replace(outages={**self.outages, command: outage}), is_news

    def after_success(self, command: str) -> "Diary":
        """The diary after a run that got through: its outage is over."""
        return self._replace(outages={name: outage for name, outage in self.outages.items() if name != command})

    def after_telling(self, topics: Collection[str], now: datetime) -> tuple["Diary", dict[str, bool]]:
        """The diary once it was told what is to be told of these: all that there are now.

        Gives those to be told, and of each whether it is new, or a day old and told once more.
        """
        told, due = dict[str, list[datetime]](), dict[str, bool]()
        for topic in topics:
            before = [moment for moment in self.told.get(topic, []) if moment <= now]
            is_old = len(before) == 1 and now - before[0] >= A_DAY
            if not before or is_old:
                due[topic] = not before
            told[topic] = [*before, now] if topic in due else before
        return self._replace(told=told), due


def without_numbers(words: str) -> str:
    """The words with all numbers and times alike: one cause tells of other ones each time."""
    return _NUMBERS.sub("#", words)


def diary_file(configuration: Path) -> Path:
    """Where the diary of that configuration lies, also where the configuration cannot be used otherwise."""
    name = hashlib.sha256(os.fsencode(configuration.resolve())).hexdigest()[:12]
    return _data_dir(configuration) / f"diary-{name}.json"


def _data_dir(configuration: Path) -> Path:
    with suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        section = tomllib.loads(configuration.read_text("utf-8-sig")).get("ledger")
        named = section.get("data_dir") if isinstance(section, dict) else None
        if isinstance(named, str) and named.strip() and "\0" not in named:
            return Path(named)
    return LedgerSection().data_dir


def read(file: Path) -> Diary:
    """The diary; an empty one where there is none, or none that can be read."""
    try:
        data = orjson.loads(file.read_bytes())
        return Diary(
            outages={command: _outage(outage) for command, outage in data["outages"].items()},
            told={topic: [datetime.fromisoformat(at) for at in moments] for topic, moments in data["told"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Diary()


def _outage(data: dict[str, Any]) -> Outage:
    return Outage(
        since=datetime.fromisoformat(data["since"]),
        at=datetime.fromisoformat(data["at"]),
        exit_code=int(data["exit_code"]),
        error_kind=str(data["error_kind"]),
        error=str(data["error"]),
        recorded=bool(data["recorded"]),
        told_at=datetime.fromisoformat(data["told_at"]),
    )


def write(file: Path, diary: Diary) -> bool:
    """Puts the diary in the old one's place, for its owner alone; False where it cannot be kept."""
    outages = {command: outage._asdict() for command, outage in diary.outages.items()}
    try:
        # An embedded PostgreSQL's own user must pass it, and nobody else may write here.
        file.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        with written_whole(file) as stream:
            stream.write(orjson.dumps({"outages": outages, "told": diary.told}))
    except OSError:
        return False
    return True

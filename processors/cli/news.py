"""What a run tells, and when: all of it to a terminal, and news to cron and the journal.

News is what happened; and of what needs a person, what is new, and once more what is a day old. A run in which
nothing happened prints nothing, as cron mails whatever is printed, 1,440 times a day.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ledger.lease import Lease
from processors.attention import Notice, by_kind
from processors.cli import console, journal
from processors.cli.dates import local_time
from processors.cli.diaries import diary_file
from processors.cli.exit_codes import ending
from processors.cli.harmless import on_a_line
from processors.cli.journal import Level
from processors.cli.reports import Line, lines
from processors.errors import LedgerMissing
from processors.operations import diary as diaries
from processors.operations.diary import Diary
from processors.run import Report


class Audience(NamedTuple):
    """Who reads what a run prints: a program, a person who wants all of it, or else cron and the journal.

    With `stays` they read one round after the other: an error that lasts is told as to cron, not by each of them.
    """

    json: bool = False
    verbose: bool = False
    stays: bool = False

    @classmethod
    def found(cls, *, json: bool, verbose: bool = False, quiet: bool = False) -> "Audience":
        """The audience of these options: at a terminal sits a person, unless it is to be as in cron."""
        return cls(json=json, verbose=verbose or (sys.stdout.isatty() and not quiet))

    @property
    def is_cron(self) -> bool:
        """Whether news alone is to be printed."""
        return not (self.json or self.verbose)


class Teller:
    """Tells of a command's runs on one configuration, and keeps in its diary what was told."""

    def __init__(self, config: Path | None, command: str, audience: Audience, clock: Callable[[], datetime]) -> None:
        self.audience = audience
        self.command = command
        # A resident may still work by the configuration that it read, while cron's runs find it broken: what ends one
        # of them is no news of the other.
        self._way = f"{command} --every" if audience.stays else command
        self._clock = clock
        self._file = diary_file(config)
        self._diary = Diary() if self._file is None else diaries.read(self._file)

    @contextmanager
    def error_told(self, report: Report) -> Iterator[None]:
        """Keeps in the diary what error ends the run, and tells cron and the journal of it where it is news."""
        try:
            yield
        except Exception as error:
            code, message = ending(error)
            told, is_news = self._diary.after_error(
                self._way,
                now=self._clock(),
                exit_code=code,
                error_kind=type(error).__name__,
                error=on_a_line(" ".join(message.split())),
                recorded=report.is_recorded,
            )
            # What is not there may be a disk that is to be mounted, or a folder that is to be moved back.
            if not (isinstance(error, LedgerMissing) and self._file is not None and not self._file.parent.exists()):
                self._keep(told)
            is_news_alone = self.audience.is_cron or self.audience.stays
            if not (is_news_alone or journal.is_journal(sys.stderr)):
                raise
            for line in message.split("\n") if is_news or not is_news_alone else ():
                self._write(line, Level.ERROR)
            sys.exit(code)

    def busy(self, lease: Lease) -> None:
        """Says that somebody else is at work: to cron once for each such work."""
        if not self.audience.is_cron:
            console.say_busy(lease, json=self.audience.json)
            return
        topic = f"busy since {lease.since.isoformat()}"
        told, due = self._diary.after_telling([topic], self._clock())
        if topic in due:
            self._keep(self._diary._replace(told={**self._diary.told, **told.told}))
            self._write(console.busy_in_words(lease), Level.INFO)

    def report(self, report: Report, *, before: str = "") -> None:
        """Tells cron what of the report is news; `before` is what happened before all of it."""
        if before:
            self._write(before, Level.INFO)
        due = self._due(report)
        for line in lines(report):
            if line.is_news or _topic(line) in due:
                self._write(line.words, Level.WARNING if line.is_warning else Level.INFO)
        if report.error is None:
            self._tell_of_attention(report, due)
            self.tell_of_end()

    def report_all(self, report: Report, *, before: str = "") -> bool:
        """Tells the journal all of the report, on lines that say how urgent they are; False where it reads nothing."""
        if not journal.is_journal(sys.stdout):
            return False
        if before:
            self._write(before, Level.INFO)
        for line in lines(report):
            self._write(line.words, Level.WARNING if line.is_warning else Level.INFO)
        for kind, count in report.attention.items():
            self._write(f"needs attention: {count} x {kind}; `fiona-ledger status` shows what to do.", Level.WARNING)
        return True

    def _due(self, report: Report) -> dict[str, bool]:
        """What is to be told now. After an error, what there is to look at was not asked: what was told stays so."""
        warnings = [line for line in lines(report) if line.is_warning]
        topics = [*map(_topic, warnings), *map(_topic, report.listed)]
        if report.error is not None:
            topics += [topic for topic in self._diary.told if topic not in topics]
        told, due = self._diary.after_telling(topics, self._clock())
        self._keep(told)
        return due

    def _tell_of_attention(self, report: Report, due: Mapping[str, bool]) -> None:
        for is_new, words in ((True, "new"), (False, "for a day now")):
            told = [notice for notice in report.listed if due.get(_topic(notice)) is is_new]
            for kind, count in by_kind(told).items():
                self._write(
                    f"needs attention: {count} x {kind}, {words}; `fiona-ledger status` shows what to do.",
                    Level.WARNING,
                )

    def tell_of_end(self) -> None:
        """Says that errors end runs no more, if they did."""
        outage = self._diary.outages.get(self._way)
        if outage is not None:
            self._write(f"Runs get through again. Errors had ended them since {local_time(outage.since)}.", Level.INFO)

    def got_through(self) -> None:
        """Keeps in the diary that no error ends runs now."""
        self._keep(self._diary.after_success(self._way))

    def _keep(self, diary: Diary) -> None:
        if diary == self._diary:
            return
        self._diary = diary
        if self._file is not None and not diaries.write(self._file, diary) and self.audience.is_cron:
            self._write(
                f"What was told cannot be kept in {self._file.parent} (ledger.data_dir), so it is told by each run. "
                "Let the user of this command write there.",
                Level.WARNING,
            )

    def _write(self, words: str, level: Level) -> None:
        journal.write(words, level, self._clock())


def _topic(about: Notice | Line) -> str:
    """What it is about, the same in each run; it must not tell more than the ledger does in plain text."""
    match about:
        case Notice():
            return f"{about.kind} {about.position or about.subject}"
        case Line():
            return f"warning: {diaries.without_numbers(about.words)}"

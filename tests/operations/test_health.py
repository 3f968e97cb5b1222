"""What counts as health: facts in, findings out."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from processors.operations.health import Attempts, Facts, Finding, Severity, Unrecorded, findings, worst

NOW = datetime.fromisoformat("2026-11-28T10:00:00+01:00")
MINUTE, HOUR, DAY, YEAR = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=365)


def judged(**facts: Any) -> list[Finding]:
    """The findings of a gateway that is well but for these facts: its last run got through a minute ago."""
    well: dict[str, Any] = {
        "now": NOW,
        "silent_after": 10 * MINUTE,
        "clock_tolerance": HOUR,
        "sender_patience": DAY,
        "last_success": NOW - MINUTE,
        "last_start": NOW - MINUTE,
    }
    return findings(Facts(**(well | facts)))


def kinds(found: list[Finding]) -> list[tuple[str, Severity]]:
    return [(finding.kind, finding.severity) for finding in found]


def failing(command: str = "run", **differently: Any) -> Attempts:
    """Runs that a service has ended for half an hour."""
    attempts = Attempts(command, NOW - HOUR, NOW - HOUR / 2, NOW - MINUTE, 3, "Unanswered", "REDCap did not answer.")
    return attempts._replace(**differently)


def test_a_loss_of_events_is_told_once_whatever_runs_it_ended() -> None:
    lost = failing(exit_code=4, error_kind="LedgerBehind", error="It ends early.")
    found = judged(ledger_loss="It ends early.", loss_since=NOW - DAY, attempts=[lost])
    assert kinds(found) == [("restored", Severity.CRITICAL)]
    assert "adopt --after-restore" in found[0].advice


def test_a_gateway_whose_last_run_got_through_a_minute_ago_is_well() -> None:
    assert judged() == []
    assert worst([]) is Severity.OK


@pytest.mark.parametrize(("hours", "severity"), [(23, Severity.OK), (24, Severity.WARNING)])
def test_a_witness_that_vouches_for_nothing_is_a_warning_after_a_day(hours: int, severity: Severity) -> None:
    since = NOW - hours * HOUR
    (found,) = judged(silent_witnesses=[("witness.example", since, "did not\nanswer")])
    assert (found.kind, found.severity, found.since) == ("witness", severity, since)
    assert found.words == "Nothing vouches for the ledger's checkpoint: witness.example did not answer."


def test_no_run_for_31_hours_is_critical_and_says_since_when() -> None:
    """It used to be "Nothing needs attention"."""
    last = NOW - 31 * HOUR
    (found,) = judged(last_success=last, last_start=last)
    assert (found.kind, found.severity, found.since) == ("silent", Severity.CRITICAL, last)
    assert found.words == "No run has been started."
    assert "fiona-ledger.timer" in found.advice


@pytest.mark.parametrize(("minutes", "told"), [(9, []), (10, [("silent", Severity.CRITICAL)])])
def test_silence_is_told_from_the_configured_minutes_on(minutes: int, told: list[tuple[str, Severity]]) -> None:
    last = NOW - minutes * MINUTE
    assert kinds(judged(last_success=last, last_start=last)) == told


def test_runs_that_are_started_and_do_not_get_through_are_another_silence_than_none() -> None:
    (found,) = judged(last_success=NOW - HOUR)
    assert (found.words, found.since) == ("Runs are started and none gets through.", NOW - HOUR)


def test_runs_that_never_got_through_are_silent_since_the_first_of_them() -> None:
    """Killed ones too, of which nobody knows what ended them."""
    (found,) = judged(last_success=None, first_start=NOW - 2 * HOUR)
    assert (found.kind, found.severity, found.since) == ("silent", Severity.CRITICAL, NOW - 2 * HOUR)


def test_a_gateway_without_any_run_is_told_mildly() -> None:
    (found,) = judged(last_success=None, last_start=None)
    assert (found.kind, found.severity, found.words) == ("silent", Severity.WARNING, "No run has been started yet.")


def test_a_long_run_that_is_under_way_is_no_alarm() -> None:
    found = judged(last_success=NOW - 5 * HOUR, under_way=NOW - 5 * HOUR)
    assert kinds(found) == [("silent", Severity.WARNING)]


def test_a_success_of_a_clock_that_was_a_year_ahead_does_not_keep_the_alarm_mute() -> None:
    """It used to do so for the year."""
    assert kinds(judged(last_success=NOW + YEAR)) == []
    found = judged(last_success=NOW + YEAR, last_start=NOW - HOUR)
    assert kinds(found) == [("silent", Severity.CRITICAL)]


def test_the_last_error_is_told_in_words_with_when_it_began() -> None:
    (found,) = judged(attempts=[failing()])
    assert (found.kind, found.severity, found.since) == ("error", Severity.WARNING, NOW - HOUR / 2)
    assert found.words == "`run` ended with an error: REDCap did not answer."


def test_an_error_of_several_lines_is_one() -> None:
    (found,) = judged(attempts=[failing(error="it cannot be used:\n  redcap.url: expected https")])
    assert found.words.endswith("it cannot be used: redcap.url: expected https")


@pytest.mark.parametrize(
    ("error_kind", "code", "told"),
    [
        ("Unanswered", 3, ("error", Severity.WARNING)),
        ("Unreachable", 3, ("error", Severity.WARNING)),
        ("Refused", 3, ("refused", Severity.CRITICAL)),
        ("NotPermitted", 3, ("refused", Severity.CRITICAL)),
        ("Banned", 3, ("ban", Severity.CRITICAL)),
        ("WrongClock", 3, ("clock", Severity.CRITICAL)),
        ("ConfigurationError", 2, ("configuration", Severity.CRITICAL)),
        ("KeyProblem", 2, ("configuration", Severity.CRITICAL)),
        ("NotMigrated", 2, ("error", Severity.CRITICAL)),
        ("Corrupt", 4, ("error", Severity.CRITICAL)),
        ("ZeroDivisionError", 70, ("error", Severity.CRITICAL)),
    ],
)
def test_what_a_person_must_mend_is_critical_at_once(error_kind: str, code: int, told: tuple[str, Severity]) -> None:
    """A wrong configuration, a refused token and a ban used to be silent for an hour."""
    assert kinds(judged(attempts=[failing(error_kind=error_kind, exit_code=code)])) == [told]


@pytest.mark.parametrize(
    ("failed", "got_through", "told"),
    [
        ("run", "run", []),
        ("populateIncoming", "run", []),
        ("populateAutoID", "populateIncoming", ["error"]),
        ("populateIncoming", "run --only incoming", []),
        ("run", "populateIncoming", ["error"]),
        ("replay", "populateAutoID", []),
    ],
)
def test_an_error_is_over_when_the_same_work_was_done(failed: str, got_through: str, told: list[str]) -> None:
    attempts = [failing(failed, failed_at=NOW - 5 * MINUTE), Attempts(got_through, NOW - MINUTE)]
    assert [finding.kind for finding in judged(attempts=attempts)] == told


def test_both_halves_together_do_what_a_run_does() -> None:
    halves = [Attempts("populateIncoming", NOW - MINUTE), Attempts("populateAutoID", NOW - MINUTE)]
    assert judged(attempts=[failing(failed_at=NOW - 5 * MINUTE), *halves]) == []


def test_a_run_that_could_not_be_recorded_is_told_until_one_gets_through() -> None:
    told = Unrecorded(NOW - HOUR, NOW - 2 * MINUTE, 2, "The master key is missing.")
    (found,) = judged(unrecorded=told, last_success=NOW - 3 * MINUTE)
    assert (found.kind, found.severity, found.since) == ("not recorded", Severity.CRITICAL, NOW - HOUR)
    assert "The master key is missing." in found.words
    assert judged(unrecorded=told, last_success=NOW - MINUTE) == []


def test_runs_that_end_before_they_are_recorded_were_started() -> None:
    """Beside what ends them it was told that none had been started."""
    told, last = Unrecorded(NOW - 2 * HOUR, NOW - MINUTE, 3, "PostgreSQL is away."), NOW - 3 * HOUR
    (silent, _) = judged(unrecorded=told, last_success=last, last_start=last)
    assert (silent.words, silent.since) == ("Runs are started and none gets through.", last)
    (silent, _) = judged(unrecorded=told, last_success=None, last_start=None)
    assert (silent.words, silent.since) == ("Runs are started and none gets through.", told.since)
    (silent, _) = judged(unrecorded=told._replace(at=NOW - HOUR), last_success=last, last_start=last)
    assert (silent.words, silent.since) == ("No run has been started.", NOW - HOUR)


def test_where_the_ledger_cannot_be_asked_nothing_else_is_claimed() -> None:
    found = findings(Facts.of_nothing(NOW, "PostgreSQL cannot be reached.", None))
    assert kinds(found) == [("unreachable", Severity.CRITICAL)]


def test_what_is_in_the_way_of_both_is_told_once_with_when_it_began() -> None:
    words = "c.toml cannot be used:\n  redcap.nonsense: this key is unknown"
    told = Unrecorded(NOW - HOUR, NOW - MINUTE, 2, " ".join(words.split()))
    (found,) = findings(Facts.of_nothing(NOW, words, told))
    assert (found.kind, found.since) == ("unreachable", NOW - HOUR)
    assert len(findings(Facts.of_nothing(NOW, "Something else.", told))) == 2


def test_a_disk_that_is_gone_goes_on_being_said() -> None:
    (found,) = judged(disk_warning="This looks like an unmounted disk.", disk_since=NOW - DAY)
    assert (found.kind, found.severity, found.since) == ("disk", Severity.CRITICAL, NOW - DAY)


@pytest.mark.parametrize(("until", "told"), [(NOW + MINUTE, ["ban"]), (NOW, []), (NOW - MINUTE, [])])
def test_a_ban_is_told_while_its_pause_lasts(until: datetime, told: list[str]) -> None:
    assert [finding.kind for finding in judged(banned_until=until)] == told


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (4.9 * MINUTE, []),
        (5 * MINUTE, [("clock", Severity.WARNING)]),
        (-6 * MINUTE, [("clock", Severity.WARNING)]),
        (HOUR, [("clock", Severity.WARNING)]),
        (-61 * MINUTE, [("clock", Severity.CRITICAL)]),
    ],
)
def test_a_clock_is_told_from_five_minutes_on(ahead: timedelta, told: list[tuple[str, Severity]]) -> None:
    found = judged(own_clock_ahead={"REDCap": ahead})
    assert kinds(found) == told
    assert all("minutes behind that of REDCap" in each.words for each in found if ahead < timedelta(0))


def test_rows_and_requests_that_wait_too_long_are_told() -> None:
    assert judged(rows_wait_since=NOW - 59 * MINUTE, unsent_since=NOW - 23 * HOUR) == []
    found = judged(rows_wait_since=NOW - HOUR, unsent_since=NOW - DAY)
    assert kinds(found) == [("rows wait", Severity.WARNING), ("requests wait", Severity.WARNING)]
    assert judged(rows_wait_since=NOW + YEAR, unsent_since=NOW + YEAR) == []


@pytest.mark.parametrize(("days", "severity"), [(90, Severity.OK), (15, Severity.OK), (14, Severity.WARNING)])
def test_an_approval_that_ends_is_told_long_before_it_alarms(days: int, severity: Severity) -> None:
    ends = NOW.date() + timedelta(days=days)
    (found,) = judged(approvals=[("HEART", ends)])
    assert (found.kind, found.severity) == ("approval", severity)
    assert found.words.startswith(f"The approval of HEART ends on {ends}")
    assert isinstance(ends, date)


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (31, []),
        (30, [("certificate", Severity.OK)]),
        (14, [("certificate", Severity.WARNING)]),
        (3, [("certificate", Severity.CRITICAL)]),
        (-1, [("certificate", Severity.CRITICAL)]),
    ],
)
def test_a_certificate_that_runs_out_is_told_a_month_before(days: int, told: list[tuple[str, Severity]]) -> None:
    assert kinds(judged(certificate_ends=NOW + days * DAY)) == told


def test_the_worst_comes_first_and_is_how_bad_it_is() -> None:
    found = judged(approvals=[("HEART", NOW.date())], disk_warning="gone", certificate_ends=NOW + 20 * DAY)
    assert [finding.kind for finding in found] == ["disk", "approval", "certificate"]
    assert worst(found) is Severity.CRITICAL


def test_every_finding_says_what_to_do() -> None:
    found = judged(
        last_success=NOW - DAY,
        attempts=[failing()],
        unrecorded=Unrecorded(NOW, NOW, 3, "x"),
        disk_warning="x",
        banned_until=NOW + HOUR,
        own_clock_ahead={"PostgreSQL": HOUR},
        rows_wait_since=NOW - DAY,
        unsent_since=NOW - DAY,
        approvals=[("HEART", NOW.date())],
        certificate_ends=NOW,
    )
    assert len(found) == 10
    assert all(finding.advice.endswith((".", "?")) for finding in found)

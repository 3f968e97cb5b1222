"""The commands as a user starts them, and what they never print."""

import json
import signal
import time

import pytest

from tests.explain.conftest import Explained, row
from tests.flow.harness import HEART

SECRETS = ("HRT-12345", "Doe^Jane", "HRT-[0-9]{5}", "H-SECRET")


@pytest.fixture
def lived(explained: Explained) -> Explained:
    """A site with two studies, a rule and an entry."""
    site = explained.site
    site.rule("1", patient_id="HRT-[0-9]{5}", event="[red]x[/red]")
    site.entry("1", accession="A2", subject="H-SECRET")
    site.series("1.2.1", PatientID="HRT-12345", AccessionNumber="A1")
    site.series("1.2.2", PatientID="HRT-1234", AccessionNumber="A2")
    site.run()
    return explained


def test_explain_tells_everything_but_who_it_is(lived: Explained) -> None:
    shown, coupled, told = (
        lived.command("explain", *arguments) for arguments in (["1.2.1"], ["A2"], ["1.2.1", "--json"])
    )
    for done in (shown, coupled, told):
        assert (done.code, done.err) == (0, "")
        assert [secret for secret in SECRETS if secret in done.out] == []
    assert "Verdict\n* Requested for Heart Study, event [red]x[/red], because of routing rule 1" in shown.out
    assert "Timeline" in shown.out
    data = told.data
    assert data["study"] == "1.2.1"
    assert data["origins"][0]["rules"][0]["standing"] == "matches"
    assert [condition["state"] for condition in data["origins"][0]["rules"][0]["conditions"]] == [
        "matched",
        "blank",
        "matched",
        "blank",
    ]


def test_explain_ends_with_2_for_a_name_that_nothing_has(lived: Explained) -> None:
    done = lived.command("explain", "no such study")
    assert (done.code, done.out) == (2, "")
    assert "No study in the ledger has the UID or accession number no such study." in done.err
    assert "Traceback" not in done.err


def test_what_if_shows_and_records_nothing(lived: Explained) -> None:
    head = lived.site.head()
    file = lived.file([row("1", active="0"), row("2", allowed_patientid="HRT-[0-9]{5}", dest_project="New")])
    done = lived.command("what-if", str(file))
    assert done.code == 0
    assert [secret for secret in SECRETS if secret in done.out] == []
    assert "2 recorded studies tried; rules that differ: 1, 2." in done.out
    assert "Nothing that the ledger knows names New" in done.out
    assert "New: gains (now nothing, then routing rule 2): 1\n    1.2.1\n" in done.out
    assert "1.2.1  (in force: placed)" in done.out
    data = lived.command("what-if", str(file), "--json", "--since", "2026-01-01", "--whole-table").data
    assert data["projects"]["New"]["gains"] == 1
    assert {(change["study"], change["project"], tuple(change["kinds"])) for change in data["changes"]} == {
        ("1.2.1", HEART, ("loses",)),
        ("1.2.1", "New", ("gains",)),
    }
    assert {change["in_force"] for change in data["changes"]} == {"placed", None}
    assert [secret for secret in SECRETS if secret in json.dumps(data)] == []
    assert lived.site.head() == head


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{bad}"], "routing_allowed_patientid does not compile"),
        (["{good}", "--since", "soon"], "--since: expected a day"),
    ],
)
def test_what_if_ends_with_2_and_words_for_what_it_cannot_use(
    explained: Explained, arguments: list[str], words: str
) -> None:
    bad = explained.file([row(allowed_patientid="(")])
    good = explained.file([row()])
    done = explained.command("what-if", *(each.format(bad=bad, good=good) for each in arguments))
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "Traceback" not in done.err


def test_rules_check_ends_with_1_where_something_was_found(lived: Explained) -> None:
    done = lived.command("rules", "check")
    assert (done.code, done.err) == (0, "")
    assert "Nothing was found that must be mended." in done.out
    done = lived.command("rules", "check", str(lived.file([row(allowed_patientid="HRT-[0-9]{4}")])), "--json")
    assert done.code == 1
    assert next(finding["kind"] for finding in done.data["findings"]) == "start only"
    assert [secret for secret in SECRETS if secret in done.out] == []


def test_a_missing_key_is_told_without_a_traceback(lived: Explained) -> None:
    lived.site.key_file.unlink()
    done = lived.command("explain", "1.2.1")
    assert done.code == 2
    assert "master key" in done.err


def test_ctrl_c_ends_a_long_trial_and_changes_nothing(explained: Explained) -> None:
    site = explained.site
    site.series("1.2.1", PatientID="a" * 60 + "!")
    site.run()
    site.time_limit = 60
    head = site.head()
    file = explained.file([row(allowed_patientid="(a|aa|a?)+$")])
    with explained.started("what-if", str(file)) as process:
        while not site.query(_TRYING):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert site.head() == head


_TRYING = """
    select pid from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and state = 'idle in transaction'
       and application_name = 'fiona-ledger' and state_change < clock_timestamp() - interval '0.5 s'
"""

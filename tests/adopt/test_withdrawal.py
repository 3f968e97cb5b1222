"""A participant withdraws whose studies REDCap held before this system, and whose summaries have left the disk."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from processors.cli.main import app
from processors.demo.simulator import Call, Fault
from processors.errors import Unanswered
from processors.redcap.incoming import hashed
from tests.adopt.sites import AdoptingSite
from tests.conftest import SettableClock
from tests.flow.harness import HEART, standard_simulator
from tests.operations.withdrawing import withdraws

SENT, UNSENT, OF_ANOTHER = "1.2.1", "1.2.2", "1.2.3"
TASKS = [(SENT, "sent"), (UNSENT, "requested by others, can be sent")]


@pytest.fixture
def adopted(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[AdoptingSite]:
    """Two studies of patient 4711 were requested as H-001, one was sent; another patient's study, too."""
    with ExitStack() as stack:
        redcap = stack.enter_context(standard_simulator(clock, with_withdrawals=True))
        site = AdoptingSite(
            folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=redcap
        )
        stack.callback(site.close)
        for study, patient in ((SENT, "4711"), (UNSENT, " 4711"), (OF_ANOTHER, "4712")):
            site.scripts_wrote(study, study_patient_id=hashed(patient))
        site.scripts_requested(SENT, "H-001", sent=True)
        site.scripts_requested(UNSENT, "H-001")
        site.scripts_requested(OF_ANOTHER, "H-002", sent=True)
        site.adopt()
        yield site


def tasks(site: AdoptingSite) -> list[tuple[str, str]]:
    return [(study, what) for study, what in site.query("select study, what from audit.task where open order by study")]


def test_what_was_requested_of_them_is_a_task_each(adopted: AdoptingSite) -> None:
    """It was said that nothing had been requested of that patient."""
    done = withdraws(adopted, patient="4711")

    assert done.studies == [SENT, UNSENT]
    assert tasks(adopted) == TASKS
    adopted.series("1.2.9", PatientID="9000")
    adopted.entry(study="1.2.9", subject="H-001")
    adopted.run()
    assert adopted.transfers("1.2.9") == {}
    assert adopted.attention()["participant withdrew"] == 1
    adopted.assert_sound()


def test_so_it_is_by_redcaps_list(adopted: AdoptingSite) -> None:
    adopted.simulator.projects["withdrawals"].put([{"record_id": "1", "wd_project": HEART, "wd_subject": "4711"}])
    adopted.run()
    assert tasks(adopted) == TASKS


@contextmanager
def struck(site: AdoptingSite, **fault: Any) -> Iterator[None]:
    """Meanwhile the question whose the studies are is answered by a fault; all other calls go through."""

    def strike(call: Call) -> None:
        if (call.project, call.fields) == ("incoming", ("study_instance_uid", "study_patient_id")):
            site.simulator.inject(Fault(**fault))

    site.simulator.before_call = strike
    yield
    site.simulator.before_call = None


def test_where_redcap_does_not_tell_the_withdrawal_counts_and_the_command_says_what_is_left(
    adopted: AdoptingSite, tmp_path: Path
) -> None:
    adopted.clock.now = datetime.now().astimezone()  # the program goes by the machine's
    config = tmp_path / "fiona-ledger.toml"
    tokens = "\n".join(f'{name} = "{token}"' for name, token in adopted.tokens.items())
    config.write_text(f"""
[ledger]
url = "{adopted.database_url}"
key_file = "{adopted.key_file}"
[source]
raw = "{adopted.receiver.raw}"
[redcap]
url = "{adopted.simulator.url}"
[redcap.tokens]
{tokens}
""")
    withdrawal = ["--config", str(config), "withdraw", "--project", HEART, "--patient-id-stdin", "--reason", "x"]
    with struck(adopted, kind="waf"):
        refused = CliRunner().invoke(app, withdrawal, input="4711")

    assert refused.exit_code == 3
    assert "give the command again once it answers" in " ".join(refused.stderr.split())
    assert "4711" not in refused.output
    assert (adopted.count("ParticipantWithdrew"), tasks(adopted)) == (1, [])

    assert CliRunner().invoke(app, withdrawal, input="4711").exit_code == 1
    assert tasks(adopted) == TASKS


def test_an_entry_of_the_list_counts_too_and_is_listed_as_nobody_knows_what_is_theirs(adopted: AdoptingSite) -> None:
    """What is before REDCap may take the filter for an attack, which must not stop all runs."""
    listed = adopted.simulator.projects["withdrawals"]
    listed.put([{"record_id": "1", "wd_project": HEART, "wd_subject": "4711"}])
    with struck(adopted, kind="waf"):
        adopted.run()
    assert (adopted.attention()["unusable withdrawal"], tasks(adopted)) == (1, [])

    adopted.run()
    assert (adopted.attention()["unusable withdrawal"], adopted.count("ParticipantWithdrew")) == (1, 1)
    withdraws(adopted, patient="4711")
    assert tasks(adopted) == TASKS


def test_where_redcap_is_away_the_next_run_asks_again(adopted: AdoptingSite) -> None:
    adopted.simulator.projects["withdrawals"].put([{"record_id": "1", "wd_project": HEART, "wd_subject": "4711"}])
    with struck(adopted, kind="status", status=502), pytest.raises(Unanswered):
        adopted.run()
    assert adopted.count("ParticipantWithdrew") == 0
    adopted.run()
    assert tasks(adopted) == TASKS

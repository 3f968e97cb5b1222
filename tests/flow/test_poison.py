"""One row makes REDCap, or a firewall before it, fail; a project takes nothing at all. Everything else goes through."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from processors.demo.simulator import Simulator, standard_projects
from processors.demo.simulator.dictionary import Dictionary, Field
from processors.demo.simulator.replies import Reply, reply
from processors.errors import Refused, ServiceError
from tests.conftest import SettableClock
from tests.flow.harness import Site
from tests.flow.test_refused import restrict

HOUR = 3_600
POISON = "<script>"
ANALYSIS = '{"error":"Data cannot be imported: the project is in Analysis/Cleanup status."}'


class Guarded(Simulator):
    """A REDCap whose imports are answered otherwise where they hold what the `guard` looks for."""

    guard = re.compile(r"(?!)")
    answer = Reply(body=b"", status=0)

    def handle(self, address: str, body: bytes, content_type: str) -> Reply:
        text = body.decode()
        is_import = 'name="data"' in text
        self.all_imports += is_import
        if is_import and self.guard.search(text):
            self.imports += 1
            return self.answer
        answer = super().handle(address, body, content_type)
        return replace(answer, body=_with_one_problem(answer.body)) if self.one_by_one else answer

    imports = 0
    all_imports = 0
    one_by_one = False


def _with_one_problem(body: bytes) -> bytes:
    """REDCap's answer; where it lists problems, with the first of them alone."""
    found = json.loads(body)
    if not isinstance(found, dict) or "error" not in found:
        return body
    return json.dumps({"error": found["error"].splitlines()[0]}).encode()


@pytest.fixture
def guarded(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        simulator = stack.enter_context(Guarded(standard_projects()))
        simulator.settings = replace(simulator.settings, clock=clock)
        site = Site(folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=simulator)
        stack.callback(site.close)
        yield site
        site.assert_sound()


def guard(site: Site, pattern: str, answer: Reply | str, status: int = 200) -> Guarded:
    assert isinstance(site.simulator, Guarded)
    site.simulator.guard = re.compile(pattern)
    site.simulator.answer = reply(answer, "html", status) if isinstance(answer, str) else answer
    site.simulator.imports = 0
    return site.simulator


def run_twice(site: Site) -> None:
    """A mishap that comes once ends the run; the second one finds out which row it is."""
    with pytest.raises(ServiceError):
        site.run()
    site.run()


def test_a_row_that_failed_is_tried_alone_an_hour_later_and_its_failure_is_no_news(guarded: Site) -> None:
    for number in range(5):
        guarded.series(f"1.2.{number}", SeriesDescription=POISON if number == 3 else "ax")
    simulator = guard(guarded, POISON, "<html>Your support ID is: 4711</html>", 403)
    run_twice(guarded)
    guarded.run()
    assert guarded.calls_about_studies == []
    guard(guarded, POISON, "<html>Your support ID is: 4712</html>", 403)
    guarded.series("1.3")
    guarded.run(after=HOUR)
    assert simulator.imports == 1
    assert len(guarded.series_rows("1.3")) == 1
    assert len(guarded.events("RowRefused")) == 1
    assert guarded.attention() == {"refused row": 1}
    guard(guarded, "(?!)", "")
    guarded.run(after=HOUR)
    assert guarded.attention() == {}
    assert len(guarded.series_rows("1.2.3")) == 1


def test_several_poisoned_rows_and_nothing_else_do_not_end_every_run(guarded: Site) -> None:
    for number in range(7):
        guarded.series(f"1.2.{number}", SeriesDescription=POISON)
    guard(guarded, "series_description", "<html>no</html>", 500)
    for _ in range(4):
        try:
            guarded.run()
        except ServiceError:
            continue
    guarded.run()
    assert guarded.attention() == {"refused row": 7}


def test_a_server_that_takes_no_import_at_all_ends_the_run(guarded: Site) -> None:
    for number in range(30):
        guarded.series(f"1.2.{number}")
    simulator = guard(guarded, "", "<html>no</html>", 500)
    for _ in range(3):
        with pytest.raises(ServiceError, match="HTTP 500"):
            guarded.run()
    assert simulator.imports < 40
    guard(guarded, "(?!)", "")
    guarded.run()
    guarded.run(after=HOUR)
    assert guarded.attention() == {}


@pytest.mark.parametrize("batch_rows", [40, 500])
def test_a_project_that_takes_nothing_costs_one_event_and_one_try_an_hour(guarded: Site, batch_rows: int) -> None:
    """180 rows used to cost 369 calls and 180 events, every hour anew, and to wait for an hour when it was mended."""
    guarded.batch_rows = batch_rows
    guarded.entry(accession="ACC-1")
    for number in range(60):
        guarded.series(f"1.2.{number:02}", AccessionNumber="ACC-1")
    simulator = guard(guarded, "", reply(ANALYSIS, "json", 400))
    report = guarded.run()
    assert simulator.imports < 25
    (told,) = guarded.events("ImportsRefused")
    assert told == {
        "redcap_project": "incoming",
        "kinds": ["series", "study", "transfer"],
        "message": "Data cannot be imported: the project is in Analysis/Cleanup status.",
    }
    assert guarded.events("RowRefused") == []
    assert report.attention == {"rows refused by the project": 1}
    head = guarded.head()
    simulator.imports = 0
    guarded.run()
    assert simulator.imports == 0
    guarded.run(after=HOUR)
    guarded.run()
    assert simulator.imports == 1
    assert guarded.head() == head
    guard(guarded, "(?!)", "")
    guarded.run(after=HOUR)
    assert {len(guarded.transfers(f"1.2.{number:02}")) for number in range(60)} == {1}
    assert guarded.attention() == {}


def test_an_instrument_that_does_not_repeat_keeps_back_its_rows_only(guarded: Site) -> None:
    guarded.incoming.repeating = ("transfers",)
    guarded.entry(accession="ACC-1")
    for number in range(40):
        guarded.series(f"1.2.{number:02}", AccessionNumber="ACC-1")
    assert guarded.run().attention == {"rows refused by the project": 1}
    assert len([call for call in guarded.calls_about_studies if call.action == "import"]) < 20
    assert {len(guarded.transfers(f"1.2.{number:02}")) for number in range(40)} == {1}
    guarded.incoming.repeating = ("series", "transfers")
    guarded.run(after=HOUR)
    assert {len(guarded.series_rows(f"1.2.{number:02}")) for number in range(40)} == {1}
    assert guarded.attention() == {}


def test_rows_that_redcap_names_cost_no_call_each(guarded: Site) -> None:
    """They used to cost two."""
    restrict(guarded, "series_description", "integer")
    for number in range(40):
        guarded.series(f"1.2.{number:02}", SeriesDescription="word" if number % 2 else "17")
    guarded.run()
    assert [call.action for call in guarded.calls_about_studies].count("import") == 2
    assert len(guarded.events("RowRefused")) == 20
    guarded.run(after=HOUR)
    assert len(guarded.events("RowRefused")) == 20, "refused as before: no news"
    guarded.run()
    assert guarded.calls_about_studies == []


def test_many_poisoned_rows_are_set_apart_in_one_run_and_all_others_go_through(guarded: Site) -> None:
    """More than three in a row used to end the run: sixty rows, twenty runs."""
    for number in range(12):
        for series in range(2):
            poisoned = series or number in (5, 6)
            guarded.series(f"1.2.{number:02}", f"1.2.{number:02}.{series}", SeriesDescription=POISON * bool(poisoned))
    guard(guarded, POISON, "<html>no</html>", 500)
    run_twice(guarded)
    assert guarded.attention() == {"refused row": 14}
    assert all(guarded.study_row(f"1.2.{number:02}") for number in range(12))
    assert sum(len(guarded.series_rows(f"1.2.{number:02}")) for number in range(12)) == 10
    guarded.run(after=HOUR)
    assert len(guarded.events("RowRefused")) == 14, "failing as before is no news, and ends no run"


def test_a_server_that_names_one_problem_at_a_time_costs_few_calls_where_it_refuses_all(guarded: Site) -> None:
    assert isinstance(guarded.simulator, Guarded)
    guarded.simulator.one_by_one = True
    restrict(guarded, "series_description", "integer")
    for number in range(500):
        guarded.series("1.2", f"1.2.{number}", SeriesDescription="word")
    report = guarded.run()
    assert guarded.simulator.all_imports < 30
    assert report.attention == {"rows refused by the project": 1}


def test_a_server_that_names_one_problem_at_a_time_gets_all_other_rows(guarded: Site) -> None:
    assert isinstance(guarded.simulator, Guarded)
    guarded.simulator.one_by_one = True
    restrict(guarded, "series_description", "integer")
    for number in range(60):
        guarded.series("1.2", f"1.2.{number}", SeriesDescription="word" if number % 3 == 0 else "17")
    assert guarded.run().attention == {"refused row": 20}
    assert len(guarded.series_rows("1.2")) == 40


def test_a_right_that_is_missing_is_one_event_and_one_call_an_hour(guarded: Site) -> None:
    """Each run used to try again, and to end with an error before IDs were given."""
    for number in range(20):
        guarded.series(f"1.2.{number}")
    guarded.incoming.revoke("import")
    assert guarded.run().attention == {"rows refused by the project": 1}
    (told,) = guarded.events("ImportsRefused")
    assert "API Import/Update privileges" in told["message"]
    assert isinstance(guarded.simulator, Guarded)
    head = guarded.head()
    assert guarded.simulator.all_imports == 2
    guarded.run()
    guarded.run(after=HOUR)
    assert (guarded.head(), guarded.simulator.all_imports) == (head, 3)
    guarded.incoming.grant()
    guarded.run(after=HOUR)
    assert guarded.attention() == {}
    assert all(guarded.study_row(f"1.2.{number}") for number in range(20))


def test_a_call_above_phps_limit_is_answered_as_one_without_a_token_and_goes_in_smaller_ones(guarded: Site) -> None:
    for number in range(60):
        guarded.series(f"1.2.{number}", SeriesDescription="x" * 300)
    guarded.simulator.settings.post_max_size = 30_000
    assert guarded.run().attention == {}
    assert all(len(guarded.series_rows(f"1.2.{number}")) == 1 for number in range(60))


def test_a_project_in_analysis_is_found_out_by_the_first_rows_of_very_many(guarded: Site) -> None:
    guarded.incoming.status = "analysis"
    guarded.batch_rows = 20
    for number in range(100):
        guarded.series(f"1.2.{number:02}")
    assert guarded.run().attention == {"rows refused by the project": 1}
    assert len(guarded.calls_about_studies) < 25
    guarded.incoming.status = "production"
    guarded.run(after=HOUR)
    assert guarded.attention() == {}


def test_a_record_id_of_another_name_is_said(guarded: Site) -> None:
    dictionary = guarded.incoming.dictionary
    guarded.incoming.dictionary = Dictionary(
        [Field(field_name="record_id", form_name="incoming_studies"), *dictionary.fields]
    )
    guarded.series("1.2")
    with pytest.raises(Refused, match=r"expected study_instance_uid to be the first field .* found record_id there"):
        guarded.run()


def test_a_project_without_a_repeating_form_in_another_language_is_found_out_too(guarded: Site) -> None:
    for number in range(20):
        guarded.series(f"1.2.{number}")
    guard(guarded, "series_description", '{"error":"Das Formular ist nicht wiederholbar: series_description"}', 400)
    assert guarded.run().attention == {"rows refused by the project": 1}
    assert all(guarded.study_row(f"1.2.{number}") for number in range(20))

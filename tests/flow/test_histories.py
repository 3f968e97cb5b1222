"""Random histories against the model: REDCap ends as the contract says, whatever happened on the way."""

import logging
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note, seed, settings
from hypothesis import strategies as st

from processors.cli.bootstrap import compared_clocks
from processors.configuration.settings import Configuration, RedcapSection, SourceSection
from processors.demo.simulator import Fault
from processors.errors import ServiceError
from processors.run import Report
from tests.conftest import Server, SettableClock
from tests.flow.harness import BRAIN, HEART, Asked, Site, Steps, run_with, standard_simulator
from tests.flow.model import Entry, Key, Model, Row, Rule, Study
from tests.lifecycle.ground import ADDRESS, Ground, a_ground, redcap_in_process

# Of one patient: what two may not share is for tests/flow/test_identity_histories.py and tests/lifecycle.
STUDIES = [Study(uid, "ACC-1", "PATID-0001", "Secretive^Anna") for uid in ("1.2.1", "1.2.2")]
SUBJECTS = ["SUBJ-X1", "SUBJ-X2"]
SECRETS = [*SUBJECTS, *(text for study in STUDIES for text in (study.patient_id, study.patient_name))]

Step = tuple[Any, ...]


def weighted(*strategies: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    """One of the strategies, those given several times the more often; `one_of` would count them once."""
    return st.sampled_from(strategies).flatmap(lambda chosen: chosen)


# Little to choose from, so that people, rules and entries meet on the same ground again and again.
study_uids = st.sampled_from(["1.2.1", "1.2.1", "1.2.2"])
keys = st.sampled_from([*[Key(HEART, "")] * 4, Key(HEART, "v1"), Key(BRAIN, "")])
targets = st.sampled_from([{"accession": "ACC-1"}, {"accession": "ACC-1"}, {"study": "1.2.1"}, {"accession": "ACC-9"}])
entries = st.builds(
    lambda key, subject, target: Entry(key, subject, **target),
    keys,
    st.sampled_from([*SUBJECTS, *SUBJECTS, ""]),
    targets,
)
rules = st.builds(Rule, keys, by_name=st.booleans(), active=st.sampled_from([True, True, False]))
one_or_two = st.sampled_from(["1", "2"])
an_entry = st.tuples(st.just("entry"), one_or_two, entries)
a_request = st.tuples(st.just("person requests"), study_uids, keys, st.sampled_from(SUBJECTS))
a_sending = st.tuples(st.just("sends"), study_uids, st.integers(0, 3))
steps = weighted(
    an_entry,
    an_entry,
    an_entry,
    an_entry,
    an_entry,
    a_request,
    a_request,
    a_sending,
    st.tuples(st.just("entry removed"), one_or_two),
    st.tuples(st.just("rule"), one_or_two, rules),
    st.tuples(st.just("rule removed"), one_or_two),
    st.tuples(st.just("left out"), st.sampled_from(["coupling", "coupling", "routing"]), one_or_two),
    st.tuples(st.just("person deletes"), study_uids, st.integers(0, 3)),
    st.tuples(st.just("arrives"), study_uids, st.integers(1, 5)),
    st.tuples(st.just("arrives"), study_uids, st.integers(1, 5)),
    st.tuples(st.just("grows"), study_uids),
    st.tuples(st.just("vanishes"), study_uids),
    st.tuples(st.just("returns"), study_uids),
)
runs = weighted(
    st.just(("run",)),
    st.just(("run",)),
    st.just(("run",)),
    st.tuples(st.just("run after kills"), st.lists(st.integers(1, 60), min_size=1, max_size=2)),
    st.tuples(st.just("run after a fault"), st.sampled_from(["import reset", "import applied", "export empty"])),
)
killed_runs = st.tuples(st.just("killed"), st.integers(20, 50))
START: list[Step] = [("arrives", "1.2.1", 1), ("arrives", "1.2.2", 1)]


def histories(runs: st.SearchStrategy[Step]) -> st.SearchStrategy[list[Step]]:
    """One to three things happen, then there is a run, and so on."""
    days = st.lists(st.tuples(st.lists(steps, min_size=1, max_size=3), runs), min_size=5, max_size=9)
    return days.map(lambda days: START + [step for day, run in days for step in [*day, run]])


FAULTS = {
    "import reset": Fault(kind="reset", project="incoming", action="import"),
    "import applied": Fault(kind="reset", project="incoming", action="import", after_commit=True),
    "export empty": Fault(kind="empty", project="incoming", action="export", times=4),
}


@dataclass
class World:
    """The site and its model, in step."""

    site: Site
    model: Model
    people: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    ours_once: set[tuple[str, int, Asked]] = field(default_factory=set)
    missing: dict[tuple[str, str], tuple[Any, Any]] = field(default_factory=dict)

    def do(self, step: Step) -> None:
        getattr(self, step[0].replace(" ", "_"))(*step[1:])

    def arrives(self, uid: str, number: int) -> None:
        study = self.model.studies[uid]
        self.site.series(
            uid,
            f"{uid}.{number}",
            PatientID=study.patient_id,
            PatientName=study.patient_name,
            AccessionNumber=study.accession,
        )
        on_disk = self.model.disk.setdefault(uid, set())
        on_disk.add(f"{uid}.{number}")

    def grows(self, uid: str) -> None:
        for series in sorted(self.model.disk.get(uid, ()))[:1]:
            self.site.grow(uid, series)
            self.model.grown.add(uid)

    def vanishes(self, uid: str) -> None:
        if uid in self.model.disk:
            del self.model.disk[uid]
            self.model.grown.discard(uid)
            self.site.vanish(uid)

    def returns(self, uid: str) -> None:
        known = self.model.known.get(uid)
        if known is not None and known.series and uid not in self.model.disk:
            for series in known.series:
                self.arrives(uid, int(series.rpartition(".")[2]))

    def rule(self, record: str, rule: Rule) -> None:
        pattern = {"patient_name": "Secretive.*"} if rule.by_name else {"patient_id": "PATID-[0-9]+"}
        self.site.rule(record, project=rule.key.project, event=rule.key.event, active=rule.active, **pattern)
        self.model.rules[record] = rule

    def rule_removed(self, record: str) -> None:
        if self.model.rules.pop(record, None) is not None:
            self.site.remove_rule(record)

    def entry(self, record: str, entry: Entry) -> None:
        self.site.entry(
            record,
            accession=entry.accession,
            study=entry.study,
            project=entry.key.project,
            subject=entry.subject,
            event=entry.key.event,
        )
        self.model.entries[record] = entry

    def entry_removed(self, record: str) -> None:
        if self.model.entries.pop(record, None) is not None:
            self.site.remove_entry(record)

    def left_out(self, project: str, record: str) -> None:
        """REDCap leaves the record out of what it exports to the next run."""
        listed: dict[str, Any] = self.model.entries if project == "coupling" else self.model.rules
        if record in listed:
            stored = self.site.simulator.projects[project].records.pop(record)
            self.missing[project, record] = (stored, listed.pop(record))

    def _bring_back(self) -> None:
        for (project, record), (stored, content) in self.missing.items():
            listed: dict[str, Any] = self.model.entries if project == "coupling" else self.model.rules
            if record not in listed:
                self.site.simulator.projects[project].records[record] = stored
                listed[record] = content
        self.missing.clear()

    def person_requests(self, uid: str, key: Key, name: str) -> None:
        instance = self.site.person_requests(uid, key.project, name, event=key.event)
        # Who asks for the same where our row was deleted has restored it.
        is_restored = (uid, instance, Asked(key.project, name, key.event)) in self.ours_once
        self.model.redcap[uid][instance] = Row(key, name, ours=is_restored)
        if not is_restored:
            self.people[uid, instance] = self.site.transfer_rows(uid)[instance]

    def person_deletes(self, uid: str, choice: int) -> None:
        place = self._chosen(uid, choice)
        if place is not None:
            self.site.person_deletes_transfer(uid, place)
            self.model.redcap[uid].pop(place, None)
            self.people.pop((uid, place), None)

    def sends(self, uid: str, choice: int) -> None:
        place = self._chosen(uid, choice)
        if place is not None:
            self.site.sender_sends(uid, place)
            if place in self.model.redcap[uid]:
                self.model.redcap[uid][place].sent = True
            if (uid, place) in self.people:
                self.people[uid, place] = self.site.transfer_rows(uid)[place]

    def _chosen(self, uid: str, choice: int) -> int | None:
        places = sorted(self.site.transfers(uid))
        return places[choice % len(places)] if places else None

    def run(self) -> None:
        self._undisturbed()
        self._model_runs()

    def _model_runs(self) -> None:
        self.model.run()
        self._bring_back()

    def _note_doubts(self) -> None:
        """A killed run may have read the lists: only the ledger can tell whether it has."""
        for kind, table in (("rule", "gateway.rule"), ("coupling", "gateway.coupling_entry")):
            doubted = f"select record_id from {table} where doubted_position is not null or removed"
            self.model.doubted |= {(kind, record) for (record,) in self.site.query(doubted)}
            present = f"select record_id from {table} where doubted_position is null and not removed"
            self.model.doubted -= {(kind, record) for (record,) in self.site.query(present)}

    def run_after_kills(self, places: list[int]) -> None:
        for number, place in enumerate(places):
            before = self._sent()
            self.site.run_killed_at(place, after=0 if number else 60)
            self._hold(before)
            self._note_doubts()
        self._undisturbed(after=0)
        self._model_runs()

    def run_after_a_fault(self, fault: str) -> None:
        self.site.simulator.inject(FAULTS[fault])
        try:
            self.site.run()
        except ServiceError as error:
            self.errors.append("".join(traceback.format_exception(error)))
        self.site.simulator.clear_faults()
        self._note_doubts()
        self._undisturbed(after=0)
        self._model_runs()

    def killed(self, place: int) -> None:
        before = self._sent()
        self.site.run_killed_at(place)
        self._hold(before)
        self._bring_back()

    def _undisturbed(self, *, after: float = 60) -> None:
        before = self._sent()
        self.site.run(after=after)
        self._hold(before)

    def _sent(self) -> dict[tuple[str, int], dict[str, str]]:
        """The rows that the sender has dealt with, and people's."""
        sent = {
            (uid, place): row
            for uid in self.model.studies
            for place, row in self.site.transfer_rows(uid).items()
            if "transfer_date" in row
        }
        return sent | self.people

    def _hold(self, before: dict[tuple[str, int], dict[str, str]]) -> None:
        """Nobody's row was changed, those of ours that were sent were closed at most, and nothing is asked twice."""
        for (uid, place), row in before.items():
            now = self.site.transfer_rows(uid).get(place)
            is_closed = (uid, place) not in self.people and now is not None and "transfer_name" not in now
            assert now == ({name: row[name] for name in row if name != "transfer_name"} if is_closed else row)
        for uid in self.model.studies:
            ours = [
                (asked.project, asked.event)
                for place, asked in self.site.transfers(uid).items()
                if asked.name and (uid, place) not in self.people
            ]
            assert len(set(ours)) == len(ours)
            self.ours_once |= {
                (uid, place, asked._replace(sent=False))
                for place, asked in self.site.transfers(uid).items()
                if asked.name and (uid, place) not in self.people
            }
            record = self.site.incoming.records.get(uid)
            rows = self.site.series_rows(uid).values() if record is not None else ()
            series = [row["series_instance_uid"] for row in rows]
            assert len(set(series)) == len(series)

    def assert_as_the_model_says(self) -> None:
        for uid, rows in self.model.redcap.items():
            expected = {n: Asked(row.key.project, row.name, row.key.event, row.sent) for n, row in rows.items()}
            assert self.site.transfers(uid) == expected
        for uid, known in self.model.known.items():
            assert {row["series_instance_uid"] for row in self.site.series_rows(uid).values()} == known.series
        conflicts = {
            (uid, key.project, key.event, kind)
            for uid, known in self.model.known.items()
            for key, (kind, _) in known.conflicts.items()
        }
        assert set(self.site.query("select study, project, event_name, kind from gateway.conflict")) == conflicts


_numbers = count()


class _Site(Site):
    """One whose runs share connections, and talk to REDCap without a network between."""

    def __init__(self, ground: Ground, **settings: Any) -> None:
        super().__init__(database_url=ground.url, **settings)
        self.close()
        self._ground = ground
        self._database = ground.database

    def run(self, steps: Steps | None = None, *, after: float = 60) -> Report:
        """A run `after` so many seconds."""
        self.simulator.calls.clear()
        self.clock.advance(after)
        steps = steps or Steps()
        configuration = Configuration(
            source=SourceSection(raw=self.receiver.raw),
            redcap=RedcapSection(url=ADDRESS, insecure=True, batch_rows=3, tokens=self.tokens),  # type: ignore[arg-type]
        )
        database = self._ground.stepping(steps)
        clocks = compared_clocks(configuration, self.clock)
        with redcap_in_process(self.simulator, self.tokens, steps, clocks) as redcap:
            return run_with(database, redcap, configuration, key_file=self.key_file, clock=self.clock, steps=steps)


@pytest.fixture(scope="module")
def ground(server: Server, migrated: tuple[str, Path]) -> Iterator[Ground]:
    with a_ground(server, migrated[0]) as ground:
        yield ground


def world(ground: Ground, key_file: Path, folder: Path) -> World:
    """A world of its own for each history."""
    ground.clear()
    clock = SettableClock()
    place = folder / str(next(_numbers))
    place.mkdir()
    site = _Site(ground, folder=place, key_file=key_file, clock=clock, simulator=standard_simulator(clock))
    return World(site, Model(STUDIES))


def assert_nobody_is_named(world: World, said: str) -> None:
    """No patient, pseudonym or token stands in the ledger or was said."""
    places = {"the ledger": world.site.everything_stored(), "the output": said, "errors": "\n".join(world.errors)}
    secrets = [*SECRETS, *world.site.tokens.values()]
    assert [(secret, where) for where, text in places.items() for secret in secrets if secret in text] == []


@pytest.mark.parametrize("number", [1, 2])
def test_redcap_ends_as_the_contract_says(
    ground: Ground,
    migrated: tuple[str, Path],
    tmp_path: Path,
    number: int,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In two parts, so that no core is left with a long one at the end."""
    caplog.set_level(logging.DEBUG)

    @seed(number)
    @settings(max_examples=9)
    @given(history=histories(runs))
    def lived(history: list[Step]) -> None:
        around = world(ground, migrated[1], tmp_path)
        for place, step in enumerate([*history, ("run",)]):
            note(f"{place}: {step}")
            around.do(step)
            if step[0].startswith("run"):
                around.assert_as_the_model_says()
        around.site.assert_sound()
        assert_nobody_is_named(around, caplog.text + "".join(capfd.readouterr()))

    lived()


@settings(max_examples=6)
@given(history=histories(weighted(runs, killed_runs)))
def test_nobodys_row_is_changed_and_nothing_asked_twice_whenever_runs_are_killed(
    ground: Ground,
    migrated: tuple[str, Path],
    tmp_path: Path,
    history: list[Step],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # What a killed run had decided stands, so that the model cannot tell where REDCap ends; this it can.
    caplog.set_level(logging.DEBUG)
    around = world(ground, migrated[1], tmp_path)
    for step in [*history, ("run",)]:
        around.do(step)
    around.site.run()
    assert around.site.query("select 1 from gateway.transfer where state in ('requested', 'ending')") == []
    around.site.assert_sound()
    assert_nobody_is_named(around, caplog.text + "".join(capfd.readouterr()))

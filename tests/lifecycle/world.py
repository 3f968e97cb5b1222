"""The world of a history: what people, scanners, operators and the sender do, each verb told as a plain sentence.

What they do outside is noted in `facts`, for the oracle; what cannot be done at that moment is not done and not told.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from processors.configuration.settings import SenderSection
from processors.demo.sender import MASKED, Sender, Taken
from processors.demo.sender import Step as SenderStep
from processors.demo.simulator import Fault, standard_projects
from processors.errors import ServiceError, WrongClock
from tests.conftest import SettableClock
from tests.flow.harness import BRAIN, HEART, Killed, Site, Steps
from tests.lifecycle.facts import Attempt, Copy, Excuse, Facts, Hand, Key, Place, Rule, Statement, Study, Words
from tests.lifecycle.ground import Ground, Guarded
from tests.lifecycle.invariants import Invariants
from tests.lifecycle.program import MAIN, NORTH, Clocks, Program, Shown
from tests.source.receiver import Receiver

T = TypeVar("T")

AGE = 65.0
"""A summary of that many seconds has settled; a late one is newer than what was sent two minutes ago."""

PATIENTS = {
    "1.2.1": Statement("PATID-0001", "Secretive^Anna", "ACC-1"),
    "1.2.2": Statement("PATID-0002", "Secretive^Berit", "ACC-2"),
}
SUBJECTS = ["SUBJ-X1", "SUBJ-X2"]
SECRETS = [*SUBJECTS, *(text for told in PATIENTS.values() for text in (told.patient_id, told.patient_name))]

A_RECORD_MISSING = "an export in which a record is missing"

FAULTS = {
    "an import that is cut off": [Fault(kind="reset", project="incoming", action="import")],
    "an import that is cut off once it was stored": [
        Fault(kind="reset", project="incoming", action="import", after_commit=True)
    ],
    "an import that is cut off half stored": [
        Fault(kind="half_import", project="incoming", action="import"),
        Fault(kind="reset", project="incoming", action="import", after_commit=True),
    ],
    "the second import cut off": [Fault(kind="reset", project="incoming", action="import", nth=2)],
    "an import that is answered with 500 once it was stored": [
        Fault(kind="status", project="incoming", action="import", after_commit=True)
    ],
    "a firewall's page for an import": [Fault(kind="waf", project="incoming", action="import")],
    "a page with 200 for an import": [Fault(kind="browser_tabs", project="incoming", action="import")],
    "an answer that is cut short": [Fault(kind="truncated_json", project="incoming", action="import")],
    "a second answer that is cut short": [Fault(kind="truncated_json", project="incoming", action="import", nth=2)],
    "no export": [Fault(kind="empty", project="incoming", action="export", times=4)],
    "an export that is cut short": [Fault(kind="truncated_json", project="incoming", action="export", times=4)],
    A_RECORD_MISSING: [Fault(kind="missing_record", project="incoming", action="export", times=None)],
    "a coupling list that is cut short": [Fault(kind="truncated_json", project="coupling", action="export", times=4)],
    "a page with 200 for the rules": [Fault(kind="browser_tabs", project="routing", action="export", times=4)],
}

WHOLE_PROJECT = ""
"""Stands for the id of a record where REDCap refuses rows of any."""

_COMMANDS = frozenset(
    {
        "participant withdraws",
        "says it is the same patient",
        "acknowledges",
        "replays",
        "reconciles and restores",
        "reconciles and accepts",
    }
)
"""What nobody does while the clock is known to be wrong, or a firewall is in the way."""


@dataclass
class Deleted:
    """What a person deleted: a row, and whether it was people's; or a whole record (`rows` of it)."""

    rows: dict[Place, dict[str, str]]
    people: dict[Place, dict[str, str]]
    record: Any = None


@dataclass(frozen=True)
class Edited:
    """What a row said before people changed it, and whether it was people's by then."""

    before: dict[str, str]
    of_people: bool


@dataclass
class World:
    """A gateway and another site's, with all who work with them. Its verbs are the steps of a history."""

    ground: Ground
    site: Site
    program: Program
    sender: Sender
    clocks: Clocks
    simulator: Guarded
    homes: dict[str, str]
    facts: Facts = field(default_factory=Facts)
    story: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    copies: dict[str, Copy] = field(default_factory=dict)
    held: dict[str, Copy] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    acknowledged: set[tuple[str, str | None]] = field(default_factory=set)
    put_back: set[str] = field(default_factory=set)
    _looked_at: list[Attempt] = field(default_factory=list)
    _batch: Iterator[SenderStep] | None = None
    _deleted: list[Deleted] = field(default_factory=list)
    _ever_deleted: list[Deleted] = field(default_factory=list)
    _edited: dict[Place, Edited] = field(default_factory=dict)
    _left_out: dict[tuple[str, str], int] = field(default_factory=dict)
    _refused_at: dict[str, datetime] = field(default_factory=dict)
    _unsteady: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.invariants = Invariants(self)

    def do(self, step: tuple[Any, ...]) -> None:
        """Takes a step of a history; what must hold at every moment holds after it."""
        self.facts.tick += 1
        verb, *arguments = step
        if self.clocks.is_wrong and verb.startswith("run"):
            self._refuses_to_run()
        elif verb not in _COMMANDS or not (self.clocks.is_wrong or self.simulator.looking_for):
            getattr(self, verb.replace(" ", "_"))(*arguments)
        self.counts["steps"] += 1
        self._note_uses()
        self.invariants.at_any_time()

    @property
    def given_names(self) -> list[str]:
        """The pseudonyms that people give: not those that rules take from what a study says."""
        return SUBJECTS

    def _note_uses(self) -> None:
        for uid in self.facts.studies:
            for row in self.rows(uid).values():
                if row.get("transfer_name"):
                    self.facts.uses[row["transfer_project_name"], row["transfer_name"]].add(uid)

    def tell(self, sentence: str) -> None:
        self.story.append(f"{len(self.story) + 1}. {sentence}")

    # -- what arrives ---------------------------------------------------------------------------------------

    def arrives(self, uid: str, number: int) -> None:
        """A series arrives: the first one, another one, or one of a study that had vanished."""
        study = self.facts.studies.setdefault(uid, Study(uid, self.homes[uid]))
        series = f"{uid}.{number}"
        told = next(iter(study.series.values()), PATIENTS[uid])
        self._write(uid, series, told)
        if not study.on_disk:
            study.absent = set(study.series)
        study.absent.discard(series)
        if series not in study.series:
            study.undecided[series] = []
        study.series[series] = told
        self.tell(f"Series {series} arrives.")
        study.on_disk = True

    def grows(self, uid: str) -> None:
        if self._is_on_disk(uid):
            series = self._on_disk(uid)[0]
            self._receives(uid).grow(uid, series, age=AGE)
            self.tell(f"More images of {series} arrive.")

    def is_resent_without_accession(self, uid: str) -> None:
        # What no run has seen was never said.
        if self._is_on_disk(uid) and not self.facts.studies[uid].undecided:
            for series in self._on_disk(uid):
                self._receives(uid).series(uid, series, age=AGE, AccessionNumber="")
            self.tell(f"The summaries of {uid} are re-sent with a blank accession number.")

    def says_something_else(self, uid: str, told: dict[str, str]) -> None:
        """All of its summaries are re-sent, and say something else about whose it is or where it came from."""
        study = self.facts.studies.get(uid)
        if study is None or not study.on_disk or study.undecided or not self._all_there(study):
            return
        after = {series: replace(before, **told) for series, before in study.series.items()}
        if after != study.series:
            self.facts.restate(study, after)
            for series, statement in after.items():
                self._write(uid, series, statement)
            self.tell(f"Study {uid} is re-sent, and says now: {', '.join(f'{k} {v}' for k, v in told.items())}.")

    def gets_a_stray_series(self, uid: str) -> None:
        """One of another patient."""
        study = self.facts.studies.get(uid)
        if study is not None and study.on_disk and not study.is_mixed:
            series = f"{uid}.9"
            told = replace(PATIENTS[uid], patient_id="PATID-0009", patient_name="Secretive^Cora")
            self._write(uid, series, told)
            study.series[series] = told
            study.undecided[series] = []
            self.tell(f"A series of another patient arrives in {uid}.")

    def _all_there(self, study: Study) -> bool:
        return set(self._on_disk(study.uid)) == set(study.series)

    def vanishes(self, uid: str) -> None:
        if self._is_on_disk(uid):
            shutil.rmtree(self._receives(uid).receiver.raw / uid)
            self.facts.studies[uid].on_disk = False
            self.facts.studies[uid].lose_what_nobody_has_read()
            self.tell(f"Study {uid} vanishes from disk.")

    def returns(self, uid: str) -> None:
        study = self.facts.studies.get(uid)
        if study is not None and not study.on_disk:
            for series, told in study.series.items():
                self._write(uid, series, told)
            study.absent.clear()
            study.on_disk = True
            self.tell(f"Study {uid} is received again.")

    def moves(self, uid: str) -> None:
        """The study vanishes, and is received at the other site; no site believes it of all that it has."""
        study = self.facts.studies.get(uid)
        if study is None or not study.on_disk or not self._all_there(study) or not self._others_at(study):
            return
        before, self.homes[uid] = study.site, {MAIN: NORTH, NORTH: MAIN}[study.site]
        shutil.rmtree(self.program.receivers[before].raw / uid)
        study.site = self.homes[uid]
        study.moving += [before, study.site]
        for series, told in study.series.items():
            self._write(uid, series, told)
        (self.sender.raw / uid).unlink()
        (self.sender.raw / uid).symlink_to(self.program.receivers[study.site].raw / uid)
        self.tell(
            f"Study {uid} vanishes, and is received at {'the other' if study.site == NORTH else 'the first'} site."
        )

    def _others_at(self, study: Study) -> bool:
        others = (other for other in self.facts.studies.values() if other is not study)
        return any(other.on_disk and other.site == study.site for other in others)

    @property
    def sites(self) -> list[str]:
        """Those to which anything has come."""
        moving = (site for study in self.facts.studies.values() for site in study.moving)
        return sorted({*self.homes.values(), *moving})

    def _receives(self, uid: str) -> Site:
        """Where the study arrives."""
        self.site.receiver = self.program.receivers[self.homes[uid]]
        return self.site

    def _write(self, uid: str, series: str, told: Statement) -> None:
        self._receives(uid).series(
            uid,
            series,
            age=AGE,
            PatientID=told.patient_id,
            PatientName=told.patient_name,
            AccessionNumber=told.accession,
            called=told.called,
        )

    def _is_on_disk(self, uid: str) -> bool:
        return uid in self.facts.studies and self.facts.studies[uid].on_disk

    def _on_disk(self, uid: str) -> list[str]:
        return sorted(path.stem for path in (self._receives(uid).receiver.raw / uid).glob("*.json"))

    # -- rules and entries ----------------------------------------------------------------------------------

    def rule(self, record: str, rule: Rule) -> None:
        pattern = {"patient_name": "Secretive.*"} if rule.by_name else {"patient_id": "PATID-[0-9]+"}
        self.site.rule(
            record, project=rule.key.project, event=rule.key.event, active=rule.active, called=rule.called, **pattern
        )
        self.facts.rules[record] = rule
        name = "the patient's name" if rule.by_name else "the PatientID"
        switched = "" if rule.active else ", switched off"
        self.tell(f"Rule {record} says: to {_named(rule.key)} under {name}{switched}.")

    def rule_removed(self, record: str) -> None:
        if self.facts.switch_off(record):
            self.site.remove_rule(record)
            self.tell(f"Rule {record} is removed.")

    def entry(self, record: str, words: Words) -> None:
        self._put_entry(record, words)
        self.facts.say(record, words)
        target = f"study {words.study}" if words.study else f"accession number {words.accession}"
        self.tell(f"Entry {record} says: {target} to {_named(words.key)} as {words.subject}.")

    def entry_returns(self, record: str) -> None:
        gone = self.facts.gone_entries[record]
        if gone and record not in self.facts.entries:
            self.entry(record, gone[-1].words)

    def entry_removed(self, record: str) -> None:
        if self.facts.unsay(record):
            self.site.remove_entry(record)
            self.tell(f"Entry {record} is removed.")

    def _put_entry(self, record: str, words: Words, **more: str) -> None:
        self.site.entry(
            record,
            accession=words.accession,
            study=words.study,
            project=words.key.project,
            subject=words.subject,
            event=words.key.event,
            **more,
        )

    def entry_gets_another_date(self, record: str) -> None:
        if record in self.facts.entries:
            date = self.site.clock().strftime("%Y-%m-%d %H:%M")
            self._put_entry(record, self.facts.entries[record].words, date=date)
            self.tell(f"The date of entry {record} is changed, and nothing else.")

    def project_closes(self, project: str) -> None:
        self._list_project(project, active="0")
        self.facts.closed.add(project)
        self.tell(f"Project {project} is closed.")

    def project_opens(self, project: str) -> None:
        if project in self.facts.closed:
            self._list_project(project, active="1")
            self.facts.closed.remove(project)
            self.tell(f"Project {project} is open again.")

    def _list_project(self, project: str, *, active: str) -> None:
        self.site.list_project(project, active=active, record={HEART: "1", BRAIN: "2"}[project])

    # -- people in REDCap -----------------------------------------------------------------------------------

    def person_requests(self, uid: str, key: Key, name: str) -> None:
        if self._is_open(uid):
            instance = self.site.person_requests(uid, key.project, name, event=key.event)
            self.facts.people[Place(uid, instance)] = self.rows(uid)[instance]
            self.tell(f"A person requests {uid} to {_named(key)} as {name}, in instance {instance}.")

    def person_edits(self, uid: str, choice: int, name: str) -> None:
        place = self._chosen(uid, choice)
        if place is not None and self._is_open(uid):
            before = self.rows(uid)[place.instance]
            edited = self._edited.get(place)
            if edited is not None and edited.before["transfer_name"] == name:
                self.person_undoes_the_edit(place)
            elif "transfer_name" in before and before["transfer_name"] != name:
                self._edited.setdefault(place, Edited(before, place in self.facts.people))
                self._excuse(place, before)
                self._put_row(place, {"transfer_name": name})
                self.facts.people[place] = self.rows(uid)[place.instance]
                self.tell(f"A person changes the name in instance {place.instance} of {uid} to {name}.")

    def person_deletes(self, uid: str, choice: int) -> None:
        place = self._chosen(uid, choice)
        if place is not None and self._is_open(uid):
            row = self.rows(uid)[place.instance]
            self._excuse(place, row)
            self.site.person_deletes_transfer(uid, place.instance)
            self._forget_rows(Deleted({place: row}, {}), [place])
            self.tell(f"A person deletes instance {place.instance} of {uid}.")

    def person_deletes_record(self, uid: str) -> None:
        if uid in self.site.incoming.records and self._is_open(uid):
            places = [Place(uid, instance) for instance in self.rows(uid)]
            deleted = Deleted({}, {}, record=(uid, self.site.incoming.records[uid]))
            self.facts.excuses.append(Excuse(self.facts.tick, uid, None))
            self.site.person_deletes(uid)
            self._forget_rows(deleted, places)
            self.tell(f"A person deletes the whole record of {uid}.")

    def _excuse(self, place: Place, row: dict[str, str]) -> None:
        self.facts.excuses.append(Excuse(self.facts.tick, place.study, row.get("transfer_project_name", "")))

    def _forget_rows(self, deleted: Deleted, places: list[Place]) -> None:
        for place in places:
            if place in self.facts.people:
                deleted.people[place] = self.facts.people.pop(place)
            self._edited.pop(place, None)
        self._deleted.append(deleted)
        self._ever_deleted.append(deleted)

    def was_deleted(self, place: Place) -> bool:
        """Whether a person ever deleted that row, or its record."""
        return any(
            place in deleted.rows or (deleted.record is not None and deleted.record[0] == place.study)
            for deleted in self._ever_deleted
        )

    def person_restores(self) -> None:
        """What was deleted last is put back as it was, unless something stands there now."""
        if not self._deleted:
            return
        deleted = self._deleted.pop()
        if deleted.record is not None:
            uid, record = deleted.record
            if uid not in self.site.incoming.records:
                self.site.incoming.records[uid] = record
                self.site.incoming.note("record_edit", "Create record", f"study_instance_uid = '{uid}'", uid, "person")
                self.facts.people |= deleted.people
                self.tell(f"A person puts the record of {uid} back as it was.")
            return
        for place, row in deleted.rows.items():
            if place.instance not in self.rows(place.study) and self._is_open(place.study):
                self._put_row(place, row)
                self.put_back.add(place.study)
                self.facts.people |= deleted.people
                self.tell(f"A person puts instance {place.instance} of {place.study} back as it was.")

    def person_undoes_the_edit(self, edited: Place | None = None) -> None:
        """The last one, if none is named: what a row of ours said before is nobody else's word."""
        for place, was in [each for each in self._edited.items() if edited in (None, each[0])][-1:]:
            now = self.rows(place.study).get(place.instance, {})
            if now == self.facts.people.get(place) and self._is_open(place.study):
                del self._edited[place]
                self._put_row(place, {"transfer_name": was.before["transfer_name"]})
                if was.of_people:
                    self.facts.people[place] = self.rows(place.study)[place.instance]
                else:
                    del self.facts.people[place]
                self.tell(f"A person changes instance {place.instance} of {place.study} back to what it was.")

    def person_locks(self, uid: str) -> None:
        if uid in self.site.incoming.records and not self._is_locked(uid):
            self.site.incoming.lock(uid)
            self.tell(f"A person locks the record of {uid}.")

    def person_unlocks(self, uid: str) -> None:
        if self._is_locked(uid):
            self.site.incoming.unlock(uid)
            self._refused(uid)
            self.tell(f"A person unlocks the record of {uid}.")

    def person_moves_the_project_to_analysis(self) -> None:
        self.site.incoming.status = "analysis"
        self.tell("A person moves the project to Analysis/Cleanup.")

    def person_moves_the_project_back(self) -> None:
        if self.site.incoming.status == "analysis":
            self.site.incoming.status = "production"
            self._refused(WHOLE_PROJECT)
            self.tell("A person moves the project back to production.")

    def firewall_stops(self, name: str) -> None:
        self.simulator.looking_for = name
        self.tell(f"A firewall stops imports that hold {name}.")

    def firewall_lets_all_through(self) -> None:
        if self.simulator.looking_for:
            self.simulator.looking_for = ""
            self._refused(WHOLE_PROJECT)
            self.tell("The firewall lets all imports through.")

    def is_refusing(self, uid: str) -> bool:
        """Whether REDCap refuses rows of the study, or did until lately: what was refused is tried again each hour.

        In which hour depends on what else was tried meanwhile.
        """
        if not self._is_open(uid) or self.simulator.looking_for:
            return True
        now = self.clocks.right()
        return any(
            now - at < timedelta(minutes=122) for of, at in self._refused_at.items() if of in (uid, WHOLE_PROJECT)
        )

    def _refused(self, uid: str) -> None:
        self._refused_at[uid] = self.clocks.right()

    def _is_open(self, uid: str) -> bool:
        return self.site.incoming.status != "analysis" and not self._is_locked(uid)

    def _is_locked(self, uid: str) -> bool:
        return uid in self.site.incoming.records and self.site.incoming.records[uid].locked

    def rows(self, uid: str) -> dict[int, dict[str, str]]:
        return self.site.transfer_rows(uid)

    def _chosen(self, uid: str, choice: int) -> Place | None:
        instances = sorted(self.rows(uid))
        return Place(uid, instances[choice % len(instances)]) if instances else None

    def _put_row(self, place: Place, values: dict[str, str]) -> None:
        self.site.transfer_project.put(
            [
                {
                    "study_instance_uid": place.study,
                    "redcap_repeat_instrument": "transfers",
                    "redcap_repeat_instance": str(place.instance),
                    **values,
                }
            ]
        )

    # -- the sender -----------------------------------------------------------------------------------------

    def sender_looks(self) -> None:
        """More than a minute after whatever was there before."""
        self.site.clock.advance(61)
        for file in self.sender.create_transfer_requests():
            taken = next(taken for taken in self.sender._read() if taken.file == file)
            place = Place(taken.study, taken.instance)
            if place in self.facts.people:
                self.copies.pop(file, None)
            else:
                self.copies[file] = Copy(place, Key(taken.project, taken.event_name), taken.name, file)
            self.tell(f"The sender queues {_copied(taken)}.")

    def sender_begins(self) -> None:
        """It looks, reads its queue, and gets no further for now."""
        if self._batch is None:
            self.sender_looks()
        if self._batch is None and any(self.sender.queue.iterdir()):
            self._batch = self.sender.anonymize_and_send()
            next(self._batch)
            files = [taken.file for taken in self.sender._read()]
            self.held = {file: self.copies[file] for file in files if file in self.copies}
            self.tell("The sender reads its queue.")

    def sender_sends(self, tick: str) -> None:
        """It carries out what it has read: so that it succeeds, with pixels masked, or fails."""
        self.sender_begins()
        if self._batch is None or self.site.incoming.status == "analysis":
            return
        self.site.clock.advance(61)
        ticks = frozenset({tick} if tick else ())
        self.sender.ticks = dict.fromkeys(PATIENTS, ticks)
        attempt: Attempt | None = None
        for step in self._batch:
            self.counts["sender actions"] += 1
            if step.request is None:
                continue
            if step.done == "tried":
                attempt = self._tried(step.request, ticks)
            elif step.done == "written" and attempt is not None:
                self._written(step.request, attempt)
            elif step.done == "moved" and attempt is None:
                self.tell(f"The sender finds no files of {_copied(step.request)}.")
            if step.done == "moved":
                self.held.pop(step.request.file, None)
                attempt = None
        self._batch = None

    def _tried(self, taken: Taken, ticks: frozenset[str]) -> Attempt:
        row = self.rows(taken.study).get(taken.instance, {})
        place = Place(taken.study, taken.instance)
        copy = self.held.get(taken.file) or Copy(place, Key(taken.project, taken.event_name), taken.name, "")
        date = self.site.clock().strftime("%Y-%m-%d %H:%M")
        how = {"": "sends", MASKED: "sends, with pixels masked,"}.get("".join(ticks), "fails to send")
        self.tell(f"The sender {how} {_copied(taken)}.")
        return Attempt(copy, date, ticks, was_ended=not _says(row, copy), told=False)

    def _written(self, taken: Taken, attempt: Attempt) -> None:
        place = Place(taken.study, taken.instance)
        row = self.rows(taken.study).get(taken.instance, {})
        attempt.told = row.get("transfer_date") == attempt.date and self._is_open(taken.study)
        if place in self.facts.people:
            self.facts.people[place] = row
        elif attempt.copy.file:
            self.attempts.append(attempt)
        if attempt.ticks <= {MASKED}:
            self.facts.sent[taken.study, attempt.copy.key, taken.name] = self.facts.tick

    # -- the clock ------------------------------------------------------------------------------------------

    def time_passes(self, minutes: int) -> None:
        self.site.clock.advance(60 * minutes)
        self.tell(f"{minutes} minutes pass.")

    def clock_jumps(self, by: timedelta, with_it: str) -> None:
        """That of the gateway's machine, and PostgreSQL's where it runs there. REDCap's is right."""
        self.site.clock.advance(by.total_seconds())
        self.clocks.ahead += by
        self.clocks.with_it = with_it
        # A file that lies ahead is read by the second run that finds it as it was.
        self._unsteady = Counter({MAIN: 2, NORTH: 2})
        whose = f"The gateway's clock, and {with_it}'s," if with_it else "The gateway's clock"
        self.tell(f"{whose} jumps by {by / timedelta(hours=1):+g} hours.")

    def clock_is_set_right(self) -> None:
        if self.clocks.ahead:
            self.clock_jumps(-self.clocks.ahead, self.clocks.with_it)

    @property
    def is_unsteady(self) -> bool:
        """Whether a clock has jumped so lately that runs may wait to believe what lies ahead."""
        return any(runs > 0 for runs in self._unsteady.values())

    def _refuses_to_run(self) -> None:
        """A run notices that the clock is wrong by hours, and decides nothing."""
        before = self.invariants.decided()
        try:
            self.program.run(Steps())
        except WrongClock as error:
            self.said.append(str(error))
        else:
            self.invariants.fail(f"a run went on though the clock was {self.clocks.ahead} ahead")
        self.counts["runs"] += 1
        self.tell("A run says that the clock is wrong.")
        if self.invariants.decided() != before:
            self.invariants.fail("something was decided or written by a clock that was wrong")

    # -- the program ----------------------------------------------------------------------------------------

    def run(self, at: str = MAIN) -> None:
        """A run that nobody disturbs. What it finds removed it cannot believe yet: then it need not do all."""
        is_steady = self._unsteady[at] <= 0
        believes = not self.facts.is_less_than_seen and is_steady
        self._begin_run(at)
        came_through = self._run(at)
        self.facts.run(at, undisturbed=believes and came_through)
        if came_through:
            self._unsteady[at] -= 1
            if is_steady:
                self.put_back -= {uid for uid in self.put_back if self.homes[uid] == at and not self.is_refusing(uid)}
                self.invariants.after_a_run(at, self._looked_at, decided=believes)
            else:
                # What has changed may be in files that it does not read yet.
                self.invariants.after_a_run_in_doubt(at, self._looked_at, set())

    def _begin_run(self, at: str) -> None:
        self.site.clock.advance(60)
        self.tell("A run." if at == MAIN else "A run at the other site.")

    def _run(self, at: str = MAIN) -> bool:
        """Whether it came to its end: it may end with an error while a firewall is in the way."""
        # What the sender does while it is under way, the next one tells.
        self._looked_at = [each for each in self.attempts if self._is_surely_at(each.copy.place.study, at)]
        self.attempts = [each for each in self.attempts if each not in self._looked_at]
        before = set(self.invariants.sendable())
        self.counts["runs"] += 1
        try:
            with self._nobodys_business():
                self._say(self.program.run(Steps(), at).as_data())
        except ServiceError as error:
            if not self.simulator.looking_for:
                raise
            self.said.append(str(error))
            self.tell("It ends with an error.")
            self.attempts[:0] = self._looked_at
            return False
        self.invariants.nothing_new_goes_to_closed_projects(before)
        return True

    def _is_surely_at(self, uid: str, at: str) -> bool:
        return self.homes[uid] == at and not self.facts.studies[uid].moving

    def run_while_the_other_site_runs(self) -> None:
        """Between what the run reads and what it writes, one of the other site comes and goes."""
        self._between_read_and_write(lambda: self.run(NORTH), self.run)

    def run_without_an_entry(self, record: str) -> None:
        """REDCap leaves the entry out of one export."""
        if record in self.facts.entries:
            self._run_without("coupling", record, f"A run, in which REDCap leaves out entry {record}.")

    def run_without_a_rule(self, record: str) -> None:
        """REDCap leaves the rule out of one export."""
        if record in self.facts.rules:
            self._run_without("routing", record, f"A run, in which REDCap leaves out rule {record}.")

    def _run_without(self, project: str, record: str, sentence: str) -> None:
        """Not twice in succession: what two runs miss is gone."""
        if self._left_out.get((project, record)) == self.counts["runs"]:
            return
        self.site.clock.advance(60)
        self.tell(sentence)
        records = self.site.simulator.projects[project].records
        left_out = records.pop(record)
        settled = self.invariants.settled(MAIN)
        came_through = self._run()
        records[record] = left_out
        self._left_out[project, record] = self.counts["runs"]
        self.facts.run(MAIN, undisturbed=False)
        if came_through:
            self.invariants.after_a_run_in_doubt(MAIN, self._looked_at, settled)

    def run_while_an_operator_retracts(self, uid: str, project: str) -> None:
        """Between what the run reads and what it writes, an operator of another site decides."""
        if uid not in self.facts.studies:
            return

        def retract() -> None:
            self._noting_hands(uid, None, lambda: self.program.decide(uid, project))
            self.tell(f"Before it writes, an operator of another site retracts {uid} from {project}.")

        self._begin_run(MAIN)
        if self._between_read_and_write(retract, self._run):
            self.attempts[:0] = self._looked_at
        self.facts.run(MAIN, undisturbed=False)

    def run_killed(self, step: int, at: str = MAIN) -> None:
        """A run that is killed at that step, if it has so many."""
        self.site.clock.advance(60)
        steps = Steps(fatal=step)
        with self._nobodys_business(), self._disturbed(steps, "A run", at):
            self.program.run(steps, at)

    def run_cut_off(self, fault: str, at: str = MAIN) -> None:
        """One by which REDCap leaves out a record that people alone have filled is not told from a new study's."""
        if fault == A_RECORD_MISSING and any(self._is_peoples_alone(place.study) for place in self.facts.people):
            return
        self.site.clock.advance(60)
        with self._nobodys_business(), self._faulty(fault), self._disturbed(Steps(), f"A run meets {fault}", at):
            self.program.run(Steps(), at)

    def run_while_the_sender_works(self, tick: str) -> None:
        """Between what the run reads and what it writes, the sender carries out what it had read."""
        self.sender_begins()
        if self._batch is not None:
            self._between_read_and_write(lambda: self.sender_sends(tick), self.run)

    def _is_peoples_alone(self, uid: str) -> bool:
        record = self.site.incoming.records.get(uid)
        return record is not None and not record.instances.get("series")

    def _between_read_and_write(self, act: Callable[[], None], run: Callable[[], T]) -> T:
        done: list[str] = []

        def before(call: Any) -> None:
            if call.action == "import" and not done:
                done.append(call.project)
                act()

        self.site.simulator.before_call = before
        try:
            return run()
        finally:
            self.site.simulator.before_call = None

    @contextmanager
    def _disturbed(self, steps: Steps, what: str, at: str) -> Iterator[None]:
        """What is killed or cut off there; what it has done until then stands, and what recorded nothing never was."""
        what += " at the other site" * (at != MAIN)
        before = self.site.head()
        try:
            yield
            self.tell(f"{what}.")
        except Killed:
            self.counts["kills"] += 1
            self.tell(f"{what}, killed at step {steps.fatal} ({steps.names[-1]}).")
        except ServiceError as error:
            self.said.append(str(error))
            self.tell(f"{what}, and ends with an error.")
        self.counts["runs"] += 1
        if self.site.head() > before:
            self.facts.run(at, undisturbed=False)

    @contextmanager
    def _faulty(self, fault: str) -> Iterator[None]:
        for each in FAULTS[fault]:
            self.site.simulator.inject(each)
        yield
        self.site.simulator.clear_faults()
        self._refused(WHOLE_PROJECT)

    @contextmanager
    def _nobodys_business(self) -> Iterator[None]:
        """The program's work, which leaves people's rows as they are."""
        yield
        self.invariants.others_are_left_alone()

    def _say(self, told: object) -> None:
        self.said.append(repr(told))

    # -- operators ------------------------------------------------------------------------------------------

    def retracts(self, uid: str, project: str, event: str | None) -> None:
        about = f"{uid} from {project}" + ("" if event is None else f", event {event!r}")
        self._overrides(uid, project, event, None, Steps(), f"An operator retracts {about}")

    def reassigns(self, uid: str, project: str, name: str) -> None:
        self._overrides(uid, project, None, name, Steps(), f"An operator reassigns {uid} in {project} to {name}")

    def retracts_and_is_killed(self, uid: str, project: str, step: int) -> None:
        steps = Steps(fatal=step)
        self._overrides(uid, project, None, None, steps, f"An operator retracts {uid} from {project}")

    def _overrides(self, uid: str, project: str, event: str | None, name: str | None, steps: Steps, what: str) -> None:
        if uid not in self.facts.studies:
            return
        self.site.clock.advance(60)
        said: list[str] = []

        def override() -> None:
            try:
                with self._nobodys_business():
                    said.append(self.program.override(uid, project, event, name, steps))
                    self.tell(f"{what}: {said[0]}.")
            except Killed:
                self.counts["kills"] += 1
                self.tell(f"{what}, and is killed at step {steps.fatal} ({steps.names[-1]}).")
            except ServiceError as error:
                if not (self.simulator.looking_for or self.clocks.is_wrong):
                    raise
                self.said.append(str(error))
                self.tell(f"{what}: it ends with an error.")

        self._noting_hands(uid, name, override)
        if said:
            self.invariants.after_an_override(uid, project, event, name, said[0])

    def _noting_hands(self, uid: str, name: str | None, act: Callable[[], None]) -> None:
        """What an operator has decided is what was recorded of it: killed before, it was nothing."""
        before = len(self.site.events("DecidedByHand"))
        act()
        if name is not None:
            self.facts.uses[HEART, name].add(uid)
            self.facts.uses[BRAIN, name].add(uid)
        for each in self.site.events("DecidedByHand")[before:]:
            self.facts.hands.append(Hand(self.facts.tick, uid, each["project"], each["event_name"], name))

    def participant_withdraws(self, uid: str, project: str) -> None:
        """Of whom nothing may have been seen yet."""
        patient_id = PATIENTS[uid].patient_id
        self.site.clock.advance(60)
        with self._nobodys_business():
            self.program.withdraw(patient_id, project, Steps())
        self.facts.withdrawn[patient_id, project] = self.facts.tick
        self.tell(f"The patient of {uid}, {patient_id}, withdraws from {project}.")

    def says_it_is_the_same_patient(self, uid: str, project: str) -> None:
        if uid in self.facts.studies and self.program.join(uid, project):
            self.facts.joined.add(project)
            self.tell(f"An operator says that the patient of {uid} is the one who has its pseudonym in {project}.")

    def acknowledges(self, choice: int) -> None:
        shown = [each for each in self.program.shown() if each.study is not None]
        if shown and self.program.acknowledge((chosen := shown[choice % len(shown)]).position):
            self._note_acknowledged(chosen)
            self.tell(f"An operator acknowledges {chosen.kind!r} of {chosen.study}.")

    def _note_acknowledged(self, chosen: Shown) -> None:
        assert chosen.study is not None
        self.acknowledged.add((chosen.study, chosen.project))

    def replays(self, project: str) -> None:
        self.site.clock.advance(60)
        with self._nobodys_business():
            known = self.program.replay(project, Steps())
        if known:
            self.facts.run(MAIN, undisturbed=False)
            self.facts.ask_again(MAIN, project)
            self.tell(f"An operator replays {project}.")

    def reconciles_and_restores(self) -> None:
        self.site.clock.advance(60)
        with self._nobodys_business():
            self.program.restore(Steps())
        self.tell("An operator reconciles, and has what is gone written again.")

    def reconciles_and_accepts(self) -> None:
        self.site.clock.advance(60)
        with self._nobodys_business():
            studies = self.program.accept(Steps())
        self.acknowledged |= {(study, None) for study in studies}
        self.tell("An operator reconciles, and accepts what REDCap says.")


def _named(key: Key) -> str:
    return f"{key.project} ({key.event})" if key.event else key.project


def _copied(taken: Taken) -> str:
    return (
        f"{taken.study} as {taken.name} to {_named(Key(taken.project, taken.event_name))} (instance {taken.instance})"
    )


def _says(row: dict[str, str], copy: Copy) -> bool:
    asked = (row.get("transfer_project_name", ""), row.get("transfer_event_name", ""), row.get("transfer_name", ""))
    return asked == (*copy.key, copy.name)


@contextmanager
def world(
    ground: Ground, key_file: Path, folder: Path, *, has_folders: bool = False, north: Collection[str] = ()
) -> Iterator[World]:
    """A new world, on a database as new. The studies in `north` arrive at the other site."""
    ground.clear()
    folder.mkdir()
    clocks = Clocks(SettableClock())
    simulator = Guarded(standard_projects())
    simulator.settings = replace(simulator.settings, clock=clocks.right)
    site = Site(folder=folder, database_url=ground.url, key_file=key_file, clock=clocks.machine, simulator=simulator)
    site._database = ground.database
    receivers = {MAIN: site.receiver, NORTH: Receiver(folder / "north", clocks.machine)}
    homes = {uid: NORTH if uid in north else MAIN for uid in PATIENTS}
    # One sender for both: each of two would fail with the studies of the other.
    reachable = folder / "both"
    reachable.mkdir()
    for uid, home in homes.items():
        (reachable / uid).symlink_to(receivers[home].raw / uid)
    folders = {name: folder / name for name in ("queue", "done", "fail", "withdrawn")}
    folders["withdrawn"].mkdir()
    sender = Sender(
        transfers=site.transfer_project,
        raw=reachable,
        clock=clocks.machine,
        **{name: path for name, path in folders.items() if name != "withdrawn"},  # type: ignore[arg-type]
    )
    section = SenderSection.model_validate(folders if has_folders else {})
    program = Program(ground, site, key_file, section, clocks, receivers)
    yield World(ground, site, program, sender, clocks, simulator, homes)
    shutil.rmtree(folder)

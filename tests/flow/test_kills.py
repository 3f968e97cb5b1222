"""A whole run is killed at every step; the next one ends in the state of a run that nobody disturbed.

Both halves of the job, from reading summaries to placing the transfers of drawn IDs. Between two steps
nothing is seen from outside, and a commit that has nothing to write makes no difference: the run killed
there leaves what it left before. Such commits are left out.

What a kill at each step leaves is noted while one run goes through all of them, and each state that was
seen is completed by a run. That a process which is killed leaves what was noted is tried at some steps, and
while REDCap carries imports out: what the next run makes of it was tried then.
"""

import signal
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

import pytest

from processors.demo.simulator.calls import Call
from tests.autoid.sites import AutoidSite
from tests.conftest import Server
from tests.flow import child, table
from tests.flow.crashes import (
    SAME,
    TEACHING,
    Left,
    Prepared,
    Undisturbed,
    comparable,
    completed,
    named,
    prepared_site,
    restored,
    state_of,
    swept,
)

SCENARIOS = ("together", "apart")
"""Where transfers stand: in Incoming, or in a project of their own."""
STRETCHES = 3
"""In how many tests a scenario's steps are done, so that workers can share them."""
EVERY = 20
"""A process is killed at every so many-th step."""


class Scene(NamedTuple):
    """A scenario with its prepared site."""

    name: str
    prepared: Prepared
    undisturbed: Undisturbed

    @property
    def steps(self) -> list[int]:
        """The numbers (from 1) of the steps at which a kill can make a difference.

        Where transfers stand apart, all but the deliveries is left out, which differs in nothing.
        """
        phase = "Writing" if self.prepared.separate_transfers else ""
        return [number for number in self.undisturbed.left if self.undisturbed.steps[number - 1].startswith(phase)]

    @property
    def alike(self) -> list[list[int]]:
        """The same, those together that leave the same."""
        groups: list[list[int]] = []
        for number in self.steps:
            if groups and self.undisturbed.left[number] == self.undisturbed.left[groups[-1][0]]:
                groups[-1].append(number)
            else:
                groups.append([number])
        return groups


@pytest.fixture(scope="module", params=SCENARIOS)
def scene(
    request: pytest.FixtureRequest, server: Server, migrated: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    template, key_file = migrated
    folder = tmp_path_factory.mktemp("kills")
    separate = request.param == "apart"
    with prepared_site(server, template, key_file, folder, separate_transfers=separate) as prepared:
        yield Scene(request.param, prepared, swept(prepared))


def test_the_run_that_is_killed_does_a_bit_of_everything(scene: Scene) -> None:
    undisturbed = scene.undisturbed
    states = {(row[0], row[5]) for row in undisturbed.end["transfer"]}
    assert {("1.2.1", "placed"), ("1.2.2", "withdrawn"), ("1.2.3", "closed"), ("1.2.4", "contested")} <= states
    assert {("2.2", "placed"), ("2.3", "placed"), ("2.5", "placed")} <= states
    assert {row[0] for row in undisturbed.end["notice"]} == {
        "replaced after it was sent",
        "one patient, two pseudonyms",
        "pattern matched the start only",
    }
    assert [row[3] for row in undisturbed.end["conflict"]] == ["person"]
    assert undisturbed.end["missing_row"] == [("1.2.6", "study", "")]
    assert len(undisturbed.end["rejected_file"]) == 1
    assert [row[:2] for row in undisturbed.end["held_study"]] == [("2.4", TEACHING)]
    assert sorted(undisturbed.end["autoid"]) == ["1", "2", "3"]
    transfers = "transfers" if scene.prepared.separate_transfers else "incoming"
    assert {"import of record incoming", "import of record autoid"} <= set(undisturbed.calls)
    assert undisturbed.calls.count(f"import of record {transfers}") > 1


@pytest.mark.parametrize("stretch", range(STRETCHES))
def test_killed_at_any_step_the_next_run_ends_in_the_same_state(scene: Scene, stretch: int) -> None:
    names = named(scene.undisturbed)
    different = []
    for place, numbers in list(enumerate(scene.alike))[stretch::STRETCHES]:
        with restored(scene.prepared, scene.undisturbed.left[numbers[0]]) as site:
            outcome = completed(site, scene.undisturbed, place)
        for number in numbers:
            table.CASES.append((f"{scene.name}, step {number:3}", names[number - 1], outcome))
            if outcome != SAME:
                different.append((number, names[number - 1], outcome))
    assert different == []


def test_a_process_that_is_killed_leaves_what_was_seen(scene: Scene) -> None:
    for number in scene.steps[::EVERY]:
        with restored(scene.prepared) as site:
            site.clock.advance(60)
            process = child.start(site.machine, fatal=number)
            process.join(60)
            assert process.exitcode == -signal.SIGKILL
            assert comparable(what_is_left(scene, site)) == comparable(scene.undisturbed.left[number]), number


def what_is_left(scene: Scene, site: AutoidSite) -> Left:
    redcap = state_of(site.simulator.projects.values(), scene.prepared.folder)
    return Left(scene.prepared.server.contents(site.database_name), redcap)


def test_killed_while_redcap_carries_an_import_out_it_leaves_what_was_seen_before_the_result_is_recorded(
    scene: Scene,
) -> None:
    at_calls = [number for number, name in enumerate(scene.undisturbed.steps, 1) if name.endswith("a call")]
    for number, name in enumerate(scene.undisturbed.calls):
        if not name.startswith("import"):
            continue
        with restored(scene.prepared) as site:
            site.clock.advance(60)
            hold = child.Hold()
            process = child.start(site.machine, hold=hold)
            killer = Killer(site, number, process)
            site.simulator.before_call = killer
            hold.release()
            process.join(60)
            assert process.exitcode == -signal.SIGKILL
            killer.await_end_of_call()
            site.simulator.before_call = None
            after = min(step for step in scene.undisturbed.left if step > at_calls[number])
            assert comparable(what_is_left(scene, site)) == comparable(scene.undisturbed.left[after]), name


def test_calls_that_only_read_leave_redcap_as_it_was(scene: Scene) -> None:
    """So that a run killed during one of them leaves what it leaves when it is killed before it."""
    states = [left.redcap for left in scene.undisturbed.left.values()]
    at_calls = [
        place
        for place, number in enumerate(scene.undisturbed.left)
        if scene.undisturbed.steps[number - 1].endswith("a call")
    ]
    for place, call in zip(at_calls, scene.undisturbed.calls, strict=True):
        after = states[min(place + 1, len(states) - 1)]
        assert (after == states[place]) is not call.startswith("import"), call


class Killer:
    """Kills a child when its call of that number (from 0) has reached REDCap, which carries it out."""

    def __init__(self, site: AutoidSite, number: int, process: ForkServerProcess) -> None:
        self._site = site
        self._number = number
        self._process = process

    def __call__(self, _call: Call) -> None:
        if len(self._site.calls) == self._number:
            # It waits for the answer, and never sees it.
            self._process.kill()

    def await_end_of_call(self) -> None:
        """Waits until REDCap has dealt with the call."""
        deadline = time.monotonic() + 10
        while len(self._site.calls) <= self._number:
            assert time.monotonic() < deadline
            time.sleep(0.002)

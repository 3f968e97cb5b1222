"""Random histories: what may happen, and how one is lived through."""

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.flow.harness import BRAIN, HEART
from tests.lifecycle.facts import UNFIT, Key, Rule, Words
from tests.lifecycle.ground import Ground
from tests.lifecycle.program import MAIN, NORTH
from tests.lifecycle.world import FAULTS, SECRETS, SUBJECTS, World, world

Step = tuple[Any, ...]
Steps = st.SearchStrategy[Step]

# Little to choose from, so that people, rules, entries and operators meet on the same ground again and again.
studies = st.sampled_from(["1.2.1", "1.2.1", "1.2.1", "1.2.2"])
projects = st.sampled_from([HEART, HEART, HEART, BRAIN])
keys = st.sampled_from([*[Key(HEART, "")] * 5, Key(HEART, "v1"), Key(BRAIN, "")])
subjects = st.sampled_from(SUBJECTS)
targets = st.sampled_from(
    [{"accession": "ACC-1"}, {"accession": "ACC-1"}, {"study": "1.2.1"}, {"accession": "ACC-2"}, {"accession": "ACC-9"}]
)
entry_subjects = st.sampled_from([*SUBJECTS * 4, UNFIT])
words = st.builds(lambda key, subject, target: Words(key, subject, **target), keys, entry_subjects, targets)
rules = st.builds(Rule, keys, by_name=st.booleans(), active=st.sampled_from([True, True, True, False]))
records = st.sampled_from(["1", "1", "2"])
choices = st.integers(0, 5)
sites = st.sampled_from([MAIN, MAIN, NORTH])
at_the_other_site = st.sampled_from([(), (), ("1.2.2",), ("1.2.1",)])
jumps = st.sampled_from([1, -1]).flatmap(
    lambda side: st.sampled_from(
        [timedelta(minutes=40), timedelta(minutes=40), timedelta(hours=3), timedelta(days=2), timedelta(days=365)]
    ).map(lambda by: side * by)
)
ticks = st.sampled_from(["", "", "", "3", "2", "1"])


def steps(verb: str, *arguments: st.SearchStrategy[Any]) -> Steps:
    return st.tuples(st.just(verb), *arguments)


ARRIVALS = [
    steps("arrives", studies, st.integers(1, 3)),
    steps("arrives", studies, st.integers(1, 3)),
    steps("grows", studies),
    steps("is resent without accession", studies),
    steps("vanishes", studies),
    steps("returns", studies),
    steps("moves", studies),
]
DIRECTIVES = [
    *[steps("entry", records, words)] * 4,
    steps("entry removed", records),
    steps("entry returns", records),
    steps("entry gets another date", records),
    *[steps("rule", records, rules)] * 2,
    steps("rule removed", records),
    steps("project closes", projects),
    *[steps("project opens", projects)] * 2,
]
PEOPLE = [
    steps("person requests", studies, keys, subjects),
    steps("person edits", studies, choices, subjects),
    steps("person deletes", studies, choices),
    steps("person deletes record", studies),
    steps("person restores"),
    steps("person undoes the edit"),
    steps("person locks", studies),
    steps("person unlocks", studies),
]
REFUSALS = [
    steps("person moves the project to analysis"),
    *[steps("person moves the project back")] * 2,
    steps("firewall stops", subjects),
    *[steps("firewall lets all through")] * 2,
]
SENDER = [
    *[steps("sender looks")] * 3,
    steps("sender begins"),
    *[steps("sender sends", ticks)] * 3,
]
OPERATORS = [
    *[steps("retracts", studies, projects, st.sampled_from([None, None, "", "v1"]))] * 2,
    steps("reassigns", studies, projects, subjects),
    steps("retracts and is killed", studies, projects, st.integers(1, 25)),
    *[steps("acknowledges", choices)] * 2,
    steps("participant withdraws", studies, projects),
    steps("says it is the same patient", studies, projects),
    steps("replays", projects),
    steps("reconciles and restores"),
    steps("reconciles and accepts"),
]
TIME = [
    *[steps("time passes", st.sampled_from([1, 2, 70, 1_500, 21_600]))] * 2,
    steps("clock jumps", jumps, st.sampled_from(["", "PostgreSQL"])),
    steps("clock is set right"),
]
RUNS = [
    *[steps("run", sites)] * 5,
    steps("run killed", st.integers(5, 80), sites),
    *[steps("run cut off", st.sampled_from(sorted(FAULTS)), sites)] * 2,
    steps("run while the other site runs"),
    steps("run while the sender works", ticks),
    steps("run while an operator retracts", studies, projects),
]
DOUBT = [steps("run without an entry", records), steps("run without a rule", records)]
STATEMENTS = [
    steps(
        "says something else",
        studies,
        st.sampled_from(
            [
                {"patient_id": "PATID-0003"},
                {"patient_id": "OTHER-0003"},
                {"patient_name": "Secretive^Cora"},
                {"accession": "ACC-2"},
                {"accession": "ACC-1"},
                {"called": "ELSEWHERE"},
                {"called": "FIONA"},
            ]
        ),
    ),
    steps("gets a stray series", studies),
]
VOCABULARY = [ARRIVALS, DIRECTIVES, DIRECTIVES, DOUBT, STATEMENTS, PEOPLE, REFUSALS, SENDER, SENDER, OPERATORS, TIME]
_KEY = Key(HEART, "")
START: list[list[Step]] = [
    [("entry", "1", Words(_KEY, "SUBJ-X1", "ACC-1")), ("arrives", "1.2.1", 1), ("run",)],
    [("entry", "1", Words(_KEY, "SUBJ-X1", study="1.2.1")), ("arrives", "1.2.1", 1), ("run",)],
    [("rule", "1", Rule(_KEY)), ("arrives", "1.2.1", 1), ("run",)],
    [("arrives", "1.2.1", 1)],
]


def _any_of(kinds: list[list[Steps]]) -> Steps:
    """Of each kind the same share, whatever the number of its verbs."""
    return st.sampled_from(kinds).flatmap(st.sampled_from).flatmap(lambda chosen: chosen)


def histories(vocabulary: list[list[Steps]]) -> st.SearchStrategy[list[Step]]:
    """Some things happen, then there is a run, and so on."""
    happenings = st.lists(_any_of(vocabulary), min_size=1, max_size=3)
    days = st.lists(st.tuples(happenings, _any_of([RUNS])), min_size=2, max_size=7)
    return st.tuples(st.sampled_from(START), days).map(
        lambda told: told[0] + [step for day, run in told[1] for step in [*day, run]]
    )


def live(around: World, history: list[Step]) -> None:
    """Lives through it, and looks at the end whether all is well."""
    for step in [*history, ("clock is set right",)]:
        around.do(step)
    # What is missing is believed by the second, and a file that lay ahead of a clock is read by it.
    for _ in range(3 if around.is_unsteady else 2):
        for site in around.sites:
            around.do(("run", site))
    around.counts["histories"] += 1
    around.invariants.at_the_end([*SECRETS, *around.site.tokens.values()])


def live_through(
    ground: Ground, key_file: Path, folder: Path, *, number: int, first_seed: int, figures: Counter[str]
) -> None:
    """So many histories, always the same for a seed. Raises the first `Violation`, shrunk, with its story.

    `figures` are counted on, those of shrinking with them.
    """
    numbers = count()

    @seed(first_seed)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    @given(history=histories(VOCABULARY), has_folders=st.booleans(), north=at_the_other_site)
    def lived(*, history: list[Step], has_folders: bool, north: Collection[str]) -> None:
        place = folder / f"{first_seed}-{next(numbers)}"
        with world(ground, key_file, place, has_folders=has_folders, north=north) as around:
            try:
                live(around, history)
            finally:
                figures.update(around.counts)

    lived()

"""Property: whatever people couple and correct, no two patients can ever be sent under one pseudonym of a project."""

from collections import defaultdict
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.errors import ConfigurationError
from tests.flow.harness import BRAIN, HEART, Site
from tests.operations.operator import join_patients

PATIENTS = ("PID-1", "PID-2", "PID-2 ")
SUBJECTS = ("S-1", "s-1", "S-2")

studies = st.integers(0, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("couple"), studies, st.sampled_from(SUBJECTS), st.sampled_from([HEART, BRAIN])),
        st.tuples(st.just("arrive"), studies, st.sampled_from(PATIENTS), st.none()),
        st.tuples(st.just("run"), st.none(), st.none(), st.none()),
        st.tuples(st.just("send"), studies, st.none(), st.none()),
        st.tuples(st.just("join"), studies, st.none(), st.none()),
    ),
    max_size=8,
)


class People:
    """Who is who, and what was asked for whose study, as people know it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.patients: dict[str, str] = {}
        self.subjects: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.are_one = False

    def person(self, study: str, project: str) -> str:
        """Whose study it is: for the Heart Study, both patients may be one person."""
        return "anybody" if self.are_one and project == HEART else self.patients[study].strip()

    def join(self, study: str) -> None:
        """An operator says that the study's patient is the other one, where they share a pseudonym."""
        self.site.run()
        with suppress(ConfigurationError):
            join_patients(self.site, study)
            self.are_one = True

    def send(self, study: str) -> None:
        """The sender carries out what is asked for the study."""
        for instance, asked in self.site.transfers(study).items():
            if asked.name and not asked.sent:
                self.site.sender_sends(study, instance)

    def by_name(self) -> dict[tuple[str, str], set[str]]:
        """The persons who can be sent under each pseudonym of each project; what was sent is sent."""
        persons: dict[tuple[str, str], set[str]] = defaultdict(set)
        for study in self.patients:
            for asked in self.site.transfers(study).values():
                if asked.name and not asked.sent:
                    persons[asked.project, asked.name.casefold()].add(self.person(study, asked.project))
        return persons


@settings(max_examples=8)
@given(steps=steps)
def test_no_two_patients_share_a_sendable_pseudonym_and_nothing_is_held_that_need_not_be(
    site: Site, steps: list[tuple[str, int, str, str]]
) -> None:
    people = People(site)
    example = len(site.query("select study from gateway.study"))
    for what, number, value, project in [*steps, ("run", 0, "", ""), ("run", 0, "", "")]:
        study = f"1.{example}.{number}"
        if what == "arrive":
            people.patients[study] = f"{example} {value}"
            site.series(study, PatientID=people.patients[study])
        elif what == "couple":
            people.subjects[study].add((project, f"{value}-{example}".casefold()))
            site.entry(study, study=study, subject=f"{value}-{example}", project=project)
        elif what == "send":
            people.send(study)
        elif what == "join" and study in people.patients:
            people.join(study)
        else:
            site.run()
            assert all(len(persons) < 2 for persons in people.by_name().values())
    for study, project, others in site.query("select study, project, studies from gateway.held_request"):
        if study not in people.patients:
            continue
        assert others
        for other in others:
            assert people.person(study, project) != people.person(other, project)
            assert people.subjects[study] & people.subjects[other], "expected both to have been asked for under one"


ONE_TO_PEOPLE = {
    "Latin": ("Ab-1", "aB-1"),
    "full width": ("H-001", "Ｈ－００１"),
    "zero width": ("H-002", "H\u200b-0\u200d02\ufeff"),
    "soft hyphen": ("H-003", "H-0\u00ad03"),
    "hyphens": ("H-004", "H\u2010004"),
    "ligature": ("ﬁ-5", "FI-5"),
    "Greek": ("ΣΟΦ-6", "σοφ-6"),
    "Cyrillic": ("ЖИ-7", "жи-7"),
    "Armenian": ("ԱԲ-8", "աբ-8"),
    "Georgian": ("ᲐᲑ-9", "აბ-9"),
    "Vietnamese": ("Ạ-10", "a\u0323-10"),
    "Hangul": ("각-11", "\u1100\u1161\u11a8-11"),
    "Katakana": ("ガ-12", "ｶﾞ-12"),
    "Arabic": ("\ufefb-13", "\u0644\u0627-13"),
    "Hebrew": ("\ufb2a-14", "\u05e9\u05c1-14"),
    "Devanagari": ("\u0958-15", "\u0915\u093c-15"),
    "Bengali": ("\u09dc-16", "\u09a1\u09bc-16"),
    "Tibetan": ("\u0f43-17", "\u0f42\u0fb7-17"),
}
TWO_TO_PEOPLE = (
    "Ω-1",
    "Ж-1",
    "Ա-1",
    "ა-1",
    "각-1",
    "ガ-1",
    "ا-1",
    "ש-1",
    "क-1",
    "ক-1",
    "ག-1",
    "ไ-1",
    "漢-1",
    "አ-1",
    "ᐁ-1",
)


@pytest.fixture
def hostile(site: Site) -> Site:
    """A site at which two patients are asked for under each of the pseudonyms above, and one under each other."""
    for number, names in enumerate([*ONE_TO_PEOPLE.values(), *[(name,) for name in TWO_TO_PEOPLE]]):
        for place, name in enumerate(names):
            study = f"1.{number}.{place}"
            site.series(study, PatientID=f"PID {number} {place}")
            site.entry(study, study=study, subject=name)
    site.entry("long", study="1.0.0", subject="H" * 4_000, project=BRAIN)
    site.run()
    return site


def test_pseudonyms_that_people_take_for_one_are_one_in_every_script_and_no_others(hostile: Site) -> None:
    held = {study for (study,) in hostile.query("select study from gateway.held_request")}
    assert held == {f"1.{number}.{place}" for number in range(len(ONE_TO_PEOPLE)) for place in (0, 1)}
    assert hostile.attention() == {"two patients, one pseudonym": len(held), "unusable coupling entry": 1}
    hostile.assert_sound()

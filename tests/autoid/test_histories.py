"""Whatever happens in whatever order: no ID twice, no patient with two, and a rebuild gives the same rows."""

from collections import defaultdict
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.autoid.sites import AutoidSite, key_of


class Happens(NamedTuple):
    """One thing that happens to one of two projects, with a number that tells the details."""

    what: str
    project: int
    number: int


WHAT = ["arrive", "arrive", "arrive", "anonymous", "pattern", "switch", "title", "give", "take", "request", "couple",
        "fail", "grow", "wait", "leave"]  # fmt: skip
HAPPENS = st.builds(Happens, st.sampled_from(WHAT), st.integers(0, 1), st.integers(0, 5))
SIZES = ["[1-2]", "[1-4]", "[0-9]*", "[0-9]{3}", "(1|)", "[0-9]"]
FAULTS = [
    Fault(kind="status", project="autoid", action="import"),
    Fault(kind="reset", project="autoid", action="import", after_commit=True),
    Fault(kind="status", project="incoming", action="export", nth=2, times=4),
    Fault(kind="half_import", project="autoid", action="import"),
    Fault(kind="status", project="incoming", action="import", nth=2),
    Fault(kind="truncated_json", project="projects", times=4),
]


class Story:
    """One example, with projects, patients and studies of its own on a site that all examples share."""

    examples = 0

    def __init__(self, site: AutoidSite) -> None:
        Story.examples += 1
        self.site = site
        self.name = f"S{Story.examples}"
        self.studies: list[tuple[str, int, str]] = []
        self.given: list[str] = []
        self.use = [True, True]
        self.size = ["[1-4]", "[1-4]"]
        self.titles = [0, 1]
        for project in (0, 1):
            self.set_project(project)

    def project(self, number: int) -> str:
        return f"{self.name} project {number}"

    def set_project(self, number: int) -> None:
        self.site.project(
            f"{2 * Story.examples + number}",
            name=self.project(number),
            pattern=f"{self.name}-{number}-{self.size[number]}",
            aetitle=f"{self.name}-{self.titles[number]}",
            use=self.use[number],
        )

    def happen(self, event: Happens) -> None:
        getattr(self, event.what)(event.project, event.number)

    def arrive(self, project: int, number: int, patient: str | None = None) -> None:
        study = f"1.{Story.examples}.{len(self.studies)}"
        patient = f"{self.name} patient {number}" if patient is None else patient
        self.studies.append((study, project, patient))
        self.site.study(study, patient, called=f"{self.name}-{project}")

    def anonymous(self, project: int, number: int) -> None:
        self.arrive(project, number, patient=" " * number)

    def pattern(self, project: int, number: int) -> None:
        self.size[project] = SIZES[number]
        self.set_project(project)

    def switch(self, project: int, number: int) -> None:  # noqa: ARG002 - all take both
        self.use[project] = not self.use[project]
        self.set_project(project)

    def title(self, project: int, number: int) -> None:
        self.titles[project] = number % 2
        self.set_project(project)

    def give(self, project: int, number: int) -> None:
        """Another program, or a person, writes AutoID: rightly or wrongly."""
        record = str(10_000 + 100 * Story.examples + len(self.given))
        self.given.append(record)
        value = f"{self.name}-{project}-{1 + number % 3}"
        self.site.give(record, f"{self.name} patient {number // 2}", value, project=self.project(project))

    def take(self, project: int, number: int) -> None:  # noqa: ARG002 - all take both
        """Somebody corrects AutoID."""
        standing = [record for record in self.given if record in self.site.autoid.records]
        if standing:
            self.site.autoid.delete(standing[number % len(standing)])

    def request(self, project: int, number: int) -> None:
        name = f"{self.name}-{project}-{1 + number % 4}"
        self.site.person_requests(f"8.{Story.examples}.{number}", self.project(project), name)

    def couple(self, project: int, number: int) -> None:
        """A person couples one of the studies by hand."""
        if self.studies:
            study = self.studies[number % len(self.studies)][0]
            record = str(100 * Story.examples + number)
            name = f"{self.name}-{project}-{1 + number % 4}"
            self.site.entry(record, study=study, project=self.project(project), subject=name)

    def fail(self, project: int, number: int) -> None:  # noqa: ARG002 - all take both
        self.site.simulator.inject(FAULTS[number])

    def grow(self, project: int, number: int) -> None:  # noqa: ARG002 - all take both
        if self.studies:
            self.site.grow(self.studies[number % len(self.studies)][0])

    def leave(self, project: int, number: int) -> None:  # noqa: ARG002 - all take both
        """One of the studies leaves the disk, or comes back to it."""
        if self.studies:
            study = self.studies[number % len(self.studies)][0]
            there = (self.site.receiver.raw / study).exists()
            (self.site.vanish if there else self.site.come_back)(study)

    def wait(self, project: int, number: int) -> None:  # noqa: ARG002 - all take both
        self.site.clock.advance(60 * 7 * number)

    def run(self) -> None:
        try:
            self.site.run()
        except ServiceError:
            self.site.simulator.clear_faults()

    def assert_right(self) -> None:
        """Of requests that we made for generated IDs: one ID a patient and project, and nobody else's."""
        names: dict[tuple[str, str], set[str]] = defaultdict(set)
        owners: dict[tuple[str, str], set[str]] = defaultdict(set)
        causes = self.site.query("select study, project from gateway.transfer where cause_kind = 'autoid'")
        patients = {study: patient for study, _, patient in self.studies}
        for study, project in causes:
            if study not in patients:
                continue
            mine = [asked.name for asked in self.site.transfers(study).values() if asked.project == project]
            names[project, patients[study]].update(mine)
            for name in mine:
                owners[project, name].add(patients[study])
        assert all(len(found) <= 1 for found in names.values())
        assert all(len(found) == 1 for found in owners.values())
        assert all(patient.strip() for _, patient in names)
        doubled = """
            select project, fingerprint from gateway.used_id where kind = 'generated'
            intersect select data ->> 'project', data ->> 'fingerprint' from ledger.event where type = 'IdAdopted'
        """
        assert self.site.query(doubled) == []
        for project in (0, 1):
            mine_too = [row for row in self.site.autoid_rows().items() if row[0] not in self.given]
            keys = [row.key for _, row in mine_too if row.project == self.project(project)]
            assert len(keys) == len(set(keys))
            assert key_of("") not in keys

    def end(self) -> None:
        for project in (0, 1):
            self.site.remove_project(f"{2 * Story.examples + project}")
        for record in [str(100 * Story.examples + number) for number in range(6)]:
            if record in self.site.simulator.projects["coupling"].records:
                self.site.remove_entry(record)


@settings(max_examples=8)
@given(history=st.lists(st.tuples(HAPPENS, st.booleans()), min_size=3, max_size=14))
def test_no_history_ends_with_an_id_twice_or_rows_that_a_rebuild_would_not_give(
    site: AutoidSite, history: list[tuple[Happens, bool]]
) -> None:
    story = Story(site)
    for event, then_run in history:
        story.happen(event)
        if then_run:
            story.run()
    site.simulator.clear_faults()
    site.run()
    story.assert_right()
    site.assert_sound()
    story.end()

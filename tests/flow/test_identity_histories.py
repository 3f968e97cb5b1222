"""Property: whatever people couple and correct, no two patients can ever be sent under one pseudonym of a project."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Site

PATIENTS = ("PID-1", "PID-2", "PID-2 ")
SUBJECTS = ("S-1", "s-1", "S-2")

studies = st.integers(0, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("couple"), studies, st.sampled_from(SUBJECTS), st.sampled_from([HEART, BRAIN])),
        st.tuples(st.just("arrive"), studies, st.sampled_from(PATIENTS), st.none()),
        st.tuples(st.just("run"), st.none(), st.none(), st.none()),
    ),
    max_size=10,
)


def patients_by_name(site: Site, known: dict[str, str]) -> dict[tuple[str, str], set[str]]:
    """The patients who can be sent under each pseudonym of each project, as people read both."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for study, patient in known.items():
        for asked in site.transfers(study).values():
            if asked.name:
                found[asked.project, asked.name.casefold()].add(patient.strip())
    return found


@settings(max_examples=12)
@given(steps=steps)
def test_no_two_patients_share_a_sendable_pseudonym_and_nothing_is_held_that_need_not_be(
    make_site: MakeSite, steps: list[tuple[str, int, str, str]]
) -> None:
    site, known = make_site(), {}
    example = len(site.query("select study from gateway.study"))
    for what, number, value, project in [*steps, ("run", 0, "", ""), ("run", 0, "", "")]:
        study = f"1.{example}.{number}"
        if what == "arrive":
            known[study] = value
            site.series(study, PatientID=value)
        elif what == "couple":
            site.entry(study, study=study, subject=f"{value}-{example}", project=project)
        else:
            site.run()
            assert all(len(patients) < 2 for patients in patients_by_name(site, known).values())
    for study, others in site.query("select study, studies from gateway.held_request"):
        assert {known[study].strip()} != {known[other].strip() for other in others}

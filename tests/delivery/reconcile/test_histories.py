"""Whatever has happened, right after a run nothing differs but what somebody deleted or changed."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.delivery.reconcile import compare
from tests.delivery.reconcile.conftest import Reconciler
from tests.flow.harness import BRAIN, HEART, Site

STUDIES = ("1.2.1", "1.2.2", "1.2.3")
Happening = Callable[[Site], object]

studies = st.sampled_from(STUDIES)
subjects = st.sampled_from(("S-1", "S-2"))
projects = st.sampled_from((HEART, BRAIN))
happenings = st.one_of(
    st.builds(lambda s, n: lambda site: site.series(s, f"{s}.{n}", AccessionNumber=s), studies, st.integers(1, 2)),
    st.builds(lambda s: lambda site: site.grow(s, f"{s}.1"), studies),
    st.builds(
        lambda s, p, name: lambda site: site.entry(s[-1], accession=s, project=p, subject=name),
        studies,
        projects,
        subjects,
    ),
    st.builds(lambda s, p, name: lambda site: site.person_requests(s, p, name), studies, projects, subjects),
    st.builds(lambda s, n: lambda site: site.sender_sends(s, n), studies, st.integers(1, 2)),
)


@pytest.fixture
def lived(site: Site) -> Site:
    """Each study has arrived, and a rule directs them."""
    site.rule(patient_id="PID-1")
    for study in STUDIES:
        site.series(study, f"{study}.1", AccessionNumber=study)
    site.run()
    return site


@settings(max_examples=12)
@given(st.lists(happenings, min_size=1, max_size=5))
def test_right_after_a_run_nothing_differs(lived: Site, reconciler: Reconciler, happened: list[Happening]) -> None:
    for happening in happened:
        happening(lived)
    lived.run()
    assert reconciler.told() == []


def test_studies_are_compared_in_batches(site: Site, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "BATCH", 20)
    for number in range(41):
        site.series(f"1.2.{number}")
    site.run()
    site.person_deletes("1.2.7")
    site.simulator.calls.clear()
    found = reconciler.found()
    assert (found.studies, [different.study for different in found.differences]) == (41, ["1.2.7"])
    exports = [call.records for call in site.calls if call.content == "record"]
    assert exports == [20, 19, 1, 40]  # three batches, and the list of all records

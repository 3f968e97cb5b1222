"""Whatever happened before and whoever is forgotten: nothing of them is left, and the ledger holds."""

from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.errors import ConfigurationError
from tests.autoid.sites import AETITLE, key_of
from tests.flow.harness import BRAIN, HEART
from tests.forget.conftest import NewSite
from tests.forget.sites import PrivateSite, traces

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENTS = 3
STUDIES = 5

patients = st.integers(0, PATIENTS - 1)
studies = st.integers(0, STUDIES - 1)

steps = st.one_of(
    st.tuples(st.just("arrive"), studies, patients),
    st.tuples(st.just("arrive"), studies, patients),
    st.tuples(st.just("come with another series"), studies, patients),
    st.tuples(st.just("couple"), studies, patients),
    st.tuples(st.just("run"), studies, patients),
    st.tuples(st.just("be killed"), studies, patients),
    st.tuples(st.just("forget the patient"), studies, patients),
    st.tuples(st.just("forget the study"), studies, patients),
    st.tuples(st.just("forget the project"), studies, patients),
    st.tuples(st.just("delete from AutoID"), studies, patients),
    st.tuples(st.just("rekey"), studies, patients),
)


def name_of(patient: int) -> str:
    return f"Name{patient}^Unmistakable"


def id_of(patient: int) -> str:
    return f"PID-{patient}-UNMISTAKABLE"


class History:
    """Does what a list of steps says, and looks after each forgetting that nothing is left."""

    def __init__(self, site: PrivateSite) -> None:
        self.site = site
        self.forgotten = 0
        self._patients_of: dict[str, set[int]] = defaultdict(set)
        self._pseudonyms: dict[str, set[str]] = defaultdict(set)
        self._entries = 0
        self._acts: dict[str, Callable[[int, int], None]] = {
            "arrive": self.arrive,
            "come with another series": self.add_series,
            "couple": self.couple,
            "run": lambda _study, _patient: self.run(),
            "be killed": lambda study, _patient: self.be_killed(study),
            "forget the patient": lambda _study, patient: self.forget_patient(patient),
            "forget the study": lambda study, _patient: self.forget_study(f"1.{study}"),
            "forget the project": lambda _study, _patient: self.forget_project(),
            "delete from AutoID": lambda _study, patient: self.delete_from_autoid(patient),
            "rekey": lambda _study, _patient: self.rekey(),
        }

    def act(self, name: str, study: int, patient: int) -> None:
        self._acts[name](study, patient)

    def arrive(self, study: int, patient: int) -> None:
        self._series(f"1.{study}", f"1.{study}.1", patient)

    def add_series(self, study: int, patient: int) -> None:
        self._series(f"1.{study}", f"1.{study}.{2 + patient}", patient)

    def _series(self, study: str, series: str, patient: int) -> None:
        self._patients_of[study].add(patient)
        called = AETITLE if study in ("1.0", "1.1") else "FIONA"
        self.site.series(
            study,
            series,
            called=called,
            PatientID=id_of(patient),
            PatientName=name_of(patient),
            AccessionNumber=f"ACC-{study}",
        )

    def couple(self, study: int, patient: int) -> None:
        self._entries += 1
        pseudonym = f"PSEUDONYM-{self._entries}-END"
        self._pseudonyms[f"1.{study}"].add(pseudonym)
        by = {"accession": f"ACC-1.{study}"} if patient % 2 else {"study": f"1.{study}"}
        self.site.entry(str(study), subject=pseudonym, **by)

    def run(self) -> None:
        self.site.run()

    def be_killed(self, study: int) -> None:
        self.site.killed_at(3 + 5 * study)

    def forget_patient(self, patient: int) -> None:
        try:
            done = self.site.forget_patients(id_of(patient))
        except ConfigurationError:
            assert not self.site.finds(traces(id_of(patient)))
            return
        self._look({patient}, set(done.data_subjects[0].studies))

    def forget_study(self, study: str) -> None:
        head = self.site.head()
        try:
            done = self.site.forget_study(study)
        except ConfigurationError:
            assert self.site.head() == head
            return
        if done.destroyed:
            known = self.site.query(
                "select 1 from ledger.event join ledger.subject using (subject) "
                "where stream = :stream and wrapped_key is not null",
                stream=f"study/{study}",
            )
            assert known == []
            self._look(set(), {study})

    def forget_project(self) -> None:
        try:
            self.site.forget_project(HEART)
        except ConfigurationError:
            return
        assert not self.site.finds({key_of(id_of(patient)) for patient in range(PATIENTS)})

    def delete_from_autoid(self, patient: int) -> None:
        for record in [name for name, row in self.site.autoid_rows().items() if row.key == key_of(id_of(patient))]:
            self.site.autoid.delete(record)

    def rekey(self) -> None:
        self.site.rekey()

    def _look(self, gone: set[int], studies_gone: set[str]) -> None:
        """Nothing of these patients is left, nor the pseudonyms of entries that named their studies."""
        self.forgotten += 1
        values = {value for patient in gone for value in traces(id_of(patient), name_of(patient))}
        values |= {pseudonym for study in studies_gone for pseudonym in self._pseudonyms[study]}
        assert self.site.finds(values) == set()
        self.site.assert_sound()


@settings(max_examples=9)
@given(
    st.lists(patients, min_size=STUDIES, max_size=STUDIES),
    st.sets(studies, min_size=2),
    st.lists(steps, max_size=6),
    patients,
)
def test_after_any_history_nothing_of_the_forgotten_is_left_and_the_ledger_holds(
    new_site: NewSite, arrivals: list[int], coupled: set[int], history: list[tuple[str, int, int]], last: int
) -> None:
    with new_site() as site:
        site.rule(patient_id=r"PID-[0-9]-[A-Z]+", project=BRAIN)
        lived = History(site)
        for study, patient in enumerate(arrivals):
            lived.arrive(study, patient)
            if study in coupled:
                lived.couple(study, patient)
            if study and study - 1 in coupled:
                lived.add_series(study, (patient + 1) % PATIENTS)
        lived.run()
        for name, study, patient in history:
            lived.act(name, study, patient)
        lived.run()
        lived.forget_patient(last)
        lived.run()
        site.assert_sound()

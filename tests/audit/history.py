"""A small history that has everything in it: two days of two sites, told by appending events as runs do.

`positions` holds where each event that other events or tests name came to stand, as appending gave it, and
`times` what the clock showed then.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.events.types import (
    EventType,
    autoid_project_stream,
    autoid_stream,
    coupling_stream,
    decision_stream,
    file_stream,
    rule_stream,
    site_stream,
    study_stream,
    vault_stream,
)
from processors.gateway import Gateway, patient_subject
from processors.run import Report, recorded_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.database import Database
    from ledger.vault import Vault
    from tests.conftest import SettableClock

HEART, BRAIN, TEACHING = "Heart Study", "Brain, Ageing and Memory", "TEACHING"
KNEE, HIP, HEAD, CHEST = "1.2.1", "1.2.2", "1.2.3", "1.2.4"
"""Studies: requested, corrected and withdrawn; in conflict; refused; held."""
ABROAD = "1.2.5"
"""A study of the other site."""

FIRST_RUN = UUID("00000000-0000-7000-8000-000000000001")
SECOND_RUN = UUID("00000000-0000-7000-8000-000000000002")
ABROAD_RUN = UUID("00000000-0000-7000-8000-000000000003")

IDENTIFYING = (
    "12087412345",
    "Nordmann^Kari",
    "27053398765",
    "PSEUDO-OF-KARI",
    "PSEUDO-CORRECTED",
    "PSEUDO-AGAIN",
    "PSEUDO-OF-OLA",
    "T_RESERVED",
    "key-of-kari",
    "key-of-ola",
)
"""Every text of the history that identifies a person, or is a pseudonym that was not generated."""
_KARI, _KARI_NAME, _OLA, _OF_KARI, _CORRECTED, _AGAIN, _OF_OLA, _RESERVED, _KEY_OF_KARI, _KEY_OF_OLA = IDENTIFYING


class Told:
    """Records events in one run after the other, a second apart."""

    def __init__(self, database: Database, vault: Vault, clock: SettableClock) -> None:
        self._database, self._vault, self._clock = database, vault, clock
        self._gateway = self._gateway_of("main", FIRST_RUN)
        self.positions: dict[str, int] = {}
        self.times: dict[str, datetime] = {}
        self.types: set[str] = set()

    def _gateway_of(self, site: str, run: UUID) -> Gateway:
        return Gateway(database=self._database, vault=self._vault, site=site, clock=self._clock, run=run)

    @contextmanager
    def run(self, moment: str, run: UUID, *, calls: int, site: str = "main", command: str = "run") -> Iterator[None]:
        """A run of that moment, told in its own row too."""
        self._clock.now = datetime.fromisoformat(moment)
        self._gateway = self._gateway_of(site, run)
        report = Report(calls=calls)
        with recorded_run(self._gateway, command, report):
            yield

    def __call__(
        self,
        type_: EventType,
        stream: str,
        /,
        name: str = "",
        *,
        secret: tuple[SubjectName, dict[str, str]] | None = None,
        **data: Any,
    ) -> int:
        """Records an event, a second after the one before; gives its position, also kept under `name`."""
        self._clock.advance(1)
        self.types.add(type_)
        with self._gateway.begin() as work:
            event = (
                NewEvent(stream=stream, type=type_, data=data)
                if secret is None
                else work.sealed(*secret, stream=stream, type_=type_, data=data)
            )
            (stored,) = work.record([event])
        if name:
            self.positions[name] = stored.position
            self.times[name] = self._clock.now
        return stored.position

    # -- events that take many words ---------------------------------------------------------------------

    def series(
        self,
        study: str,
        series: str,
        *,
        patient: str,
        accession: str,
        called: str = "FIONA",
        type_: EventType = EventType.SERIES_DISCOVERED,
    ) -> int:
        kept = dict.fromkeys(
            ("StudyDescription", "StudyDate", "StudyTime", "InstitutionName", "SeriesDescription", "SeriesDate",
             "SeriesTime", "SequenceName"), "",
        )  # fmt: skip
        return self(
            type_,
            study_stream(study),
            f"{type_} {series}",
            secret=(patient_subject(study, patient), {"PatientID": patient, "PatientName": _KARI_NAME}),
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            AccessionNumber=accession,
            **kept,
            NumFiles=1,
            ClassifyType=[],
            AETitleCaller="CT1",
            AETitleCalled=called,
            CallerIP="10.0.0.1",
            fingerprint=f"{type_} {series}",
            identity_fingerprint="0" * 32,
        )

    def rule(self, record: str, name: str, *, project: str, pattern: str) -> int:
        return self(
            EventType.ROUTING_RULE_CHANGED,
            rule_stream(record),
            name,
            record_id=record,
            active=True,
            project=project,
            called="FIONA",
            calling="",
            patient_id_pattern=pattern,
            patient_name_pattern="",
            event_name="",
            problems=[],
            fingerprint=name,
        )

    def entry(self, record: str, name: str, *, study: str, project: str, subject: str, event: str = "") -> int:
        return self(
            EventType.COUPLING_ENTRY_CHANGED,
            coupling_stream(record),
            name,
            secret=(SubjectName("coupling", "", study), {"subject_id": subject}),
            record_id=record,
            accession="",
            study=study,
            project=project,
            event_name=event,
            date="2026-03-01 08:00",
            problems=[],
            fingerprint=name,
            asks_fingerprint=name,
        )

    def request(
        self,
        study: str,
        name: str,
        *,
        project: str,
        cause: tuple[str, str, int],
        pseudonym: str,
        event: str = "",
        whole: bool = True,
        replaces: tuple[int, ...] = (),
    ) -> int:
        return self(
            EventType.TRANSFER_REQUESTED,
            study_stream(study),
            name,
            secret=(patient_subject(study, _KARI), {"pseudonym": pseudonym}),
            study=study,
            project=project,
            event_name=event,
            cause=dict(zip(("kind", "record_id", "position"), cause, strict=True)),
            whole_match=whole,
            replaces=list(replaces),
        )

    def of(self, type_: EventType, study: str, name: str = "", /, **data: Any) -> int:
        """An event in a study's stream that says which study."""
        return self(type_, study_stream(study), name, study=study, **data)


def tell(database: Database, vault: Vault, clock: SettableClock) -> Told:
    """The whole history."""
    told = Told(database, vault, clock)
    with told.run("2026-03-02T09:00:00+01:00", FIRST_RUN, calls=7):
        _directives(told)
        _arrivals(told)
        _first_decisions(told)
        _first_deliveries(told)
        _first_ids(told)
    with told.run("2026-03-02T23:59:00+01:00", ABROAD_RUN, calls=2, site="abroad", command="populateIncoming"):
        told.series(ABROAD, "1.2.5.1", patient=_OLA, accession="B-9")
    with told.run("2026-03-03T10:00:00+01:00", SECOND_RUN, calls=9):
        _reports(told)
        _corrections(told)
        _ends(told)
        _by_hand(told)
    return told


def _directives(told: Told) -> None:
    # A pattern may be a patient's ID written out.
    told.rule("1", "rule 1", project=HEART, pattern=_KARI)
    told.rule("2", "rule 2", project=HEART, pattern="2705")
    told.entry("7", "entry 7", study=KNEE, project=BRAIN, subject=_OF_KARI, event="baseline")
    told(
        EventType.AUTOID_PROJECT_CHANGED,
        autoid_project_stream("5"),
        "project 5",
        record_id="5",
        project=TEACHING,
        pattern="T_[0-9]{2}",
        aetitle="TEACH",
        wanted=True,
        problems=[],
        fingerprint="project 5",
    )


def _arrivals(told: Told) -> None:
    told.series(KNEE, "1.2.1.1", patient=_KARI, accession=" A-1 ")
    told.series(KNEE, "1.2.1.2", patient=_KARI, accession="A-2")
    told.series(HIP, "1.2.2.1", patient=_OLA, accession="")
    told.series(HEAD, "1.2.3.1", patient=_KARI, accession="A-3")
    told.series(CHEST, "1.2.4.1", patient="", accession="A-4", called="TEACH")
    rejected = EventType.FILE_REJECTED
    for path, reason in (("1.2.9/a.json", "expected JSON, found an empty file"), ("1.2.8/b.json", "not UTF-8")):
        told(rejected, file_stream(path), f"rejected {path}", path=path, reason=reason, digest=reason)


def _first_decisions(told: Told) -> None:
    rule_1, rule_2, entry_7 = (told.positions[name] for name in ("rule 1", "rule 2", "entry 7"))
    told.request(KNEE, "by rule", project=HEART, cause=("rule", "1", rule_1), pseudonym=_KARI, whole=False)
    told.request(
        KNEE, "by entry", project=BRAIN, cause=("coupling", "7", entry_7), pseudonym=_OF_KARI, event="baseline"
    )
    told.request(HEAD, "refused", project=HEART, cause=("rule", "1", rule_1), pseudonym=_KARI)
    causes = [
        {"kind": "rule", "record_id": "1", "position": rule_1},
        {"kind": "rule", "record_id": "2", "position": rule_2},
    ]
    told.of(EventType.CONFLICT_FOUND, HIP, "conflict", project=HEART, event_name="", kind="equals", causes=causes)
    told.of(EventType.RULE_TIMED_OUT, HIP, "timeout", record_id="2")
    told(EventType.DECISIONS_MADE, decision_stream("main"), site="main", position=told.positions["timeout"], studies=4)


def _first_deliveries(told: Told) -> None:
    for study, row in ((KNEE, "1.2.1.1"), (HIP, "1.2.2.1"), (HEAD, "1.2.3.1")):
        position = told.positions[f"SeriesDiscovered {row}"]
        told.of(EventType.STUDY_DELIVERED, study, row=position, series={row: {"instance": 1, "position": position}})
    by_rule, by_entry = told.positions["by rule"], told.positions["by entry"]
    told.of(EventType.TRANSFER_PLACED, KNEE, "rule's placed", request=by_rule, instance=1, found=True)
    told.of(EventType.TRANSFER_PLACED, KNEE, "entry's placed", request=by_entry, instance=2, found=False)
    told.of(
        EventType.ROW_REFUSED,
        HEAD,
        "transfer refused",
        kind="transfer",
        key=str(told.positions["refused"]),
        row_position=told.positions["refused"],
        field="transfer_project_name",
        message="is not a valid category",
    )
    told.of(
        EventType.ROW_REFUSED,
        CHEST,
        "row refused",
        kind="study",
        key="",
        row_position=told.positions["SeriesDiscovered 1.2.4.1"],
        field="study_date",
        message="is not a date",
    )
    told.of(EventType.ROW_MISSING, HIP, kind="series", key="1.2.2.1")


def _first_ids(told: Told) -> None:
    told.of(EventType.STUDY_HELD, CHEST, "held", project=TEACHING, reason="no PatientID")
    ids = autoid_stream(TEACHING)
    kari, ola = (SubjectName("link", TEACHING, key) for key in (_KEY_OF_KARI, _KEY_OF_OLA))
    told(
        EventType.ID_GENERATED,
        ids,
        "drawn",
        secret=(kari, {"key": _KEY_OF_KARI}),
        project=TEACHING,
        value="T_17",
        pattern="T_[0-9]{2}",
        project_position=told.positions["project 5"],
    )
    told(EventType.ID_DELIVERED, ids, project=TEACHING, value="T_17", record_id="4")
    told(
        EventType.ID_ADOPTED,
        ids,
        "adopted",
        secret=(ola, {"key": _KEY_OF_OLA}),
        project=TEACHING,
        value="T_03",
        record_id="3",
    )
    told(EventType.ID_RESERVED, ids, "reserved", project=TEACHING, value=_RESERVED)
    told(
        EventType.CONTRADICTION_FOUND,
        ids,
        secret=(ola, {"key": _KEY_OF_OLA}),
        project=TEACHING,
        record_id="6",
        value="T_17",
        details="Its ID belongs to another patient already.",
    )


def _reports(told: Told) -> None:
    """The sender gives up on two requests; ours is opened again and sent, somebody else's stands failed."""
    ours = {"project": HEART, "event_name": "", "request": told.positions["by rule"], "instance": 1}
    theirs = {"project": BRAIN, "event_name": "", "instance": 4}
    told.of(EventType.TRANSFER_FAILED, KNEE, "failed", **ours, errors=["2"], failure="timeout")
    told.of(EventType.TRANSFER_REOPENED, KNEE, **ours)
    told.of(EventType.TRANSFER_SENT, KNEE, "sent", **ours, sent_at="2026-03-03 09:58")
    told.of(EventType.TRANSFER_OBSERVED, HIP, **theirs, fingerprint="theirs")
    told.of(EventType.TRANSFER_FAILED, HIP, "theirs failed", request=None, **theirs, errors=[], failure="no space")
    told.of(
        EventType.DIFFERENCE_ACCEPTED,
        HIP,
        kind="study",
        key="",
        fields=["study_description"],
        row_position=told.positions["SeriesDiscovered 1.2.2.1"],
        fingerprint="described otherwise",
        by="admin",
        reason="corrected by the radiographer",
    )


def _corrections(told: Told) -> None:
    """The entry is corrected twice and then names another study; the second time its row had been sent."""
    told.entry("7", "entry 7, corrected", study=KNEE, project=BRAIN, subject=_CORRECTED, event="baseline")
    told.entry("7", "entry 7, again", study=KNEE, project=BRAIN, subject=_AGAIN, event="baseline")
    about: dict[str, Any] = {"project": BRAIN, "event": "baseline"}
    first = told.positions["by entry"]
    cause = ("coupling", "7", told.positions["entry 7, corrected"])
    second = told.request(KNEE, "corrected", cause=cause, pseudonym=_CORRECTED, replaces=(first,), **about)
    told.of(EventType.TRANSFER_AMENDED, KNEE, "amended", request=second, instance=2, replaced=first)
    cause = ("coupling", "7", told.positions["entry 7, again"])
    third = told.request(KNEE, "again", cause=cause, pseudonym=_AGAIN, replaces=(second,), **about)
    told.of(EventType.TRANSFER_PLACED, KNEE, "again placed", request=third, instance=3, found=False)
    withdrawn: dict[str, Any] = {"project": BRAIN, "instance": 2, "fate": "sent"}
    told.of(EventType.TRANSFER_WITHDRAWN, KNEE, "sent before", request=second, by=third, **withdrawn)
    told.entry("7", "entry 7, elsewhere", study=ABROAD, project=BRAIN, subject=_AGAIN, event="baseline")
    elsewhere = {"kind": "coupling", "record_id": "7", "position": told.positions["entry 7, elsewhere"]}
    told.of(
        EventType.TRANSFER_RETRACTED,
        KNEE,
        "retracted",
        project=BRAIN,
        request=third,
        reason="its coupling entry now names another study",
        cause=elsewhere,
    )
    told.of(EventType.TRANSFER_WITHDRAWN, KNEE, project=BRAIN, request=third, instance=3, by=None, fate="unsent")
    told(EventType.COUPLING_ENTRY_DOUBTED, coupling_stream("7"), "entry 7 missed", record_id="7")
    told(EventType.COUPLING_ENTRY_RETURNED, coupling_stream("7"), "entry 7 returned", record_id="7")
    told(EventType.COUPLING_ENTRY_DOUBTED, coupling_stream("7"), "entry 7 doubted", record_id="7")
    told(EventType.COUPLING_ENTRY_REMOVED, coupling_stream("7"), "entry 7 removed", record_id="7")


def _ends(told: Told) -> None:
    """What was wrong on the first day is mended, but for one file, one row and one contest."""
    told(EventType.ROUTING_RULE_DOUBTED, rule_stream("2"), "rule 2 doubted", record_id="2")
    told(EventType.ROUTING_RULE_RETURNED, rule_stream("2"), "rule 2 returned", record_id="2")
    told(EventType.ROUTING_RULE_REMOVED, rule_stream("2"), record_id="2")
    told.of(EventType.RULE_TIMEOUT_RESOLVED, HIP, record_id="2")
    told.of(EventType.CONFLICT_RESOLVED, HIP, "conflict resolved", project=HEART, event_name="")
    contested = told.request(
        HIP, "contested", project=HEART, cause=("rule", "1", told.positions["rule 1"]), pseudonym=_OF_OLA
    )
    causes = [{"kind": "rule", "record_id": "1", "position": told.positions["rule 1"]}]
    told.of(
        EventType.CONFLICT_FOUND,
        HIP,
        "contest",
        project=HEART,
        event_name="",
        kind="person",
        causes=causes,
        request=contested,
    )
    told.of(EventType.ROW_ACCEPTED, CHEST, "row accepted", kind="study", key="")
    told.of(EventType.ROW_RESTORED, HIP, kind="series", key="1.2.2.1")
    told.series(CHEST, "1.2.4.1", patient=_KARI, accession="A-4", called="TEACH", type_=EventType.SERIES_REVISED)
    told.of(EventType.STUDY_RELEASED, CHEST, "released", project=TEACHING, reason="no PatientID")
    told.request(CHEST, "by ID", project=TEACHING, cause=("autoid", "4", told.positions["drawn"]), pseudonym="T_17")
    mended, changed = "1.2.9/a.json", "1.2.8/b.json"
    told(EventType.REJECTION_RESOLVED, file_stream(mended), "mended", path=mended, how="readable")
    told(
        EventType.FILE_REJECTED,
        file_stream(changed),
        "rejected again",
        path=changed,
        reason="still not UTF-8",
        digest="2",
    )
    for type_ in (EventType.STUDY_VANISHED, EventType.STUDY_RETURNED, EventType.STUDY_VANISHED):
        told(type_, study_stream(HEAD), StudyInstanceUID=HEAD)
    told.of(EventType.STUDY_REQUESTED_BY_OTHERS, HIP)
    told.of(EventType.STUDY_ADOPTED, HIP, series={"1.2.2.1": 1})
    told.of(
        EventType.TRANSFER_ADOPTED,
        HIP,
        project=HEART,
        event_name="",
        instance=1,
        sent=True,
        requested="2026-02-01 08:00",
    )
    told.of(EventType.ADOPTED_TRANSFER_GONE, HIP, instance=1)
    told(
        EventType.ADOPTION_COMPLETED,
        site_stream("main"),
        site="main",
        studies=1,
        series=1,
        transfers=1,
        ids=0,
        by="admin",
    )
    told(EventType.STARTED_FRESH, site_stream("abroad"), site="abroad", by="admin", records=0)
    told(EventType.CONTRADICTION_RESOLVED, autoid_stream(TEACHING), project=TEACHING, record_id="6")
    told(EventType.AUTOID_PROJECT_DOUBTED, autoid_project_stream("5"), "project 5 doubted", record_id="5")
    told(EventType.AUTOID_PROJECT_RETURNED, autoid_project_stream("5"), "project 5 returned", record_id="5")
    told(EventType.AUTOID_PROJECT_REMOVED, autoid_project_stream("5"), record_id="5")
    told(EventType.ROUTING_RULE_DOUBTED, rule_stream("1"), "rule 1 doubted", record_id="1")
    about = {"project": BRAIN, "event_name": ""}
    causes = [{"kind": "rule", "record_id": "1", "position": told.positions["rule 1"]}]
    told.of(EventType.DECISION_DEFERRED, HEAD, **about, causes=causes)
    told.of(EventType.DECISION_RESUMED, HEAD, **about)
    told(
        EventType.ACKNOWLEDGED,
        study_stream(KNEE),
        position=told.positions["sent before"],
        by="admin",
        reason="told the sender",
    )
    told(
        EventType.SUBJECT_FORGOTTEN,
        vault_stream("subjects"),
        what="study",
        name="1.2.77",
        by="admin",
        reason="consent withdrawn",
        subjects={"study": []},
        studies=0,
    )
    told(EventType.MASTER_KEY_CHANGED, vault_stream("master-key"), by="admin", subjects=9)


def _by_hand(told: Told) -> None:
    """What an operator did: a replay, a request withdrawn for good, a clash that was looked at."""
    scope: dict[str, Any] = {
        "site": "main",
        "project": HEART,
        "since": None,
        "until": None,
        "include_vanished": False,
        "by": "admin",
    }
    told(EventType.REPLAY_STARTED, decision_stream("main"), **scope)
    told(EventType.REPLAY_COMPLETED, decision_stream("main"), **scope)
    told.of(
        EventType.DECIDED_BY_HAND,
        KNEE,
        project=BRAIN,
        event_name="baseline",
        action="retract",
        by="admin",
        reason="wrong study",
    )
    late = {"project": BRAIN, "request": told.positions["again"], "instance": 3}
    told.of(EventType.TRANSFER_STRAYED, KNEE, **late)
    told.of(EventType.TRANSFER_RECALLED, KNEE, **late)
    told.of(EventType.TRANSFER_WITHDRAWN, KNEE, **late, by=None, fate="unsent")
    told.of(EventType.LOST_UPDATE_FOUND, HIP, "clash", project=HEART, kind="transfer", request=1, instance=4)
    told(
        EventType.ACKNOWLEDGED,
        study_stream(HIP),
        position=told.positions["clash"],
        by="admin",
        reason="asked the person, who had nothing to say",
    )

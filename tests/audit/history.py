"""A small history that has everything in it: two days of two sites, told by appending events as runs do.

`positions` holds where each event that other events or tests name came to stand, as appending gave it, and
`times` what the clock showed then.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ledger.vault import SubjectName
from processors.events.deliveries import (
    Acknowledged,
    DifferenceAccepted,
    ImportsAccepted,
    ImportsRefused,
    LostUpdateFound,
    RowAccepted,
    RowMissing,
    RowRefused,
    RowRestored,
    StudyDelivered,
)
from processors.events.fact import Cause, CauseKind, Fact
from processors.events.holds import RequestHeld, RequestQuestioned, RequestReleased
from processors.events.operations import (
    AdoptionCompleted,
    BackupTried,
    LedgerAccepted,
    LedgerDoubted,
    MasterKeyChanged,
    ParticipantReported,
    PatientSearched,
    RawFolderReplaced,
    RedcapAccepted,
    RedcapDoubted,
    RedcapReturned,
    ReplayCompleted,
    ReplayStarted,
    StartedFresh,
    StudyAdopted,
    SubjectForgotten,
)
from processors.events.patients import (
    PatientRecognised,
    PatientsJoined,
    StudyChangeFound,
    TwoNamesFound,
    TwoPatientsFound,
    TwoPatientsResolved,
)
from processors.events.pseudonyms import (
    AutoidProjectChanged,
    AutoidProjectDoubted,
    AutoidProjectRemoved,
    AutoidProjectReturned,
    ContradictionFound,
    ContradictionResolved,
    IdAdopted,
    IdDelivered,
    IdGenerated,
    IdMissing,
    IdReserved,
    StudyHeld,
    StudyReleased,
)
from processors.events.rules import (
    ConflictFound,
    ConflictResolved,
    CouplingEntryDoubted,
    CouplingEntryRemoved,
    CouplingEntryReturned,
    DecidedByHand,
    DecisionDeferred,
    DecisionResumed,
    DecisionsMade,
    ExpectedStudyArrived,
    ExpectedStudyDismissed,
    ExpectedStudyMissing,
    ExpectedStudyNeverCame,
    RecordReadable,
    RecordUnreadable,
    RoutingRuleDoubted,
    RoutingRuleRemoved,
    RoutingRuleReturned,
    RuleTimedOut,
    RuleTimeoutResolved,
)
from processors.events.series import (
    FileRejected,
    RejectionResolved,
    SeriesReturned,
    SeriesVanished,
    StudyRequestedByOthers,
    StudyReturned,
    StudyVanished,
)
from processors.events.transfers import (
    AdoptedTransferGone,
    DoubleEnded,
    DoubleFound,
    TransferAdopted,
    TransferAmended,
    TransferFailed,
    TransferObserved,
    TransferPlaced,
    TransferRecalled,
    TransferReopened,
    TransferRetracted,
    TransferSent,
    TransferStrayed,
    TransferWithdrawn,
)
from processors.events.withdrawals import (
    ParticipantWithdrew,
    StudyWithdrawn,
    TaskDone,
    WithdrawalEntryChanged,
    WithdrawalEntryDismissed,
    WithdrawalEntryDoubted,
    WithdrawalEntryRemoved,
    WithdrawalEntryReturned,
)
from processors.gateway import Gateway, patient_subject
from processors.run import Report, recorded_run
from tests.facts import a_request, a_rule, a_series, an_entry, revised

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
    "key-of-kari",
    "key-of-ola",
    "T_17",
    "T_03",
)
"""Every text of the history that identifies a person, or is a pseudonym."""
_KARI, _KARI_NAME, _OLA, _OF_KARI, _CORRECTED, _AGAIN, _OF_OLA, _KEY_OF_KARI, _KEY_OF_OLA, _DRAWN, _ADOPTED = (
    IDENTIFYING
)


def _an_id(value: str) -> dict[str, Any]:
    """What the event of a patient's ID says of the ID."""
    fingerprint = hashlib.sha256(value.encode()).hexdigest()[:32]
    return {"project": TEACHING, "fingerprint": fingerprint, "name_fingerprint": None, "value": value}


def _edit(user: str, minute: str) -> dict[str, Any]:
    """What the event of a change says of who made it, on the second day."""
    return {"changed_by": user, "changed_at": f"2026-03-03 {minute}"}


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

    def __call__(self, fact: Fact, name: str = "", *, subject: SubjectName | None = None) -> int:
        """Records a fact, a second after the one before; gives its position, also kept under `name`."""
        self._clock.advance(1)
        self.types.add(type(fact).__name__)
        with self._gateway.begin() as work:
            (stored,) = work.record([fact if subject is None else work.seal(fact, subject)])
        if name:
            self.positions[name] = stored.position
            self.times[name] = self._clock.now
        return stored.position

    def cause(self, kind: CauseKind, record: str, name: str) -> Cause:
        """The event of that name, as what led to something."""
        return Cause(kind, record, self.positions[name])

    # -- facts that identify a patient ----------------------------------------------------------------------

    def series(self, study: str, series: str, *, patient: str, **changes: Any) -> int:
        arrived = a_series(study, series, PatientID=patient, PatientName=_KARI_NAME, **changes)
        return self(arrived, f"SeriesDiscovered {series}", subject=patient_subject(study, patient))

    def rule(self, record: str, name: str, *, project: str, pattern: str, **changes: Any) -> int:
        rule = a_rule(record, project, called="FIONA", patient_id_pattern=pattern, fingerprint=name, **changes)
        return self(rule, name)

    def entry(self, record: str, name: str, *, study: str, subject: str, **changes: Any) -> int:
        entry = an_entry(
            record,
            BRAIN,
            study=study,
            event_name="baseline",
            date="2026-03-01 08:00",
            fingerprint=name,
            asks_fingerprint=name,
            subject_id=subject,
            **changes,
        )
        return self(entry, name, subject=SubjectName("coupling", "", study))

    def request(self, study: str, name: str, *, project: str, cause: Cause, pseudonym: str, **changes: Any) -> int:
        requested = a_request(study, project, cause, pseudonym=pseudonym, **changes)
        return self(requested, name, subject=patient_subject(study, _KARI))


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
        told.series(ABROAD, "1.2.5.1", patient=_OLA, AccessionNumber="B-9")
    with told.run("2026-03-03T10:00:00+01:00", SECOND_RUN, calls=9):
        _reports(told)
        _corrections(told)
        _ends(told)
        _by_hand(told)
        _expectations(told)
        _withdrawals(told)
    return told


def _directives(told: Told) -> None:
    # A pattern may be a patient's ID written out.
    told.rule("1", "rule 1", project=HEART, pattern=_KARI)
    told.rule("2", "rule 2", project=HEART, pattern="2705")
    told.entry("7", "entry 7", study=KNEE, subject=_OF_KARI)
    teaching = AutoidProjectChanged(
        record_id="5",
        project=TEACHING,
        pattern="T_[0-9]{2}",
        aetitle="TEACH",
        wanted=True,
        problems=(),
        fingerprint="project 5",
    )
    told(teaching, "project 5")


def _arrivals(told: Told) -> None:
    told.series(KNEE, "1.2.1.1", patient=_KARI, AccessionNumber=" A-1 ")
    told.series(KNEE, "1.2.1.2", patient=_KARI, AccessionNumber="A-2")
    told.series(HIP, "1.2.2.1", patient=_OLA)
    told.series(HEAD, "1.2.3.1", patient=_KARI, AccessionNumber="A-3")
    told.series(CHEST, "1.2.4.1", patient="", AccessionNumber="A-4", AETitleCalled="TEACH")
    for path, reason in (("1.2.9/a.json", "expected JSON, found an empty file"), ("1.2.8/b.json", "not UTF-8")):
        told(FileRejected(path=path, reason=reason, digest=reason), f"rejected {path}")


def _first_decisions(told: Told) -> None:
    rule_1, rule_2 = told.cause("rule", "1", "rule 1"), told.cause("rule", "2", "rule 2")
    entry_7 = told.cause("coupling", "7", "entry 7")
    told.request(KNEE, "by rule", project=HEART, cause=rule_1, pseudonym=_KARI, whole_match=False)
    told.request(KNEE, "by entry", project=BRAIN, cause=entry_7, pseudonym=_OF_KARI, event_name="baseline")
    told.request(HEAD, "refused", project=HEART, cause=rule_1, pseudonym=_KARI)
    told(ConflictFound(study=HIP, project=HEART, event_name="", kind="equals", causes=(rule_1, rule_2)), "conflict")
    told(RuleTimedOut(study=HIP, record_id="2"), "timeout")
    told(DecisionsMade(site="main", position=told.positions["timeout"], studies=4))


def _first_deliveries(told: Told) -> None:
    for study, series in ((KNEE, "1.2.1.1"), (HIP, "1.2.2.1"), (HEAD, "1.2.3.1")):
        position = told.positions[f"SeriesDiscovered {series}"]
        told(StudyDelivered(study=study, row=position, series={series: {"instance": 1, "position": position}}))
    by_rule, by_entry, refused = (told.positions[name] for name in ("by rule", "by entry", "refused"))
    told(TransferPlaced(study=KNEE, request=by_rule, instance=1, found=True), "rule's placed")
    told(TransferPlaced(study=KNEE, request=by_entry, instance=2, found=False), "entry's placed")
    transfer = RowRefused(
        study=HEAD,
        kind="transfer",
        key=str(refused),
        row_position=refused,
        field="transfer_project_name",
        message="is not a valid category",
    )
    told(transfer, "transfer refused", subject=SubjectName("study", "", HEAD))
    row = RowRefused(
        study=CHEST,
        kind="study",
        key="",
        row_position=told.positions["SeriesDiscovered 1.2.4.1"],
        field="study_date",
        message="is not a date",
    )
    told(row, "row refused", subject=SubjectName("study", "", CHEST))
    told(RowMissing(study=HIP, kind="series", key="1.2.2.1"))


def _first_ids(told: Told) -> None:
    told(StudyHeld(study=CHEST, project=TEACHING, reason="no PatientID"), "held")
    kari, ola = (SubjectName("link", TEACHING, key) for key in (_KEY_OF_KARI, _KEY_OF_OLA))
    drawn = IdGenerated(
        **_an_id(_DRAWN),
        pattern="T_[0-9]{2}",
        project_position=told.positions["project 5"],
        key=_KEY_OF_KARI,
    )
    told(drawn, "drawn", subject=kari)
    told(IdDelivered(project=TEACHING, fingerprint=_an_id(_DRAWN)["fingerprint"], record_id="4"))
    told(IdMissing(project=TEACHING, fingerprint=_an_id(_DRAWN)["fingerprint"]))
    told(IdDelivered(project=TEACHING, fingerprint=_an_id(_DRAWN)["fingerprint"], record_id="4"))
    told(IdAdopted(**_an_id(_ADOPTED), record_id="3", key=_KEY_OF_OLA), "adopted", subject=ola)
    told(IdReserved(project=TEACHING, fingerprint="an ID of others", name_fingerprint=None), "reserved")
    contradiction = ContradictionFound(
        **_an_id(_DRAWN),
        record_id="6",
        details="Its ID belongs to another patient already.",
        key=_KEY_OF_OLA,
    )
    told(contradiction, subject=ola)


def _reports(told: Told) -> None:
    """The sender gives up on two requests; ours is opened again and sent, somebody else's stands failed."""
    ours: dict[str, Any] = {
        "study": KNEE,
        "project": HEART,
        "event_name": "",
        "request": told.positions["by rule"],
        "instance": 1,
    }
    theirs: dict[str, Any] = {"study": HIP, "project": BRAIN, "event_name": "", "instance": 4}
    told(TransferFailed(**ours, tried_at=None, errors=("2",), failure="timeout"), "failed")
    told(TransferReopened(**ours))
    told(TransferSent(**ours, sent_at="2026-03-03 09:58"), "sent")
    told(TransferObserved(**theirs, fingerprint="theirs", pseudonym=_OF_OLA), subject=patient_subject(HIP, _OLA))
    told(TransferFailed(**theirs, request=None, tried_at=None, errors=(), failure="no space"), "theirs failed")
    accepted = DifferenceAccepted(
        study=HIP,
        kind="study",
        key="",
        fields=("study_description",),
        row_position=told.positions["SeriesDiscovered 1.2.2.1"],
        fingerprint="described otherwise",
        by="admin",
        reason="corrected by the radiographer",
    )
    told(accepted)


def _corrections(told: Told) -> None:
    """The entry is corrected twice and then names another study; the second time its row had been sent."""
    told.entry("7", "entry 7, corrected", study=KNEE, subject=_CORRECTED, **_edit("astrid", "09:58"))
    told.entry("7", "entry 7, again", study=KNEE, subject=_AGAIN, **_edit("bjorn", "09:59"))
    baseline: dict[str, Any] = {"project": BRAIN, "event_name": "baseline"}
    first = told.positions["by entry"]
    cause = told.cause("coupling", "7", "entry 7, corrected")
    second = told.request(KNEE, "corrected", cause=cause, pseudonym=_CORRECTED, replaces=(first,), **baseline)
    told(TransferAmended(study=KNEE, request=second, instance=2, replaced=first), "amended")
    cause = told.cause("coupling", "7", "entry 7, again")
    third = told.request(KNEE, "again", cause=cause, pseudonym=_AGAIN, replaces=(second,), **baseline)
    told(TransferPlaced(study=KNEE, request=third, instance=3, found=False), "again placed")
    told(TransferWithdrawn(study=KNEE, project=BRAIN, request=second, instance=2, by=third, fate="sent"), "sent before")
    told.entry("7", "entry 7, elsewhere", study=ABROAD, subject=_AGAIN)
    retracted = TransferRetracted(
        study=KNEE,
        project=BRAIN,
        request=third,
        reason="its coupling entry now names another study",
        cause=told.cause("coupling", "7", "entry 7, elsewhere"),
    )
    told(retracted, "retracted")
    told(TransferWithdrawn(study=KNEE, project=BRAIN, request=third, instance=3, by=None, fate="unsent"))
    told(CouplingEntryDoubted(record_id="7"), "entry 7 missed")
    told(CouplingEntryReturned(record_id="7"), "entry 7 returned")
    told(CouplingEntryDoubted(record_id="7"), "entry 7 doubted")
    told(CouplingEntryRemoved(record_id="7", **_edit("astrid", "10:00")), "entry 7 removed")


def _ends(told: Told) -> None:
    """What was wrong on the first day is mended, but for one file, one row and one contest."""
    told(RoutingRuleDoubted(record_id="2"), "rule 2 doubted")
    told(RoutingRuleReturned(record_id="2"), "rule 2 returned")
    told(RoutingRuleRemoved(record_id="2", **_edit("bjorn", "09:57")), "rule 2 removed")
    told(RuleTimeoutResolved(study=HIP, record_id="2"))
    told(ConflictResolved(study=HIP, project=HEART, event_name=""), "conflict resolved")
    rule_1 = told.cause("rule", "1", "rule 1")
    contested = told.request(HIP, "contested", project=HEART, cause=rule_1, pseudonym=_OF_OLA)
    contest = ConflictFound(study=HIP, project=HEART, event_name="", kind="person", causes=(rule_1,), request=contested)
    told(contest, "contest")
    told(RowAccepted(study=CHEST, kind="study", key=""), "row accepted")
    told(ImportsRefused(redcap_project="incoming", kinds=("series",), message="does not repeat"))
    told(ImportsAccepted(redcap_project="incoming", kinds=("series",)))
    told(RedcapDoubted(site="main", reason="It lacks what was written."))
    told(RedcapReturned(site="main"))
    told(RedcapAccepted(site="main", by="ola", reason="restored"))
    told(LedgerDoubted(site="main", reason="It ends early.", since="2026-03-02T09:00:00+01:00"))
    told(LedgerAccepted(site="main", transfers=1, ended=0, by="ola"))
    told(BackupTried(site="main", position=1, made="2026-03-02T09:00:00+01:00", rows={"studies": 1}, by="ola"))
    told(RecordUnreadable(redcap_project="coupling", record_id="17", message="no JSON"))
    told(RecordReadable(redcap_project="coupling", record_id="17"))
    told(RowRestored(study=HIP, kind="series", key="1.2.2.1"))
    identified = revised(
        a_series(CHEST, "1.2.4.1", AccessionNumber="A-4", AETitleCalled="TEACH"),
        fingerprint="1" * 32,
        identity_fingerprint="1" * 32,
        PatientID=_KARI,
        PatientName=_KARI_NAME,
    )
    told(identified, subject=patient_subject(CHEST, _KARI))
    told(StudyReleased(study=CHEST, project=TEACHING, reason="no PatientID"), "released")
    told.request(CHEST, "by ID", project=TEACHING, cause=told.cause("autoid", "4", "drawn"), pseudonym=_DRAWN)
    told(RejectionResolved(path="1.2.9/a.json", how="readable"), "mended")
    told(FileRejected(path="1.2.8/b.json", reason="still not UTF-8", digest="2"), "rejected again")
    for fact in (StudyVanished, StudyReturned, StudyVanished):
        told(fact(StudyInstanceUID=HEAD))
    for of_series in (SeriesVanished, SeriesReturned):
        told(of_series(StudyInstanceUID=HEAD, SeriesInstanceUID="1.2.3.1"))
    told(TwoPatientsFound(study=HEAD, patients=(("1.2.3.1",), ("1.2.3.2",))))
    told(TwoPatientsResolved(study=HEAD))
    told(StudyRequestedByOthers(study=HIP))
    _moving_in(told)
    told(ContradictionResolved(project=TEACHING, record_id="6"))
    told(AutoidProjectDoubted(record_id="5"), "project 5 doubted")
    told(AutoidProjectReturned(record_id="5"), "project 5 returned")
    told(AutoidProjectRemoved(record_id="5"))
    told(RoutingRuleDoubted(record_id="1"), "rule 1 doubted")
    told(DecisionDeferred(study=HEAD, project=BRAIN, event_name="", causes=(rule_1,)))
    told(DecisionResumed(study=HEAD, project=BRAIN, event_name=""))
    held = RequestHeld(
        study=HIP,
        project=BRAIN,
        event_name="",
        cause=rule_1,
        whole_match=True,
        kind="pseudonym does not fit",
        details="it is a national identity number",
        studies=(),
        pseudonym=_OLA,
    )
    told(held, "request held", subject=patient_subject(HIP, _OLA))
    told(RequestReleased(study=HIP, project=BRAIN, event_name=""), "request released")
    questioned = RequestQuestioned(
        study=HEAD, project=HEART, event_name="", kind="one patient, two pseudonyms", details="", studies=(KNEE,)
    )
    told(Acknowledged(study=HEAD, position=told(questioned), by="admin", reason="two visits, as agreed"))
    told(PatientRecognised(study=HIP, project=HEART, name_fingerprint="0" * 32, patient=None))
    nobody = "00000000-0000-7000-8000-000000000009"
    told(PatientsJoined(study=HIP, project=HEART, patient=nobody, counts_as=nobody, by="admin", reason="new number"))
    told(Acknowledged(study=KNEE, position=told.positions["sent before"], by="admin", reason="told the sender"))
    forgotten = SubjectForgotten(
        what="study", name="1.2.77", by="admin", reason="consent withdrawn", subjects={"study": []}, studies=0
    )
    told(forgotten)
    told(ParticipantReported(by="admin", subjects=(nobody,), studies=2))
    told(MasterKeyChanged(by="admin", subjects=9))
    told(PatientSearched(by="ola", studies=(HEAD,), subjects=(nobody,)))
    namesakes = told(TwoNamesFound(study=HEAD, studies=(HIP,)))
    told(Acknowledged(study=HEAD, position=namesakes, by="admin", reason="married, as the register says"))


def _moving_in(told: Told) -> None:
    """A study and its request are taken over from REDCap, and the request goes; the other site starts afresh."""
    told(StudyAdopted(study=HIP, series={"1.2.2.1": 1}))
    adopted = TransferAdopted(
        study=HIP,
        project=HEART,
        event_name="",
        instance=1,
        sent=True,
        requested="2026-02-01 08:00",
        pseudonym=_OF_OLA,
    )
    told(adopted, subject=patient_subject(HIP, _OLA))
    told(AdoptedTransferGone(study=HIP, instance=1))
    told(AdoptionCompleted(site="main", studies=1, series=1, transfers=1, ids=0, by="admin"))
    told(StartedFresh(site="abroad", by="admin", records=0))
    told(RawFolderReplaced(site="main", studies=3, by="admin", reason="a larger disk"))


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
    told(ReplayStarted(**scope))
    told(ReplayCompleted(**scope))
    decided = DecidedByHand(
        study=KNEE, project=BRAIN, event_name="baseline", action="retract", by="admin", reason="wrong study"
    )
    told(decided)
    change = told(
        StudyChangeFound(
            study=KNEE,
            project=BRAIN,
            request=told.positions["again"],
            changed=("PatientID",),
            consequence="withdrawn",
        )
    )
    told(Acknowledged(study=KNEE, position=change, by="admin", reason="the right patient now"))
    late: dict[str, Any] = {"study": KNEE, "project": BRAIN, "request": told.positions["again"], "instance": 3}
    told(TransferStrayed(**late))
    told(DoubleFound(**late))
    told(DoubleEnded(study=KNEE, project=BRAIN, request=told.positions["again"]))
    told(TransferRecalled(**late))
    told(TransferWithdrawn(**late, by=None, fate="unsent"))
    clash = LostUpdateFound(study=HIP, project=HEART, kind="transfer", request=1, series=None, instance=4)
    seen = Acknowledged(
        study=HIP,
        position=told(clash, "clash"),
        by="admin",
        reason="asked the person, who had nothing to say",
    )
    told(seen)


def _expectations(told: Told) -> None:
    """Entry 8 waits for its study until that arrives; entry 9 is removed without having met one."""
    told.entry("8", "entry 8", study="1.2.6", subject=_OF_OLA)
    told.entry("9", "entry 9", study="1.2.33", subject=_OF_OLA)
    eight, nine = told.positions["entry 8"], told.positions["entry 9"]
    told(ExpectedStudyMissing(record_id="8", asked=eight, near={}), "8 missing")
    told(ExpectedStudyArrived(record_id="8", asked=eight), "8 arrived")
    near = {HEAD: "its UID differs by one character"}
    told(ExpectedStudyMissing(record_id="9", asked=nine, near=near), "9 missing")
    told(CouplingEntryRemoved(record_id="9"))
    told(ExpectedStudyNeverCame(record_id="9", asked=nine, near=near), "9 never came")
    told(ExpectedStudyDismissed(record_id="9", asked=nine, by="admin", reason="ticket 12"), "9 dismissed")


def _withdrawals(told: Told) -> None:
    """The patient of KNEE withdraws from a project to which it was sent; REDCap's own list has an entry that goes."""
    withdrew = ParticipantWithdrew(project=HEART, patients=("mark",), pseudonyms=(), by="admin", reason="case 17")
    withdrawal = told(withdrew, "withdrew")
    told(StudyWithdrawn(study=KNEE, project=HEART, withdrawal=withdrawal), "study withdrawn")
    told(StudyWithdrawn(study=HIP, project=BRAIN, withdrawal=withdrawal))
    task: dict[str, Any] = {
        "project": HEART,
        "instance": 1,
        "what": "sent",
        "sent_at": "2026-03-03 09:58",
        "mapped_uids": (),
    }
    position = told.positions["sent"]
    told(TaskDone(study=KNEE, position=position, **task, by="admin", reason="removed, ticket 13"), "task done")
    told(WithdrawalEntryChanged(record_id="1", project=HEART, problems=(), fingerprint="withdrawal 1"))
    told(WithdrawalEntryDoubted(record_id="1"), "withdrawal 1 doubted")
    told(WithdrawalEntryReturned(record_id="1"), "withdrawal 1 returned")
    told(WithdrawalEntryRemoved(record_id="1"))
    told(WithdrawalEntryDismissed(record_id="1", by="admin", reason="entered twice"))

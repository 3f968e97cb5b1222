"""Every event of a study is told in a sentence of its own."""

from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest
from msgspec.structs import replace

from ledger.events import Event
from processors.events import FACTS
from processors.events.deliveries import (
    Acknowledged,
    DifferenceAccepted,
    LostUpdateFound,
    RowAccepted,
    RowMissing,
    RowRefused,
    RowRestored,
    StudyDelivered,
)
from processors.events.fact import Cause, Fact
from processors.events.holds import RequestHeld, RequestQuestioned, RequestReleased
from processors.events.operations import StudyAdopted
from processors.events.patients import (
    PatientRecognised,
    PatientsJoined,
    StudyChangeFound,
    TwoNamesFound,
    TwoPatientsFound,
    TwoPatientsResolved,
)
from processors.events.pseudonyms import StudyHeld, StudyReleased
from processors.events.rules import (
    ConflictFound,
    ConflictResolved,
    DecidedByHand,
    DecisionDeferred,
    DecisionResumed,
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
from processors.events.withdrawals import StudyWithdrawn, TaskDone
from processors.explain.sentences import History, sentence
from tests.facts import a_request, a_rule, a_series, an_entry, revised

STUDY = "1.2"
RULE = Cause("rule", "7", 5)
ENTRY = Cause("coupling", "4", 6)

ARRIVED = a_series(STUDY, "1.2.1", NumFiles=4, ClassifyType=("T1",), AccessionNumber="A1")
REVISED = revised(ARRIVED, fingerprint="1" * 32)
REQUESTED = a_request(STUDY, "HEART", RULE, event_name="baseline")
LOST_ROW = LostUpdateFound(study=STUDY, project="Incoming", kind="transfer", request=17, series=None, instance=3)
LOST_SERIES = replace(LOST_ROW, kind="series", request=None, series="1.2.1")
SENT = TransferSent(
    study=STUDY, project="HEART", event_name="baseline", request=17, instance=3, sent_at="2026-03-02 08:00"
)

SENTENCES: list[tuple[Fact, str]] = [
    (ARRIVED, "Series 1.2.1 arrived with 4 files, from CT1 to FIONA, with an accession number."),
    (replace(ARRIVED, NumFiles=None, accession=""), "Series 1.2.1 arrived, from CT1 to FIONA."),
    (REVISED, "Series 1.2.1 was revised."),
    (StudyVanished(StudyInstanceUID=STUDY), "The study's files vanished from disk."),
    (StudyReturned(StudyInstanceUID=STUDY), "The study's files are on disk again."),
    (
        SeriesVanished(StudyInstanceUID=STUDY, SeriesInstanceUID="1.2.1"),
        "Series 1.2.1 vanished from disk; others of the study are there.",
    ),
    (SeriesReturned(StudyInstanceUID=STUDY, SeriesInstanceUID="1.2.1"), "Series 1.2.1 is on disk again."),
    (
        StudyChangeFound(study=STUDY, project="HEART", request=17, changed=("PatientID",), consequence="withdrawn"),
        "The request [17] rests on what has changed (PatientID): nothing asks for it any more.",
    ),
    (
        TwoPatientsFound(study=STUDY, patients=(("1.2.1", "1.2.3"), ("1.2.2",))),
        (
            "Its series are of 2 patients: A: 1.2.1, 1.2.3; B: 1.2.2. Nothing is requested but what a coupling entry "
            "with its study UID asks for."
        ),
    ),
    (
        TwoNamesFound(study=STUDY, studies=("1.4", "1.5")),
        (
            "Its PatientName has nothing in common with that of 1.4, 1.5, under the same PatientID: one of them may be "
            "somebody else's."
        ),
    ),
    (
        DecisionDeferred(
            study=STUDY, project="HEART", event_name="", causes=(Cause("coupling", "3", 8), Cause("rule", "7", 4))
        ),
        "Not decided for HEART yet: REDCap's latest export lacks coupling entry 3, routing rule 7, or has it unusable.",
    ),
    (
        DecisionResumed(study=STUDY, project="HEART", event_name="baseline"),
        "Decided for HEART, event baseline, as no export leaves that open any more.",
    ),
    (
        TwoPatientsResolved(study=STUDY),
        "Its series on disk are of one patient again: all of it is decided anew.",
    ),
    (
        StudyRequestedByOthers(study=STUDY),
        "Somebody else has requested a transfer of it in REDCap: no ID is drawn for it.",
    ),
    (
        FileRejected(path="1.2/1.json", reason="too large", digest=""),
        "The file 1.2/1.json was rejected: too large.",
    ),
    (RejectionResolved(path="1.2/1.json", how="gone"), "The rejected file 1.2/1.json is gone now."),
    (REQUESTED, "Requested for HEART, event baseline, because of routing rule 7."),
    (
        replace(REQUESTED, event_name="", whole_match=False, replaces=(3, 4)),
        (
            "Requested for HEART, because of routing rule 7. The pattern matched the start of the text only. "
            "It replaces [3], [4]."
        ),
    ),
    (
        replace(REQUESTED, cause=Cause("operator", "ada", 8)),
        "Requested for HEART, event baseline, because of a decision by ada.",
    ),
    (
        TransferRetracted(study=STUDY, project="HEART", request=17, reason="wrong patient", cause=RULE),
        "The request [17] is to be withdrawn: wrong patient.",
    ),
    (
        TransferPlaced(study=STUDY, request=17, instance=3, found=True),
        "The request [17] was placed in REDCap as instance 3, where it stood already.",
    ),
    (
        TransferAmended(study=STUDY, request=17, instance=3, replaced=9),
        "The request [17] was placed in REDCap as instance 3, over request [9], which had not been sent.",
    ),
    (
        TransferWithdrawn(study=STUDY, project="HEART", request=17, instance=3, by=None, fate="unsent"),
        "The request [17] was withdrawn: it had not been sent.",
    ),
    (
        TransferWithdrawn(study=STUDY, project="HEART", request=17, instance=3, by=None, fate="possibly sent"),
        "The request [17] was withdrawn: it may have been sent, which needs a look downstream.",
    ),
    (
        TransferWithdrawn(study=STUDY, project="HEART", request=17, instance=3, by=19, fate="sent"),
        "The request [17] was replaced by [19]: it had been sent, which needs a look downstream.",
    ),
    (
        TransferRecalled(study=STUDY, project="HEART", request=17, instance=3),
        "The request [17] was taken back from the sender's queue (instance 3).",
    ),
    (
        TransferStrayed(study=STUDY, project="HEART", request=17, instance=3),
        "The request [17] has a row that can be sent although it had ended (instance 3): it is ended again.",
    ),
    (
        DoubleFound(study=STUDY, project="HEART", request=17, instance=3),
        "The request [17] stands in REDCap twice, the other row (instance 3): one of them is ended.",
    ),
    (
        DoubleEnded(study=STUDY, project="HEART", request=17),
        "The request [17] has one row in REDCap again that can be sent.",
    ),
    (
        ConflictFound(study=STUDY, project="HEART", event_name="", kind="equals", causes=(RULE, ENTRY)),
        "Conflict for HEART: routing rule 7 and coupling entry 4 give different names. Nothing is requested.",
    ),
    (
        ConflictFound(study=STUDY, project="HEART", event_name="", kind="coupling stands", causes=(RULE, ENTRY)),
        "Conflict for HEART: routing rule 7 and coupling entry 4 give different names. The coupling entry's stands.",
    ),
    (
        ConflictFound(study=STUDY, project="HEART", event_name="", kind="person", causes=(RULE,), request=17),
        "Conflict for HEART: a person asked for another name in REDCap. Theirs stands, ours waits.",
    ),
    (ConflictResolved(study=STUDY, project="HEART", event_name=""), "The conflict for HEART is over."),
    (RuleTimedOut(study=STUDY, record_id="7"), "Routing rule 7 ran out of time, and matched nothing."),
    (RuleTimeoutResolved(study=STUDY, record_id="7"), "Routing rule 7 no longer runs out of time."),
    (
        DecidedByHand(study=STUDY, project="HEART", event_name="", action="reassign", by="ada", reason="a slip"),
        "ada decided by hand that HEART is requested under another name: a slip",
    ),
    (
        StudyDelivered(study=STUDY, row=1, series={"1.2.1": {"instance": 2, "position": 1}}),
        "Written to REDCap: the study's row, series 1.2.1 as instance 2.",
    ),
    (
        RowRefused(study=STUDY, kind="study", key="", row_position=1, field="study_date", message="no date"),
        "REDCap refused the study's row (field study_date): no date",
    ),
    (
        RowRefused(study=STUDY, kind="transfer", key="17", row_position=1, field="", message="no date"),
        "REDCap refused the row of request [17] (field unknown): no date",
    ),
    (RowAccepted(study=STUDY, kind="series", key="1.2.1"), "REDCap has accepted the row of series 1.2.1."),
    (
        RowMissing(study=STUDY, kind="series", key="1.2.1"),
        "Somebody deleted or changed the row of series 1.2.1 in REDCap.",
    ),
    (
        RowRestored(study=STUDY, kind="series", key="1.2.1"),
        "The row of series 1.2.1 was written to REDCap again.",
    ),
    (LOST_ROW, "Somebody wrote the row of request [17] (instance 3) at the same moment."),
    (LOST_SERIES, "Somebody wrote the row of series 1.2.1 (instance 3) at the same moment."),
    (
        DifferenceAccepted(
            study=STUDY, kind="study", key="", fields=("a",), row_position=1, fingerprint="", by="ada", reason="right"
        ),
        "ada accepted what REDCap says of the study's row: right",
    ),
    (
        Acknowledged(study=STUDY, position=12, by="ada", reason="seen"),
        "ada acknowledged what was noticed at [12]: seen",
    ),
    (StudyWithdrawn(study=STUDY, project="HEART", withdrawal=40), "The participant withdrew from HEART [40]."),
    (
        TaskDone(
            study=STUDY,
            position=41,
            project="HEART",
            instance=1,
            what="sent",
            sent_at="2026-03-02 08:00",
            mapped_uids=("9.8",),
            by="ada",
            reason="removed",
        ),
        "ada has seen to what was sent [41]: removed",
    ),
    (StudyHeld(study=STUDY, project="HEART", reason="no PatientID"), "Held for an ID of HEART: no PatientID."),
    (
        StudyReleased(study=STUDY, project="HEART", reason="it has one"),
        "No longer held for an ID of HEART: it has one.",
    ),
    (StudyAdopted(study=STUDY, series={}), "The study's record stood in REDCap before this system."),
    (
        TransferAdopted(study=STUDY, project="HEART", event_name="", instance=1, sent=True, requested=None),
        "A request for HEART stood in REDCap before this system (instance 1), sent already.",
    ),
    (AdoptedTransferGone(study=STUDY, instance=1), "A request from before this system is gone (instance 1)."),
    (
        TransferObserved(study=STUDY, project="HEART", event_name="", instance=1, fingerprint=""),
        "Somebody else has requested a transfer to HEART in REDCap (instance 1).",
    ),
    (SENT, "The request [17] was sent at 2026-03-02 08:00 (instance 3), as REDCap says."),
    (
        replace(SENT, request=None, sent_at=""),
        "Somebody else's request for HEART, event baseline was sent (instance 3), as REDCap says.",
    ),
    (
        TransferFailed(
            study=STUDY,
            project="HEART",
            event_name="",
            request=17,
            instance=3,
            tried_at=None,
            errors=("1",),
            failure="timeout",
        ),
        "The request [17] failed (instance 3), as the sender reports: timeout.",
    ),
    (
        TransferReopened(study=STUDY, project="HEART", event_name="", request=17, instance=3),
        "The request [17] is to be sent again (instance 3): the sender's report was taken away.",
    ),
    (
        RequestHeld(
            study=STUDY,
            project="HEART",
            event_name="",
            cause=Cause("coupling", "7", 3),
            whole_match=True,
            kind="two patients, one pseudonym",
            details="",
            studies=("9",),
        ),
        "Held for HEART, as coupling entry 7 asks for it: two patients, one pseudonym: other studies: 9.",
    ),
    (
        RequestQuestioned(
            study=STUDY, project="HEART", event_name="", kind="pseudonym does not fit", details="it is a number"
        ),
        "What is requested for HEART stands, and is to be looked at: pseudonym does not fit: it is a number.",
    ),
    (RequestReleased(study=STUDY, project="HEART", event_name=""), "No longer held for HEART."),
    (
        PatientRecognised(study=STUDY, project="HEART", name_fingerprint="", patient="1"),
        "Found out for whom its pseudonym in HEART is used.",
    ),
    (
        PatientRecognised(study=STUDY, project="HEART", name_fingerprint="", patient=None),
        "Its PatientID is its pseudonym in HEART: it says nothing about whose it is.",
    ),
    (
        PatientsJoined(study=STUDY, project="HEART", patient="1", counts_as="2", by="kari", reason="new number"),
        "kari said that its PatientID and another in HEART are one person's: new number",
    ),
]
OF_OTHER_STREAMS = {
    "RoutingRuleChanged",
    "ImportsRefused",
    "ImportsAccepted",
    "RedcapDoubted",
    "RedcapReturned",
    "RedcapAccepted",
    "LedgerDoubted",
    "LedgerAccepted",
    "BackupTried",
    "IdMissing",
    "RecordUnreadable",
    "RecordReadable",
    "RoutingRuleDoubted",
    "RoutingRuleReturned",
    "CouplingEntryDoubted",
    "CouplingEntryReturned",
    "AutoidProjectDoubted",
    "AutoidProjectReturned",
    "RoutingRuleRemoved",
    "CouplingEntryChanged",
    "CouplingEntryRemoved",
    "DecisionsMade",
    "ReplayStarted",
    "ReplayCompleted",
    "AutoidProjectChanged",
    "AutoidProjectRemoved",
    "IdGenerated",
    "IdAdopted",
    "IdReserved",
    "IdDelivered",
    "ContradictionFound",
    "ContradictionResolved",
    "AdoptionCompleted",
    "StartedFresh",
    "RawFolderReplaced",
    "SubjectForgotten",
    "ParticipantReported",
    "PatientSearched",
    "MasterKeyChanged",
    "ExpectedStudyMissing",
    "ExpectedStudyArrived",
    "ExpectedStudyNeverCame",
    "ExpectedStudyDismissed",
    "ParticipantWithdrew",
    "WithdrawalEntryChanged",
    "WithdrawalEntryDoubted",
    "WithdrawalEntryReturned",
    "WithdrawalEntryRemoved",
    "WithdrawalEntryDismissed",
}
"""What is of no study, and so in no study's timeline."""


def event_of(fact: Fact, position: int = 9) -> Event:
    """The event as the ledger gives it back."""
    data = orjson.loads(orjson.dumps(fact.data))
    kind, now = type(fact).__name__, datetime.now(UTC)
    return Event(position, uuid4(), "main", fact.stream, 1, kind, 1, data, None, None, now, uuid4(), bytes(32))


def told(fact: Fact, history: History | None = None) -> str:
    return sentence(event_of(fact), history or History())


def test_every_type_of_event_has_a_sentence_or_is_of_no_study() -> None:
    of_studies = {type(fact).__name__ for fact, _ in SENTENCES}
    assert of_studies.isdisjoint(OF_OTHER_STREAMS)
    assert of_studies | OF_OTHER_STREAMS == FACTS.keys()


@pytest.mark.parametrize(("fact", "words"), SENTENCES)
def test_an_event_of_a_study_is_told_in_words(fact: Fact, words: str) -> None:
    assert told(fact) == words
    assert fact.stream.split("/")[0] in ("study", "file")


def test_a_lost_update_of_a_request_says_which_request_and_where_it_is() -> None:
    """It used to say "transfer row", because the event held the request under another name than was looked for."""
    history = History(requests={17: REQUESTED})
    assert told(LOST_ROW, history) == "Somebody wrote the row of request [17] (instance 3) at the same moment."


def test_a_request_is_named_by_what_it_asked_for() -> None:
    history = History()
    sentence(event_of(REQUESTED, position=17), history)
    assert told(SENT, history).startswith("The request [17] for HEART, event baseline was sent")


def test_what_is_told_of_a_sending_again_is_no_other_one() -> None:
    history = History()
    told(SENT, history)
    again = replace(SENT, mapped_uids=("8.8.8",))
    assert told(again, history) == (
        "The request [17] was sent once at 2026-03-02 08:00 (instance 3); REDCap tells otherwise of that: "
        "study UID 8.8.8."
    )
    assert told(replace(SENT, sent_at="2026-03-03 08:00"), history).endswith("as REDCap says.")


def test_a_request_tells_what_its_rule_said_then_without_the_patterns() -> None:
    rule = a_rule("7", "HEART", called="FIONA", calling="CT1", patient_id_pattern="SECRET")
    assert told(REQUESTED, History(causes={5: rule})) == (
        "Requested for HEART, event baseline, because of routing rule 7, which then said: HEART, for series to FIONA "
        "or from CT1."
    )


def test_a_request_tells_what_its_entry_said_then() -> None:
    entry = an_entry("4", "HEART", accession="A1", event_name="baseline")
    assert told(replace(REQUESTED, cause=ENTRY), History(causes={6: entry})) == (
        "Requested for HEART, event baseline, because of coupling entry 4, which then said: HEART, event baseline, "
        "for an accession number."
    )


def test_a_request_tells_who_had_made_its_rule_say_so_where_redcaps_log_told() -> None:
    rule = a_rule("7", "HEART", called="FIONA", changed_by="astrid", changed_at="2026-03-02 10:14")
    words = told(REQUESTED, History(causes={5: rule}))
    assert words.endswith("for series to FIONA (by astrid in REDCap, 2026-03-02 10:14).")


def test_what_a_revision_changed_is_named_without_saying_what_it_was() -> None:
    history = History()
    told(ARRIVED, history)
    assert told(replace(REVISED, identity_fingerprint="b", AETitleCaller="CT2", NumFiles=9), history) == (
        "Series 1.2.1 was revised: the calling AE title, whose it is changed."
    )


def test_growth_is_told_by_the_number_of_files() -> None:
    history = History()
    told(ARRIVED, history)
    assert told(replace(REVISED, NumFiles=9), history) == "Series 1.2.1 grew from 4 to 9 files."


def test_an_event_of_another_stream_or_a_later_version_is_pointed_to() -> None:
    later = event_of(StudyVanished(StudyInstanceUID=STUDY))._replace(type="StudyTeleported")
    assert sentence(later, History()) == "StudyTeleported: see `fiona-ledger export --from 9 --to 9`."

"""The gateway's events: their names, their streams, and what their data holds.

Data keys that come from DICOM carry DICOM's keywords; others are snake_case. Positions are
integers. What identifies a person stands only in the sealed part, named last.

| type | data | sealed |
|---|---|---|
| SeriesDiscovered, SeriesRevised | `Summary.data`, `fingerprint`, `identity_fingerprint` | PatientID, PatientName |
| StudyVanished, StudyReturned | StudyInstanceUID | |
| FileRejected | path, reason, digest | |
| RejectionResolved | path, how ("readable", "gone") | |
| RoutingRuleChanged | the rule's fields, record_id, problems, fingerprint | |
| RoutingRuleRemoved, CouplingEntryRemoved | record_id | |
| CouplingEntryChanged | record_id, accession, study, project, event_name, date, problems, fingerprint | subject_id |
| DecisionsMade | site, position: decided up to there; studies, how many were looked at | |
| TransferRequested | study, project, event_name, cause, whole_match, replaces | pseudonym |
| TransferRetracted | study, project, request, reason, cause | |
| ConflictFound | study, project, event_name, kind, causes; request, where one of ours is contested | |
| ConflictResolved | study, project, event_name | |
| RuleTimedOut, RuleTimeoutResolved | record_id, study | |
| StudyDelivered | study, row (position or null), series: {UID: {instance, position}} | |
| TransferPlaced | study, request, instance, found (it stood there already) | |
| TransferAmended | study, request, instance, replaced: the request whose row it took over | |
| TransferReplaced | study, project, request, by, sent: the old row had been sent and needs a look | |
| RetractionDelivered | study, project, request, instance, sent | |
| RowRefused | study, kind, key, row_position, field, message | |
| RowAccepted | study, kind, key | |
| RowMissing, RowRestored | study, kind, key | |
| ClashFound | study, project, kind, request or series, instance: ours was written over somebody else's row there | |
| Acknowledged | position, by, reason | |
| DecidedByHand | study, project, event_name, action ("retract", "reassign"), by, reason | |
| ReplayStarted, ReplayCompleted | site, project, since, until, include_vanished, by | |
| AutoidProjectChanged | record_id, project, pattern, aetitle, wanted, problems, fingerprint | |
| AutoidProjectRemoved | record_id | |
| IdGenerated | project, value, pattern, project_position | key |
| IdAdopted | project, value, record_id: an entry that AutoID held already | key |
| IdReserved | project, value: a transfer request of somebody else carries it | |
| IdDelivered | project, value, record_id | |
| ContradictionFound | project, record_id, value, details | key |
| ContradictionResolved | project, record_id | |
| StudyHeld, StudyReleased | study, project, reason | |
| TransferObserved | study; if its row was read: project, event_name, instance, fingerprint; not ours | pseudonym |
| TransferSent | study, project, event_name, request (null: somebody else's), instance, sent_at as REDCap has it | |
| TransferFailed | study, project, event_name, request, instance, errors: the codes ticked, failure: its class | |
| TransferReopened | study, project, event_name, request, instance: the sender's report was taken away | |
| DifferenceAccepted | study, kind, key, fields, row_position, fingerprint of what REDCap says, by, reason | |
| StudyAdopted | study, series: {UID: instance}: its record stood in REDCap before this system | |
| TransferAdopted | study, project, event_name, instance, sent, requested: its minute; not ours | pseudonym |
| AdoptedTransferGone | study, instance: that request no longer stands there | |
| AdoptionCompleted | site, studies, series, transfers, ids, by: how many there were | |
| StartedFresh | site, by, records: how many stood in REDCap, treated as strangers' | |
| SubjectForgotten | what, name (blank for a patient), by, reason, subjects: {kind: [subject]}, studies: how many | |
| MasterKeyChanged | by, subjects: how many data keys it wraps | |

A cause is {kind: "rule" | "coupling" | "autoid" | "operator", record_id, position}: the rule, entry,
generated ID or operator that led to a request, and the event that holds its content as it was then.
"""

from enum import StrEnum


class EventType(StrEnum):
    """Every type of event that the gateway appends."""

    SERIES_DISCOVERED = "SeriesDiscovered"
    SERIES_REVISED = "SeriesRevised"
    STUDY_VANISHED = "StudyVanished"
    STUDY_RETURNED = "StudyReturned"
    FILE_REJECTED = "FileRejected"
    REJECTION_RESOLVED = "RejectionResolved"
    ROUTING_RULE_CHANGED = "RoutingRuleChanged"
    ROUTING_RULE_REMOVED = "RoutingRuleRemoved"
    COUPLING_ENTRY_CHANGED = "CouplingEntryChanged"
    COUPLING_ENTRY_REMOVED = "CouplingEntryRemoved"
    DECISIONS_MADE = "DecisionsMade"
    TRANSFER_REQUESTED = "TransferRequested"
    TRANSFER_RETRACTED = "TransferRetracted"
    CONFLICT_FOUND = "ConflictFound"
    CONFLICT_RESOLVED = "ConflictResolved"
    RULE_TIMED_OUT = "RuleTimedOut"
    RULE_TIMEOUT_RESOLVED = "RuleTimeoutResolved"
    STUDY_DELIVERED = "StudyDelivered"
    TRANSFER_PLACED = "TransferPlaced"
    TRANSFER_AMENDED = "TransferAmended"
    TRANSFER_REPLACED = "TransferReplaced"
    RETRACTION_DELIVERED = "RetractionDelivered"
    ROW_REFUSED = "RowRefused"
    ROW_ACCEPTED = "RowAccepted"
    ROW_MISSING = "RowMissing"
    ROW_RESTORED = "RowRestored"
    CLASH_FOUND = "ClashFound"
    ACKNOWLEDGED = "Acknowledged"
    DECIDED_BY_HAND = "DecidedByHand"
    REPLAY_STARTED = "ReplayStarted"
    REPLAY_COMPLETED = "ReplayCompleted"
    AUTOID_PROJECT_CHANGED = "AutoidProjectChanged"
    AUTOID_PROJECT_REMOVED = "AutoidProjectRemoved"
    ID_GENERATED = "IdGenerated"
    ID_ADOPTED = "IdAdopted"
    ID_RESERVED = "IdReserved"
    ID_DELIVERED = "IdDelivered"
    CONTRADICTION_FOUND = "ContradictionFound"
    CONTRADICTION_RESOLVED = "ContradictionResolved"
    STUDY_HELD = "StudyHeld"
    STUDY_RELEASED = "StudyReleased"
    TRANSFER_OBSERVED = "TransferObserved"
    TRANSFER_SENT = "TransferSent"
    TRANSFER_FAILED = "TransferFailed"
    TRANSFER_REOPENED = "TransferReopened"
    DIFFERENCE_ACCEPTED = "DifferenceAccepted"
    STUDY_ADOPTED = "StudyAdopted"
    TRANSFER_ADOPTED = "TransferAdopted"
    ADOPTED_TRANSFER_GONE = "AdoptedTransferGone"
    ADOPTION_COMPLETED = "AdoptionCompleted"
    STARTED_FRESH = "StartedFresh"
    SUBJECT_FORGOTTEN = "SubjectForgotten"
    MASTER_KEY_CHANGED = "MasterKeyChanged"


def study_stream(study: str) -> str:
    """The stream of one study: its series, decisions about it, its deliveries."""
    return f"study/{study}"


def file_stream(path: str) -> str:
    """The stream of one file, named by its path below the raw folder."""
    return f"file/{path}"


def rule_stream(record_id: str) -> str:
    """The stream of one routing rule."""
    return f"rule/{record_id}"


def coupling_stream(record_id: str) -> str:
    """The stream of one record of the coupling list."""
    return f"coupling/{record_id}"


def autoid_project_stream(record_id: str) -> str:
    """The stream of one record of the projects' list."""
    return f"autoid-project/{record_id}"


def autoid_stream(project: str) -> str:
    """The stream of all IDs of one project."""
    return f"autoid/{project}"


def decision_stream(site: str) -> str:
    """The stream of a site's progress in deciding, replays included."""
    return f"decisions/{site}"


def site_stream(site: str) -> str:
    """The stream of how a site began to write to REDCap."""
    return f"site/{site}"


def vault_stream(about: str) -> str:
    """The stream of what was done to keys: "subjects" that were forgotten, or the "master-key"."""
    return f"vault/{about}"

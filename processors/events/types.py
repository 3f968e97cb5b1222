"""The names of the types, and the streams."""

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
    ROUTING_RULE_DOUBTED = "RoutingRuleDoubted"
    ROUTING_RULE_RETURNED = "RoutingRuleReturned"
    ROUTING_RULE_REMOVED = "RoutingRuleRemoved"
    COUPLING_ENTRY_CHANGED = "CouplingEntryChanged"
    COUPLING_ENTRY_DOUBTED = "CouplingEntryDoubted"
    COUPLING_ENTRY_RETURNED = "CouplingEntryReturned"
    COUPLING_ENTRY_REMOVED = "CouplingEntryRemoved"
    DECISIONS_MADE = "DecisionsMade"
    TRANSFER_REQUESTED = "TransferRequested"
    TRANSFER_RETRACTED = "TransferRetracted"
    DECISION_DEFERRED = "DecisionDeferred"
    DECISION_RESUMED = "DecisionResumed"
    CONFLICT_FOUND = "ConflictFound"
    CONFLICT_RESOLVED = "ConflictResolved"
    RULE_TIMED_OUT = "RuleTimedOut"
    RULE_TIMEOUT_RESOLVED = "RuleTimeoutResolved"
    STUDY_DELIVERED = "StudyDelivered"
    TRANSFER_PLACED = "TransferPlaced"
    TRANSFER_AMENDED = "TransferAmended"
    TRANSFER_WITHDRAWN = "TransferWithdrawn"
    TRANSFER_RECALLED = "TransferRecalled"
    TRANSFER_STRAYED = "TransferStrayed"
    ROW_REFUSED = "RowRefused"
    ROW_ACCEPTED = "RowAccepted"
    ROW_MISSING = "RowMissing"
    ROW_RESTORED = "RowRestored"
    LOST_UPDATE_FOUND = "LostUpdateFound"
    ACKNOWLEDGED = "Acknowledged"
    DECIDED_BY_HAND = "DecidedByHand"
    REPLAY_STARTED = "ReplayStarted"
    REPLAY_COMPLETED = "ReplayCompleted"
    AUTOID_PROJECT_CHANGED = "AutoidProjectChanged"
    AUTOID_PROJECT_DOUBTED = "AutoidProjectDoubted"
    AUTOID_PROJECT_RETURNED = "AutoidProjectReturned"
    AUTOID_PROJECT_REMOVED = "AutoidProjectRemoved"
    ID_GENERATED = "IdGenerated"
    ID_ADOPTED = "IdAdopted"
    ID_RESERVED = "IdReserved"
    ID_DELIVERED = "IdDelivered"
    CONTRADICTION_FOUND = "ContradictionFound"
    CONTRADICTION_RESOLVED = "ContradictionResolved"
    STUDY_HELD = "StudyHeld"
    STUDY_RELEASED = "StudyReleased"
    STUDY_REQUESTED_BY_OTHERS = "StudyRequestedByOthers"
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

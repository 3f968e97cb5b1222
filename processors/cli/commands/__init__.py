"""The commands, one file each, and the registry of them.

To add one: `commands/NAME.py` with a function `command`, whose docstring is its help and which gives True where
something needs a person; its line below; its task in the README. `what-if` stands in `what_if.py`, `rules check` in
`rules_check.py`. Commands do not import each other: what several of them do stands one folder up.

Programs of their own stand here too: `populateIncoming`, `populateAutoID`, `gen-id` and `fiona-ledger-as-service`.
"""

COMMANDS = {
    "Every day": {
        "run": "Do the periodic job once: read, decide, write to REDCap.",
        "status": "Show how it is doing, and what needs a person.",
        "check": "Tell a monitor in one line whether it does its work.",
        "find": "List studies, and how far each has come.",
        "explain": "Tell what happened to a study, and why.",
        "serve": "Serve the page, for a web server that knows who asks.",
        "page": "Write the page's overview as files.",
    },
    "When something needs a person": {
        "acknowledge": "Take a notice off the list of what needs attention.",
        "done": "Say that a task is done that a withdrawal has left.",
        "retract": "Withdraw a transfer request, for good.",
        "reassign": "Give a transfer request another pseudonym.",
        "same-patient": "Say that two PatientIDs are one person's.",
        "reconcile": "Compare REDCap with the ledger, and settle what differs.",
        "recognise": "Take REDCap as it is now, after a move or a restore.",
        "replay": "Write all that is recorded to REDCap again.",
        "rebuild": "Derive all tables anew from the events.",
        "new-disk": "Say that the raw folder lies on another disk for good.",
    },
    "Rules and pseudonyms": {
        "what-if": "Try routing rules before they go live.",
        "rules check": "Look for rules that cannot work, or contradict others.",
        "identity check": "Look for shared, second and telling pseudonyms.",
    },
    "Setting up": {
        "docs": "Tell where the documentation is.",
        "init": "Write a configuration, units for systemd, and SQL.",
        "redcap xml": "Write REDCap's projects as files of which it makes them.",
        "redcap build": "Have REDCap make its projects, and keep their tokens.",
        "redcap check": "Tell whether each project of REDCap is as it must be.",
        "demo": "Try it on real summaries, against a simulated REDCap.",
        "migrate": "Set up the ledger's tables, or bring them up to date.",
        "backup": "Save an embedded ledger to a file.",
        "restore": "Make an embedded ledger anew from a backup.",
        "move": "Copy the ledger to another database, and verify it.",
        "drill": "Try whether a backup could be gone on from.",
        "grant": "Give PostgreSQL roles the least privileges that work.",
        "shadow": "Decide beside today's scripts; write nothing to REDCap.",
        "adopt": "Record what REDCap holds, to do none of it again.",
    },
    "Auditors": {
        "audit": "Show what the ledger tells an auditor.",
        "psql": "Open the ledger in PostgreSQL's own client.",
        "verify": "Check that nobody has tampered with the ledger.",
        "prove": "Prove what is held of a study to somebody outside.",
        "report project": "Report what a project asked for and got, to print.",
        "report participant": "Report which data of a person went where.",
        "report register": "Report what the register of processing takes from here.",
        "export": "Write events as lines of JSON, to keep elsewhere.",
    },
    "Keys and people": {
        "withdraw": "Record that a participant withdraws from a project.",
        "forget": "Destroy the keys of what identifies somebody, for good.",
        "rekey": "Give the ledger a new master key.",
    },
}
"""The line of each command in `fiona-ledger --help`, under its heading."""

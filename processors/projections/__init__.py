"""The gateway's projections: from events to the tables that runs decide and deliver by.

They hold no patient ID, patient name or pseudonym: where those are needed, the event's position
leads to its sealed part. So forgetting a subject (erasure) blanks nothing here, and a rebuild needs no key.

studies       what has arrived, and how much of it REDCap holds
directives    routing rules and coupling entries
mixed_studies studies whose series are of two patients
transfers     decisions, requests, conflicts
outcomes      what the sender reported of requests
problems      files rejected, rows refused or missing
pseudonyms    generated IDs
adopted       what REDCap held before
withdrawals   who withdrew, and which studies that concerns
identities    who uses which pseudonym
differences   what in REDCap may differ from what we wrote
statements    the regular SQL for a table: upsert, delete
rows          a batch of events carried over to rows, in few statements
"""

from processors.projections.adopted import Adopted
from processors.projections.differences import Differences
from processors.projections.directives import Directives
from processors.projections.identities import Identities
from processors.projections.mixed_studies import MixedStudies
from processors.projections.outcomes import Outcomes
from processors.projections.problems import Problems
from processors.projections.pseudonyms import Pseudonyms
from processors.projections.studies import Studies
from processors.projections.transfers import Transfers
from processors.projections.withdrawals import Withdrawals

PROJECTIONS = (
    Studies(),
    Directives(),
    MixedStudies(),
    Transfers(),
    Problems(),
    Pseudonyms(),
    Adopted(),
    Withdrawals(),
    Outcomes(),
    Identities(),
    Differences(),
)

__all__ = ["PROJECTIONS"]

"""REDCap's web API: responses that can be trusted, and a rate limit that keeps our address from being banned.

readable     an export that one of its records spoils, read without it
project      one project: client and data dictionary together; unknown fields are looked up, once more
client       the calls of all projects; which are retried, and how long that waits (back-off)
calls        what a call asks for: its form, and its words for messages
responses    what a trusted response says: rows, counts, the dictionary
refusals     what any other response means: 401 and 403, a ban, an outage, refused rows
error_text   REDCap's own error in a response: against which rows and fields it is
errors       the tree of errors that calls end with
bans         what looks like a ban (IP address blocked), and the advice about it
rate_limit   the calls a minute that all processes share, and the pause after a ban (PostgreSQL)
cell_rate    when the next call is due (pure): the algorithm of the rate limit
transport    HTTP: connections, timeouts, proxies, certificates, redirects
answer       how much of an answer is listened to: time, bytes, bytes unpacked
redaction    foreign words made fit for a message: no values, no tokens
dictionary   the data dictionary: fields and choices
project_xml  a project as a file of which REDCap makes one: CDISC ODM with its extensions (pure)
looked_up    the dictionaries and missing data codes as last looked up, kept for all processes
missing_data the codes by which a project says that there is no value
rows         a row of an export, every value as text
incoming     the rows of Incoming and the transfers: how ours are written, how theirs are read (pure)
log          REDCap's log of what was done to records: who overwrote whom (lost updates), who changed a rule
dry_run      the client that writes nothing
"""

from .client import Redcap
from .errors import Banned, Blocked, Misdirected, NotPermitted, RowProblem, RowsRefused, UnknownFields
from .log import LogLine
from .looked_up import LookedUp
from .project import Project
from .rate_limit import NoRateLimit, SharedRateLimit
from .rows import Row

__all__ = [
    "Banned", "Blocked", "LogLine", "LookedUp", "Misdirected", "NoRateLimit", "NotPermitted", "Project",
    "Redcap", "Row", "RowProblem", "RowsRefused", "SharedRateLimit", "UnknownFields",
]  # fmt: skip

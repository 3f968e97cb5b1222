"""Why the sender could not carry out a request, as a class of its message. Pure.

The message itself is not kept: it may hold a patient's name, and is written by a program that is not ours.
"""

import re

NONE_GIVEN = "none given"
OTHER = "other"

# The first that fits counts: "connection timed out" is a timeout, "connection refused" no connection.
_CLASSES = {
    "timeout": r"time[d]?[ -]?out|deadline exceeded",
    "no space": r"no space|disk (?:is )?full|disk quota|quota exceeded|out of disk",
    "no connection": r"(?:no|cannot|could not|failed to|unable to) connect|unreachable|no route|broken pipe|network"
    r"|connection (?:was |is )?(?:refused|reset|closed|aborted|lost|failed)|name or service not known|not resolve",
    "pseudonymisation": r"pseudonym|anonymi|de-?identif|mapping",
    "refused by the archive": r"reject|refused|denied|forbidden|(?:un|not )authori|sop class|0x[a-c]\d{3}|store failed",
    "not found on disk": r"no such (?:file|directory)|not found|does not exist|missing|no (?:files|images|data)\b",
}
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _CLASSES.items())

VOCABULARY = (*_CLASSES, OTHER, NONE_GIVEN)
"""Every class there is."""


def failure_class(message: str) -> str:
    """The class of the sender's message: one of `VOCABULARY`."""
    if not message.strip():
        return NONE_GIVEN
    return next((name for name, pattern in _PATTERNS if pattern.search(message)), OTHER)

"""REDCap's web API: calls whose answers can be trusted, and a budget that keeps us from being banned."""

from .budget import CallBudget, NoBudget
from .choices import choices
from .client import Redcap
from .dictionary import forget_fields, known_fields, remembered_fields
from .errors import Banned, Misdirected, RowProblem, RowsRefused, UnknownFields
from .log import LogLine
from .rehearsal import RehearsedRedcap
from .rows import Row

__all__ = [
    "Banned", "CallBudget", "LogLine", "Misdirected", "NoBudget", "Redcap", "RehearsedRedcap", "Row",
    "RowProblem", "RowsRefused", "UnknownFields", "choices", "forget_fields", "known_fields", "remembered_fields",
]  # fmt: skip

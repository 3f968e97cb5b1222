"""Why studies go where they go, and where they would go under other rules: answered from the ledger alone."""

from processors.explaining.checks import Finding, check, projects_named, try_rules
from processors.explaining.comparison import Change, Comparison, changed_table, compare
from processors.explaining.directives import in_force
from processors.explaining.explanation import Explanation, explain
from processors.explaining.nearness import Matching
from processors.explaining.rules_file import read_rules
from processors.explaining.search import find_study

__all__ = [
    "Change",
    "Comparison",
    "Explanation",
    "Finding",
    "Matching",
    "changed_table",
    "check",
    "compare",
    "explain",
    "find_study",
    "in_force",
    "projects_named",
    "read_rules",
    "try_rules",
]

"""A REDCap server for tests and demonstrations: it behaves as far as its clients can see like a real one."""

from .calls import Call
from .dictionary import Dictionary, Field
from .faults import Fault
from .project import Project
from .replies import Refusal
from .simulator import Settings, Simulator
from .standard import standard_projects

__all__ = [
    "Call",
    "Dictionary",
    "Fault",
    "Field",
    "Project",
    "Refusal",
    "Settings",
    "Simulator",
    "standard_projects",
]

"""A REDCap server for tests and demonstrations: it behaves as far as its clients can see like a real one.

A file imports only from files below it:

* `__main__`: `python -m processors.demo.simulator`, a server until it is interrupted
* `simulator`: the whole from start to close: projects, settings, faults, hooks
* `standard`: the projects of a gateway, empty, as `processors.project_designs` has them
* `server`: HTTP/1.1, and the admin paths for faults and calls
* `creation`: projects made of project XML, by whoever has the super token
* `course`: one call with the faults before, in place of and after its answer
* `state`: the file in which projects outlive a process
* `limiter`: the limit on calls a minute, and the ban
* `api`: `content` and `action` choose the operation
* `record_calls`: the operations on records
* `descriptions`: the operations on a project: dictionary, instruments, log
* `question`: one call as it is understood, and what came of it
* `logic`: `filterLogic`
* `project`: what people do to a project, and the rights of its token's user
* `export`: the rows and columns that a call is given
* `importing`: rows checked and stored, all or none
* `record_store`: records with their instances and locks, and the log of changes
* `faults`: what a test can switch on
* `alterations`: what servers make of values that they save
* `payload`: the `data` of an import, read into rows
* `validation`: one value checked against its field
* `calls`: what is remembered of each call
* `dictionary`: forms, fields and columns
* `log`: the entries of the log, and how they are asked for
* `parameters`: a request's form, read as PHP reads it
* `replies`: tables, errors and refusals in json, csv and xml
"""

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

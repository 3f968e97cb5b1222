"""What is to be said of REDCap: its server's certificate and clock, and each project beside its design. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Final

from processors.operations import health
from processors.operations.health import Severity
from processors.project_designs import ProjectDesign
from processors.redcap.dictionary import choices, field_names
from processors.redcap.missing_data import codes_of

from .facts import ProjectFacts, RedcapFacts, Row, Trouble
from .finding import Finding, doubtful, ok, trouble, wrong

_AREA: Final = "redcap"
_ZONES_DIFFER_BY: Final = timedelta(minutes=15)


def findings(facts: RedcapFacts) -> Iterator[Finding]:
    """What REDCap told of its server and of each project."""
    yield from _server(facts)
    for name, problem in facts.unreadable_tokens.items():
        yield trouble(_AREA, f"{name}: token", problem)
    for project in facts.projects:
        yield from _project(project)
    yield from _one_for_two(facts.projects)


def _server(facts: RedcapFacts) -> Iterator[Finding]:
    if facts.certificate_ends is not None:
        ends = f"ends on {facts.certificate_ends:%Y-%m-%d}"
        soon = list(health.certificate_findings(facts.certificate_ends, facts.now))
        expected = f"one that lasts {health.CERTIFICATE_NOTICE.days} days or more"
        yield from (Finding(_AREA, "certificate", each.severity, ends, expected, each.advice) for each in soon)
        if not soon:
            yield ok(_AREA, "certificate", ends)
    if facts.clock_ahead is not None:
        off = list(health.clock_findings({"REDCap": facts.clock_ahead}, facts.clock_tolerance))
        yield from (
            Finding(_AREA, "clock", each.severity, each.words, "clocks that agree", each.advice) for each in off
        )
        if not off:
            yield ok(_AREA, "clock", "agrees with this machine's")
    yield from _zone(facts)


def _zone(facts: RedcapFacts) -> Iterator[Finding]:
    ahead = facts.log_ahead
    if isinstance(ahead, Trouble):
        yield Finding(_AREA, "time zone", Severity.WARNING, ahead.words)
    elif ahead is not None and abs(ahead) >= _ZONES_DIFFER_BY:
        side = "ahead of" if ahead > timedelta(0) else "behind"
        yield doubtful(
            _AREA,
            "time zone",
            "REDCap's log in this machine's time zone",
            f"times {abs(ahead) / timedelta(hours=1):g} hours {side} it: what changed since a time is asked by ours",
            "Give the gateway REDCap's zone: `timedatectl set-timezone`, or `Environment=TZ=...` in the unit.",
        )
    elif ahead is not None:
        yield ok(_AREA, "time zone", "its log is written in this machine's")


def _project(facts: ProjectFacts) -> Iterator[Finding]:
    name = facts.design.name
    if isinstance(facts.info, Trouble):
        yield trouble(_AREA, name, facts.info)
        return
    yield _kind(facts.design, facts.info)
    if isinstance(facts.dictionary, Trouble):
        yield trouble(_AREA, f"{name}: fields", facts.dictionary)
    else:
        yield from _fields(facts.design, facts.needed, facts.dictionary)
        yield _codes(facts.design, facts.dictionary, codes_of(dict(facts.info)))
    yield _repeating(facts)
    yield from _user(facts)


def _kind(design: ProjectDesign, info: Row) -> Finding:
    title = f"project {info['project_id']}, {info.get('project_title', '')}" if "project_id" in info else "it answers"
    if info.get("is_longitudinal") == "1":
        return wrong(
            _AREA,
            design.name,
            "a classic project",
            f"a longitudinal one ({title})",
            "Project Setup → Main project settings → Use longitudinal data collection: Disable; or check the token.",
        )
    if info.get("record_autonumbering_enabled") == "1" and not design.autonumbering and design.repeating:
        return doubtful(
            _AREA,
            design.name,
            "record ids that are UIDs",
            f"that REDCap numbers the records ({title})",
            "Project Setup → Enable optional modules → Auto-numbering for records: Disable.",
        )
    return ok(_AREA, design.name, title)


def _fields(design: ProjectDesign, needed: Collection[str], dictionary: Sequence[Row]) -> Iterator[Finding]:
    name, known = f"{design.name}: fields", field_names(dictionary)
    first = dictionary[0]["field_name"]
    missing = sorted(set(needed) - known)
    if missing:
        yield wrong(_AREA, name, "all that are needed", f"that it lacks {', '.join(missing)}", _designer(design))
    if first != design.record_id:
        advice = (
            f"Designer: move {design.record_id} to the top. If it is another project: check "
            f"redcap.tokens.{design.name}."
        )
        yield wrong(_AREA, name, f"{design.record_id} as the first, that of the record id", first, advice)
    unfit = [*_unfit_types(design, dictionary), *(_unfit_validations(design, dictionary) if design.is_written else ())]
    if unfit:
        yield doubtful(_AREA, name, "types and validations of docs/redcap.md", "; ".join(unfit), _designer(design))
    if not missing and not unfit and first == design.record_id:
        optional = [field["field_name"] for field in design.fields if field["field_name"] not in known]
        yield ok(_AREA, name, f"all; without {', '.join(optional)}, left out" if optional else "all")


def _designer(design: ProjectDesign) -> str:
    return (
        f"Designer → the instrument → Add Field, or Edit; `fiona-ledger redcap xml` writes a project that has all. If "
        f"it is another project: check redcap.tokens.{design.name}."
    )


_ALIKE: Final = (
    frozenset({"text", "notes"}),
    frozenset({"yesno", "truefalse", "dropdown", "radio"}),
)
"""Types of fields whose values look the same in exports and imports."""


def _unfit_types(design: ProjectDesign, dictionary: Sequence[Row]) -> Iterator[str]:
    found = {field["field_name"]: field["field_type"] for field in dictionary}
    for field in design.fields:
        name, wanted = field["field_name"], field["field_type"]
        there = found.get(name, wanted)
        if there != wanted and not any({there, wanted} <= alike for alike in _ALIKE):
            yield f"{name} is of type {there}, not {wanted}"


def _unfit_validations(design: ProjectDesign, dictionary: Sequence[Row]) -> Iterator[str]:
    """Validations by which REDCap would refuse what is written there. How a date is shown is no matter."""
    found = {field["field_name"]: _validation(field) for field in dictionary if field["field_type"] == "text"}
    for field in design.fields:
        name, wanted = field["field_name"], _validation(field)
        there = found.get(name, "")
        if there not in ("", wanted):
            yield f"{name} is validated as {there}, not {wanted or 'at all'}"


def _validation(field: Row) -> str:
    validation = field.get("text_validation_type_or_show_slider_number", "")
    for order in ("_ymd", "_mdy", "_dmy"):
        validation = validation.removesuffix(order)
    return validation


def _codes(design: ProjectDesign, dictionary: Sequence[Row], codes: Collection[str]) -> Finding:
    """The missing data codes, which count as blank: a choice of that code could not be made any more."""
    name = f"{design.name}: missing data codes"
    values, ours = {"yesno": ("0", "1")}, {field["field_name"] for field in design.fields}
    taken = [
        f"{code} of {field['field_name']}"
        for field in dictionary
        if field["field_name"] in ours
        for code in values.get(field["field_type"], choices(field["select_choices_or_calculations"]))
        if code in codes
    ]
    if taken:
        return wrong(
            _AREA,
            name,
            "none that is a value of a field",
            f"one that is: {', '.join(taken)}, which counts as blank",
            "Project Setup → Additional customizations → Missing Data Codes: take it out.",
        )
    return ok(_AREA, name, f"{', '.join(sorted(codes))} count as blank" if codes else "none")


def _repeating(facts: ProjectFacts) -> Finding:
    design, told = facts.design, facts.repeating
    name = f"{design.name}: repeating instruments"
    if isinstance(told, Trouble):
        return trouble(_AREA, name, told)
    found = set(told)
    if found & set(design.forms) == set(design.repeating):
        return ok(_AREA, name, ", ".join(design.repeating) or "none")
    return wrong(
        _AREA,
        name,
        ", ".join(design.repeating) or "none of ours",
        ", ".join(sorted(found)) or "none",
        "Project Setup → Enable optional modules → Repeating instruments and events → Modify: "
        + (f"tick {', '.join(design.repeating)}, and no other." if design.repeating else "tick none."),
    )


_RIGHTS: Final[Mapping[str, str]] = {
    "reading": "User Rights → the token's user → Data Export Rights: Full Data Set; API Export.",
    "importing": "User Rights → the token's user → API Import/Update.",
    "group": "DAGs → take the token's user out of its group: it sees that group's records alone.",
    "logging": "User Rights → the token's user → Logging: only the log shows what was written over somebody's.",
}


def _user(facts: ProjectFacts) -> Iterator[Finding]:
    """The rights of the token's user, and no group."""
    name = f"{facts.design.name}: rights"
    problems = {
        "reading": facts.reading if isinstance(facts.reading, Trouble) else None,
        "importing": facts.importing,
        "group": facts.group,
        "logging": facts.logging,
    }
    for right, problem in problems.items():
        if problem is not None:
            severity = Severity.WARNING if right == "logging" else Severity.CRITICAL
            yield Finding(_AREA, name, severity, problem.words, advice=_RIGHTS[right])
    if not any(problems.values()):
        unseen = "" if facts.reading else "; no row tells whether all fields are exported (Full Data Set)"
        yield ok(_AREA, name, f"as they must be, and in no data access group{unseen}")


def _one_for_two(projects: Sequence[ProjectFacts]) -> Iterator[Finding]:
    """Tokens that lead to one project: all but one of them are another's."""
    numbers = [
        (facts.info["project_id"], facts.design.name)
        for facts in projects
        if not isinstance(facts.info, Trouble) and "project_id" in facts.info
    ]
    for number, alike in groupby(sorted(numbers), key=lambda each: each[0]):
        names = [name for _, name in alike]
        if len(names) > 1 and set(names) != {"incoming", "transfers"}:
            yield wrong(
                _AREA,
                "tokens",
                "a project for each",
                f"project {number} behind those of {' and '.join(names)}",
                "Put each project's own token into the configuration: My Projects → the project → API.",
            )

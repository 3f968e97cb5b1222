"""Asking REDCap, with each token, what the project is and what the token's user may do. Nothing is written there."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from processors.clocks import ClockComparison
from processors.delivery.recognition import project_info, require_no_group
from processors.errors import Refused, ServiceError
from processors.project_designs import ProjectDesign, project_designs
from processors.redcap import Banned, Blocked, NotPermitted, Redcap, Row
from processors.redcap.dictionary import field_names
from processors.redcap.needed import needed

from .facts import ProjectFacts, RedcapFacts, Told, Trouble
from .machine import InWords, told

_A_DAY: Final = timedelta(days=1)
_ALL_ZONES: Final = timedelta(hours=14)
_STEP: Final = timedelta(minutes=15)
_SLOW: Final = timedelta(minutes=3)


def designs_for(redcap: Redcap) -> dict[str, ProjectDesign]:
    """How the projects should be of which there are tokens."""
    designs = project_designs(separate_transfers=redcap.has("transfers"), with_withdrawals=True)
    return {name: design for name, design in designs.items() if redcap.has(name)}


def redcap_facts(
    redcap: Redcap,
    clocks: ClockComparison,
    unreadable_tokens: Mapping[str, Trouble],
    *,
    now: datetime,
    clock_tolerance: timedelta,
    in_words: InWords,
) -> RedcapFacts:
    """What REDCap tells with the tokens that can be read: about eight calls for each project."""
    projects = [_project(redcap, design, now, in_words) for design in designs_for(redcap).values()]
    answers = [facts.design.name for facts in projects if not isinstance(facts.info, Trouble) and facts.logging is None]
    log_ahead: Told[timedelta | None] = None
    if "incoming" in answers:
        log_ahead = told(lambda: _log_ahead(redcap, now), in_words)
    return RedcapFacts(
        now=now,
        unreadable_tokens=unreadable_tokens,
        projects=projects,
        clock_ahead=clocks.differences.get("REDCap") if answers else None,
        clock_tolerance=clock_tolerance,
        log_ahead=log_ahead,
        certificate_ends=redcap.certificate_ends,
    )


def _project(redcap: Redcap, design: ProjectDesign, now: datetime, in_words: InWords) -> ProjectFacts:
    name = design.name

    def problem(question: Callable[[], object]) -> Trouble | None:
        answer = told(question, in_words)
        return answer if isinstance(answer, Trouble) else None

    required = needed(name, separate_transfers=redcap.has("transfers"))
    info = told(lambda: project_info(redcap, name), in_words)
    if isinstance(info, Trouble):
        return ProjectFacts(design=design, needed=required, info=info)
    dictionary = told(lambda: redcap.metadata(name), in_words)
    asks_log = name in ("incoming", "transfers")
    return ProjectFacts(
        design=design,
        needed=required,
        info=info,
        dictionary=dictionary,
        repeating=told(lambda: _repeating(redcap, name), in_words),
        group=problem(lambda: require_no_group(name, redcap.next_record_name(name))),
        reading=told(lambda: _read(redcap, design, dictionary, now), in_words),
        importing=problem(lambda: _may_import(redcap, design)) if design.is_written else None,
        logging=problem(lambda: redcap.export_log(name, since=now)) if asks_log else None,
    )


def _repeating(redcap: Redcap, name: str) -> Collection[str]:
    """The instruments that repeat: where none does, REDCap refuses the question."""
    try:
        return redcap.repeating_instruments(name)
    except (NotPermitted, Banned, Blocked):
        raise
    except Refused:
        return ()


def _read(redcap: Redcap, design: ProjectDesign, dictionary: Told[list[Row]], now: datetime) -> bool:
    """Whether there are rows, of a list any, of what this system writes those of the last day.

    Raises where fields are left out of them: REDCap does so without a word where a user may not see them. Another
    project, which has none of the fields, is not asked: the dictionary tells what is wrong.
    """
    if isinstance(dictionary, Trouble):
        return False
    known = field_names(dictionary)
    fields = [field["field_name"] for field in design.fields if field["field_name"] in known]
    if not fields:
        return False
    return bool(
        redcap.export_records(design.name, fields=fields, changed_since=now - _A_DAY if design.is_written else None)
    )


def _may_import(redcap: Redcap, design: ProjectDesign) -> None:
    """Raises `NotPermitted` where the user may not import: rights are looked at before what is to be imported."""
    try:
        redcap.import_nothing(design.name, design.record_id)
    except (NotPermitted, Banned, Blocked):
        raise
    except ServiceError:
        return


def _log_ahead(redcap: Redcap, now: datetime) -> timedelta | None:
    """How much later than ours the times in REDCap's log are, by the line of a call that was made a moment ago.

    None where the log has no such line: not every server writes one.
    """
    local = now.astimezone().replace(tzinfo=None)
    since = now.astimezone().replace(tzinfo=None) - (now.utcoffset() or timedelta(0)) - _ALL_ZONES
    newest = redcap.newest_log_time("incoming", since=since)
    if newest is None:
        return None
    ahead = newest - local
    steps = _STEP * round(ahead / _STEP)
    return steps if abs(ahead - steps) <= _SLOW else None

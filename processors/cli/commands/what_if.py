"""`fiona-ledger what-if`: what other routing rules would change."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from processors.cli import console, dates
from processors.cli.bootstrap import opened_tables
from processors.cli.options import JsonOption
from processors.errors import ConfigurationError
from processors.explain import policy, rules_check, rules_file, what_if
from processors.explain.near_miss import Matching
from processors.explain.sentences import SETTLED_BY, cause_name, destination, hold_in_words
from processors.explain.what_if import CHANGE_KINDS, Comparison, Decision, RequestChange
from processors.routing.configured_checks import checks_of

_STUDIES_SHOWN = 12


def command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Changed or new rules: JSON or CSV, with labels.")],
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Only studies that arrived since (YYYY-MM-DD).")
    ] = None,
    whole_table: Annotated[
        bool, typer.Option("--whole-table", help="FILE holds all rules: those that are not in it are dropped.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Try routing rules before they go live: which recorded studies would gain, lose or change a request.

    FILE holds rules by REDCap's field names, routing_dest_project being the project's name. Nothing is recorded.

    Example: fiona-ledger what-if new-rules.csv --since 2026-01-01
    """
    first = dates.since("--since", since)
    with opened_tables(context.obj) as (configuration, gateway), gateway.begin() as work:
        directed = policy.in_force(work)
        known = {*rules_check.projects_named(work), *(rule.project for rule in directed.rules.values())}
        rules = rules_file.read_rules(file, known)
        _require_usable(file, [(rule.record_id, problem) for rule in rules for problem in rule.problems])
        changed = what_if.changed_table(directed.rules.values(), rules, whole=whole_table)
        with console.step("Trying the rules") as progress:
            comparison = what_if.compare(
                work,
                directed,
                changed,
                Matching(configuration.routing.match, configuration.routing.time_limit_seconds),
                checks=checks_of(configuration),
                since=first,
                progress=progress,
            )
    unknown = sorted({rule.project for rule in rules} - known)
    if json:
        console.print_json(_comparison_data(comparison, unknown))
    else:
        _print_comparison(comparison, unknown)


def _require_usable(file: Path, problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        lines = "\n  ".join(f"rule {record}: {problem}" for record, problem in problems)
        raise ConfigurationError(f"{file}: expected rules that can be used, found\n  {lines}")


def _print_comparison(comparison: Comparison, unknown: Sequence[str]) -> None:
    out = console.output()
    rules = ", ".join(comparison.changed_rules) or "none"
    console.say(out, f"{comparison.studies} recorded studies tried; rules that differ: {rules}. Nothing was recorded.")
    for line in _caveats(comparison, unknown):
        console.say(out, f"  {line}")
    if not comparison.changes:
        console.say(out, "No study would gain, lose or change a request, and no conflict would arise or go.")
        return
    counts = comparison.by_project()
    columns = ("project", "gain", "lose", "change", "conflicts arise", "conflicts go")
    rows = [[project, *(str(count[kind] or "") for kind in CHANGE_KINDS)] for project, count in counts.items()]
    console.heading(out, "Studies by project")
    console.print_table(out, columns, rows)
    console.heading(out, "Studies")
    for words, changes in _alike(comparison.changes).items():
        console.say(out, f"{words}: {len(changes)}")
        for change in changes[:_STUDIES_SHOWN]:
            console.say(out, f"    {change.study}" + (f"  (in force: {change.stands})" if change.stands else ""))
        if len(changes) > _STUDIES_SHOWN:
            console.say(out, f"    ... and {len(changes) - _STUDIES_SHOWN} more (`--json` lists them all)")
    if any(change.stands for change in comparison.changes):
        console.say(out, "What is in force stays so: rules are applied when a study gains a series, and by a replay.")


def _caveats(comparison: Comparison, unknown: Sequence[str]) -> Iterator[str]:
    if comparison.forgotten:
        yield f"{comparison.forgotten} of the studies have been forgotten: no pattern can be tried on them."
    if comparison.of_two_patients:
        yield f"{comparison.of_two_patients} of the studies have series of two patients: no rule is tried on them."
    if comparison.late:
        yield f"Ran out of time, and match nothing then: {', '.join(comparison.late)}. See `fiona-ledger rules check`."
    if comparison.left_out:
        yield f"Left out on both sides, as they did so again and again: {', '.join(comparison.left_out)}."
    if unknown:
        yield f"Nothing that the ledger knows names {', '.join(unknown)}: new, or misspelt. REDCap was not asked."


def _alike(changes: Sequence[RequestChange]) -> dict[str, list[RequestChange]]:
    """The changes by what they are, in words."""
    groups: dict[str, list[RequestChange]] = {}
    for change in changes:
        kinds = f"{destination(*change.key)}: {', '.join(change.kinds)}"
        words = f"{kinds} (now {_decision_words(change.before)}, then {_decision_words(change.after)})"
        if change.held is not None:
            words += f"; held, {hold_in_words(*change.held)}. {SETTLED_BY[change.held.kind]}"
        groups.setdefault(words, []).append(change)
    return dict(sorted(groups.items()))


def _decision_words(decision: Decision | None) -> str:
    if decision is None:
        return "nothing"
    causes = " and ".join(cause_name(cause.kind, cause.record_id) for cause in decision.causes)
    if decision.is_conflict:
        return f"a conflict of {causes}"
    return causes if decision.whole_match else f"{causes}, matching the start of the text only"


def _comparison_data(comparison: Comparison, unknown: Sequence[str]) -> dict[str, Any]:
    return {
        "studies": comparison.studies,
        "forgotten": comparison.forgotten,
        "of_two_patients": comparison.of_two_patients,
        "changed_rules": comparison.changed_rules,
        "late": comparison.late,
        "left_out": comparison.left_out,
        "unknown_projects": unknown,
        "projects": {
            project: {k: count[k] for k in CHANGE_KINDS} for project, count in comparison.by_project().items()
        },
        "changes": [
            {
                "study": change.study,
                "project": change.key.project,
                "event_name": change.key.event_name,
                "kinds": change.kinds,
                "before": _decision_data(change.before),
                "after": _decision_data(change.after),
                "in_force": change.stands or None,
                "held": None if change.held is None else {"kind": change.held.kind, "details": change.held.details},
            }
            for change in comparison.changes
        ],
    }


def _decision_data(decision: Decision | None) -> dict[str, Any] | None:
    """Without the pseudonym."""
    if decision is None:
        return None
    causes = [{"kind": cause.kind, "record_id": cause.record_id} for cause in decision.causes]
    return {"conflict": decision.is_conflict, "causes": causes, "whole_match": decision.whole_match}

"""What `what-if` and `rules check` do, once their arguments are understood."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from processors.cli import dates, screen
from processors.cli.wording import heading, matching_of, opened_ledger, print_table, say
from processors.errors import ConfigurationError
from processors.explain import policy, rules_check, rules_file
from processors.explain.rules_check import Finding
from processors.explain.verdict import where, why
from processors.explain.what_if import CHANGE_KINDS, Change, Comparison, Settled, changed_table, compare

_STUDIES_SHOWN = 12

_CAVEAT = (
    "A project counts as known where a rule, a coupling entry, a request or auto-ID names it: REDCap was not asked."
)


def what_if(config: Path | None, file: Path, *, since: str | None, whole_table: bool, json: bool) -> None:
    """Prints what other rules would change."""
    first = dates.since("--since", since)
    with opened_ledger(config) as (configuration, gateway), gateway.begin() as work:
        directed = policy.in_force(work)
        known = {*rules_check.projects_named(work), *(rule.project for rule in directed.rules.values())}
        rules = rules_file.read_rules(file, known)
        _require_usable(file, [(rule.record_id, problem) for rule in rules for problem in rule.problems])
        changed = changed_table(directed.rules.values(), rules, whole=whole_table)
        with screen.step("Trying the rules") as progress:
            found = compare(
                work,
                directed,
                changed,
                matching_of(configuration),
                since=first,
                progress=progress,
            )
    unknown = sorted({rule.project for rule in rules} - known)
    if json:
        screen.print_json(_comparison_data(found, unknown))
    else:
        _print_comparison(found, unknown)


def check(config: Path | None, file: Path | None, *, json: bool) -> bool:
    """Prints what is wrong with the rules; True where something is."""
    with opened_ledger(config) as (configuration, gateway), gateway.begin() as work:
        matching = matching_of(configuration)
        rules = list(policy.in_force(work).rules.values())
        others = set(rules_check.projects_named(work))
        if file is not None:
            others |= {rule.project for rule in rules}
            rules = rules_file.read_rules(file, others)
        with screen.step("Trying the rules") as progress:
            tried = rules_check.try_rules(work, rules, matching, progress)
    findings = rules_check.check(rules, tried, others, matching, typed=file is not None)
    counted = {"rules": len(rules), "studies": tried.studies, "forgotten": tried.forgotten}
    if json:
        screen.print_json({**counted, "findings": [asdict(finding) for finding in findings], "caveat": _CAVEAT})
    else:
        _print_findings(findings, counted)
    return any(not finding.remark for finding in findings)


def _require_usable(file: Path, problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        lines = "\n  ".join(f"rule {record}: {problem}" for record, problem in problems)
        raise ConfigurationError(f"{file}: expected rules that can be used, found\n  {lines}")


def _print_comparison(found: Comparison, unknown: Sequence[str]) -> None:
    out = screen.console()
    rules = ", ".join(found.changed_rules) or "none"
    say(out, f"{found.studies} recorded studies tried; rules that differ: {rules}. Nothing was recorded.")
    for line in _caveats(found, unknown):
        say(out, f"  {line}")
    if not found.changes:
        say(out, "No study would gain, lose or change a request, and no conflict would arise or go.")
        return
    counts = found.by_project()
    columns = ("project", "gain", "lose", "change", "conflicts arise", "conflicts go")
    rows = [[project, *(str(count[kind] or "") for kind in CHANGE_KINDS)] for project, count in counts.items()]
    heading(out, "Studies by project")
    print_table(out, columns, rows)
    heading(out, "Studies")
    for words, changes in _alike(found.changes).items():
        say(out, f"{words}: {len(changes)}")
        for change in changes[:_STUDIES_SHOWN]:
            say(out, f"    {change.study}" + (f"  (in force: {change.stands})" if change.stands else ""))
        if len(changes) > _STUDIES_SHOWN:
            say(out, f"    ... and {len(changes) - _STUDIES_SHOWN} more (`--json` lists them all)")
    if any(change.stands for change in found.changes):
        say(out, "What is in force stays so: rules are applied when a study gains a series, and by a replay.")


def _caveats(found: Comparison, unknown: Sequence[str]) -> Iterator[str]:
    if found.forgotten:
        yield f"{found.forgotten} of the studies have been forgotten: no pattern can be tried on them."
    if found.late:
        yield f"Ran out of time, and match nothing then: {', '.join(found.late)}. See `fiona-ledger rules check`."
    if found.left_out:
        yield f"Left out on both sides, as they did so again and again: {', '.join(found.left_out)}."
    if unknown:
        yield f"Nothing that the ledger knows names {', '.join(unknown)}: new, or misspelt. REDCap was not asked."


def _alike(changes: Sequence[Change]) -> dict[str, list[Change]]:
    """The changes by what they are, in words."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        what = f"{where(change.key)}: {', '.join(change.kinds)}"
        found.setdefault(f"{what} (now {_settled(change.before)}, then {_settled(change.after)})", []).append(change)
    return dict(sorted(found.items()))


def _settled(settled: Settled | None) -> str:
    if settled is None:
        return "nothing"
    causes = " and ".join(why(cause) for cause in settled.causes)
    if settled.is_conflict:
        return f"a conflict of {causes}"
    return causes if settled.whole_match else f"{causes}, matching the start of the text only"


def _comparison_data(found: Comparison, unknown: Sequence[str]) -> dict[str, Any]:
    return {
        "studies": found.studies,
        "forgotten": found.forgotten,
        "changed_rules": found.changed_rules,
        "late": found.late,
        "left_out": found.left_out,
        "unknown_projects": unknown,
        "projects": {project: {k: count[k] for k in CHANGE_KINDS} for project, count in found.by_project().items()},
        "changes": [
            {
                "study": change.study,
                "project": change.key.project,
                "event_name": change.key.event_name,
                "kinds": change.kinds,
                "before": _settled_data(change.before),
                "after": _settled_data(change.after),
                "in_force": change.stands or None,
            }
            for change in found.changes
        ],
    }


def _settled_data(settled: Settled | None) -> dict[str, Any] | None:
    """Without the pseudonym."""
    if settled is None:
        return None
    causes = [{"kind": cause.kind, "record_id": cause.record_id} for cause in settled.causes]
    return {"conflict": settled.is_conflict, "causes": causes, "whole_match": settled.whole_match}


def _print_findings(findings: Sequence[Finding], counted: dict[str, int]) -> None:
    out = screen.console()
    say(out, f"{counted['rules']} rules looked at, and tried on {counted['studies']} recorded studies.")
    if counted["forgotten"]:
        say(out, f"{counted['forgotten']} of the studies have been forgotten: no pattern can be tried on them.")
    for title, chosen in (
        ("Found", [finding for finding in findings if not finding.remark]),
        ("Remarks", [finding for finding in findings if finding.remark]),
    ):
        if chosen:
            heading(out, title)
            cells = [[", ".join(finding.rules), finding.kind, finding.words] for finding in chosen]
            print_table(out, ("rule", "what", "in words"), cells)
    if all(finding.remark for finding in findings):
        say(out, "Nothing was found that must be mended.")
    if any(finding.kind in ("unknown project", "project of one rule") for finding in findings):
        say(out, _CAVEAT)

"""`fiona-ledger rules check`: what is wrong with the routing rules."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.options import JsonOption
from processors.explain import policy, rules_check, rules_file
from processors.explain.near_miss import Matching
from processors.explain.rules_check import Finding
from processors.routing.configured_checks import checks_of
from processors.routing.projects import listed_projects

_CAVEAT = (
    "A project counts as known where a rule, a coupling entry, a request or auto-ID names it: REDCap was not asked."
)


def command(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Rules to look at instead: JSON or CSV, with labels.")
    ] = None,
    *,
    json: JsonOption = False,
) -> bool:
    """Look for routing rules that cannot be used, never match, are slow, or contradict each other.

    Those in force, or those of FILE; they are tried on everything that was recorded. Ends with 1 where
    something was found.

    Example: fiona-ledger rules check
    """
    with opened_tables(context.obj) as (configuration, gateway), gateway.begin() as work:
        matching = Matching(configuration.routing.match, configuration.routing.time_limit_seconds)
        directed = policy.in_force(work)
        rules = list(directed.rules.values())
        others = set(rules_check.projects_named(work))
        if file is not None:
            others |= {rule.project for rule in rules}
            rules = rules_file.read_rules(file, others)
        listed, coupled = listed_projects(work), rules_check.projects_coupled(work)
        with console.step("Trying the rules") as progress:
            tried = rules_check.try_rules(work, rules, matching, checks_of(configuration), progress)
        unreadable = rules_check.unreadable_patterns(work)
    doubted = directed.doubted.rules if file is None else ()
    findings = [
        *unreadable,
        *rules_check.check(
            rules, tried, others, matching, typed=file is not None, doubted=doubted, listed=listed, coupled=coupled
        ),
    ]
    counted = {"rules": len(rules), "studies": tried.studies, "forgotten": tried.forgotten}
    if json:
        console.print_json({**counted, "findings": [asdict(finding) for finding in findings], "caveat": _CAVEAT})
    else:
        _print_findings(findings, counted)
    return any(not finding.remark for finding in findings)


def _print_findings(findings: Sequence[Finding], counted: dict[str, int]) -> None:
    out = console.output()
    console.say(out, f"{counted['rules']} rules looked at, and tried on {counted['studies']} recorded studies.")
    if counted["forgotten"]:
        console.say(out, f"{counted['forgotten']} of the studies have been forgotten: no pattern can be tried on them.")
    for title, chosen in (
        ("Found", [finding for finding in findings if not finding.remark]),
        ("Remarks", [finding for finding in findings if finding.remark]),
    ):
        if chosen:
            console.heading(out, title)
            cells = [[", ".join(finding.rules), finding.kind, finding.words] for finding in chosen]
            console.print_table(out, ("rule", "what", "in words"), cells)
    if all(finding.remark for finding in findings):
        console.say(out, "Nothing was found that must be mended.")
    if any(finding.kind in ("unknown project", "project of one rule") for finding in findings):
        console.say(out, _CAVEAT)

"""What `explain`, `what-if` and `rules check` do, once their arguments are understood."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from processors import explaining
from processors.cli import dates, screen
from processors.cli.commands import require_whole_tables
from processors.cli.opening import opened_gateway
from processors.configuration import Configuration
from processors.errors import ConfigurationError
from processors.explaining import Change, Comparison, Explanation, Finding, Matching
from processors.explaining.comparison import CHANGE_KINDS, Settled
from processors.explaining.conditions import EntryAccount, RuleAccount
from processors.explaining.explanation import OriginAccount
from processors.explaining.timeline import stretches
from processors.explaining.verdict import where, why
from processors.gateway import Gateway

_RULES_SHOWN = 20
_STUDIES_SHOWN = 12

_CAVEAT = (
    "A project counts as known where a rule, a coupling entry, a request or auto-ID names it: REDCap was not asked."
)


def explain(config: Path | None, study: str, *, json: bool) -> None:
    """Prints all there is to tell about a study."""
    with _opened(config) as (configuration, gateway), gateway.begin() as connection:
        uid = explaining.find_study(connection, study)
        found = explaining.explain(gateway, connection, uid, _matching(configuration))
    if json:
        screen.print_json(_explanation_data(found))
    else:
        _print_explanation(gateway, found)


def what_if(config: Path | None, file: Path, *, since: str | None, whole_table: bool, json: bool) -> None:
    """Prints what other rules would change."""
    first = dates.since("--since", since)
    with _opened(config) as (configuration, gateway), gateway.begin() as connection:
        directed = explaining.in_force(gateway, connection)
        known = {*explaining.projects_named(connection), *(rule.project for rule in directed.rules.values())}
        rules = explaining.read_rules(file, known)
        _require_usable(file, [(rule.record_id, problem) for rule in rules for problem in rule.problems])
        changed = explaining.changed_table(directed.rules.values(), rules, whole=whole_table)
        with screen.step("Trying the rules") as progress:
            found = explaining.compare(
                gateway,
                connection,
                directed,
                changed,
                _matching(configuration),
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
    with _opened(config) as (configuration, gateway), gateway.begin() as connection:
        matching = _matching(configuration)
        rules = list(explaining.in_force(gateway, connection).rules.values())
        others = set(explaining.projects_named(connection))
        if file is not None:
            others |= {rule.project for rule in rules}
            rules = explaining.read_rules(file, others)
        with screen.step("Trying the rules") as progress:
            tried = explaining.try_rules(gateway, connection, rules, matching, progress)
    findings = explaining.check(rules, tried, others, matching, typed=file is not None)
    counted = {"rules": len(rules), "studies": tried.studies, "forgotten": tried.forgotten}
    if json:
        screen.print_json({**counted, "findings": [asdict(finding) for finding in findings], "caveat": _CAVEAT})
    else:
        _print_findings(findings, counted)
    return any(not finding.remark for finding in findings)


@contextmanager
def _opened(config: Path | None) -> Iterator[tuple[Configuration, Gateway]]:
    """The configuration and the ledger as it stands; its keys are opened at need."""
    with opened_gateway(config, with_keys=False) as (configuration, gateway):
        require_whole_tables(gateway)
        yield configuration, gateway


def _matching(configuration: Configuration) -> Matching:
    return Matching(configuration.routing.match, configuration.routing.time_limit_seconds)


def _require_usable(file: Path, problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        lines = "\n  ".join(f"rule {record}: {problem}" for record, problem in problems)
        raise ConfigurationError(f"{file}: expected rules that can be used, found\n  {lines}")


# -- explain ----------------------------------------------------------------------------------------


def _print_explanation(gateway: Gateway, found: Explanation) -> None:
    out = screen.console()
    series = sum(len(account.origin.series) for account in found.origins)
    accession = f", accession number {', '.join(found.accessions)}" if found.accessions else ""
    on_disk = "on disk" if found.on_disk else "vanished from disk"
    _say(out, f"Study {found.study}", style="bold")
    _say(
        out,
        f"{series} series, first arrived {_minute(gateway, found.arrived_at)} at {found.site}{accession}; {on_disk}.",
    )
    _heading(out, "Verdict")
    for line in found.verdict:
        _say(out, f"* {line}")
    _heading(out, "Timeline")
    for stretch in stretches(found.timeline):
        for number, moment in enumerate(stretch.shown):
            if number and stretch.left_out:
                _say(out, f"    ... {stretch.left_out} more of these (`--json` lists them all)")
            _say(out, f"[{moment.position}] {_minute(gateway, moment.at)}  {moment.words}")
    for account in found.origins:
        _print_origin(out, account, several=len(found.origins) > 1)
    _print_entries(out, found)
    if found.directives_read is not None:
        _say(out, f"Rules and entries as REDCap had them {_minute(gateway, found.directives_read)}, when last read.")


def _print_origin(out: Console, account: OriginAccount, *, several: bool) -> None:
    identity = account.origin.identity
    _heading(out, "Routing rules" + (f" and {_series(account.origin.series)}" if several else ""))
    _say(out, f"Called AE title {identity.called or '(blank)'}, calling AE title {identity.calling or '(blank)'}.")
    if account.origin.forgotten:
        _say(out, "Identity forgotten; conditions on it cannot be evaluated.")
    told = [rule for rule in account.rules if rule.standing != "no match"][:_RULES_SHOWN]
    if told:
        columns = ("rule", "project", "event", "called AE", "calling AE", "PatientID", "PatientName", "comes to")
        _print_table(out, columns, [_rule_cells(rule) for rule in told])
        _print_notes(out, [(f"rule {rule.rule.record_id}", rule) for rule in told])
    rest = Counter(_short(rule) for rule in account.rules if rule not in told)
    for words, count in rest.items():
        _say(out, f"{count} {'more ' if told else ''}{'rule' if count == 1 else 'rules'}: {words}.")
    if not account.rules:
        _say(out, "There are no routing rules.")


def _series(series: Sequence[str]) -> str:
    return f"series {series[0]}" if len(series) == 1 else f"{len(series)} series, such as {series[0]}"


def _rule_cells(account: RuleAccount) -> list[str]:
    rule = account.rule
    return [rule.record_id, rule.project, rule.event_name, *_states(account), account.standing]


def _states(account: RuleAccount | EntryAccount) -> list[str]:
    return [condition.state for condition in account.conditions]


def _print_notes(out: Console, accounts: Sequence[tuple[str, RuleAccount | EntryAccount]]) -> None:
    for name, account in accounts:
        if account.notes:
            _say(out, f"{name}: {'; '.join(account.notes)}")


def _short(account: RuleAccount) -> str:
    if account.standing == "no match":
        return "neither AE title is theirs"
    return {"same AE title": "AE title matched, patterns not"}.get(account.standing, account.standing)


def _print_entries(out: Console, found: Explanation) -> None:
    _heading(out, "Coupling entries")
    shown = found.entries[:_RULES_SHOWN]
    if shown:
        columns = ("entry", "project", "event", "accession number", "study UID", "comes to")
        _print_table(out, columns, [_entry_cells(entry) for entry in shown])
        _print_notes(out, [(f"entry {entry.entry.record_id}", entry) for entry in shown])
    if len(found.entries) > len(shown):
        _say(out, f"{len(found.entries) - len(shown)} more name it, or nearly (`--json` lists them all).")
    _say(out, f"Entries in force that have nothing in common with it: {found.other_entries}.")


def _entry_cells(account: EntryAccount) -> list[str]:
    entry = account.entry
    return [entry.record_id, entry.project, entry.event_name, *_states(account), account.standing]


def _explanation_data(found: Explanation) -> dict[str, Any]:
    """The explanation for another program; patterns and what identifies a person are no part of it."""
    return {
        "study": found.study,
        "site": found.site,
        "arrived_at": found.arrived_at,
        "on_disk": found.on_disk,
        "accessions": found.accessions,
        "directives_read": found.directives_read,
        "verdict": found.verdict,
        "timeline": [asdict(moment) for moment in found.timeline],
        "origins": [_origin_data(account) for account in found.origins],
        "coupling_entries": [_entry_data(account) for account in found.entries],
        "other_coupling_entries": found.other_entries,
    }


def _origin_data(account: OriginAccount) -> dict[str, Any]:
    identity = account.origin.identity
    return {
        "called": identity.called,
        "calling": identity.calling,
        "forgotten": account.origin.forgotten,
        "series": account.origin.series,
        "rules": [_rule_data(rule) for rule in account.rules],
    }


def _rule_data(account: RuleAccount) -> dict[str, Any]:
    rule = account.rule
    told = {"record_id": rule.record_id, "active": rule.active, "project": rule.project, "event_name": rule.event_name}
    return {**told, "called": rule.called, "calling": rule.calling, **_account_data(account)}


def _entry_data(account: EntryAccount) -> dict[str, Any]:
    entry = account.entry
    return {
        "record_id": entry.record_id,
        "project": entry.project,
        "event_name": entry.event_name,
        "named": account.named,
        **_account_data(account),
    }


def _account_data(account: RuleAccount | EntryAccount) -> dict[str, Any]:
    return {
        "standing": account.standing,
        "conditions": [asdict(condition) for condition in account.conditions],
        "notes": account.notes,
    }


# -- what-if ----------------------------------------------------------------------------------------


def _print_comparison(found: Comparison, unknown: Sequence[str]) -> None:
    out = screen.console()
    rules = ", ".join(found.changed_rules) or "none"
    _say(out, f"{found.studies} recorded studies tried; rules that differ: {rules}. Nothing was recorded.")
    for line in _caveats(found, unknown):
        _say(out, f"  {line}")
    if not found.changes:
        _say(out, "No study would gain, lose or change a request, and no conflict would arise or go.")
        return
    counts = found.by_project()
    columns = ("project", "gain", "lose", "change", "conflicts arise", "conflicts go")
    rows = [[project, *(str(count[kind] or "") for kind in CHANGE_KINDS)] for project, count in counts.items()]
    _heading(out, "Studies by project")
    _print_table(out, columns, rows)
    _heading(out, "Studies")
    for words, changes in _alike(found.changes).items():
        _say(out, f"{words}: {len(changes)}")
        for change in changes[:_STUDIES_SHOWN]:
            _say(out, f"    {change.study}" + (f"  (in force: {change.stands})" if change.stands else ""))
        if len(changes) > _STUDIES_SHOWN:
            _say(out, f"    ... and {len(changes) - _STUDIES_SHOWN} more (`--json` lists them all)")
    if any(change.stands for change in found.changes):
        _say(out, "What is in force stays so: rules are applied when a study gains a series, and by a replay.")


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


# -- rules check ------------------------------------------------------------------------------------


def _print_findings(findings: Sequence[Finding], counted: dict[str, int]) -> None:
    out = screen.console()
    _say(out, f"{counted['rules']} rules looked at, and tried on {counted['studies']} recorded studies.")
    if counted["forgotten"]:
        _say(out, f"{counted['forgotten']} of the studies have been forgotten: no pattern can be tried on them.")
    for title, chosen in (
        ("Found", [finding for finding in findings if not finding.remark]),
        ("Remarks", [finding for finding in findings if finding.remark]),
    ):
        if chosen:
            _heading(out, title)
            cells = [[", ".join(finding.rules), finding.kind, finding.words] for finding in chosen]
            _print_table(out, ("rule", "what", "in words"), cells)
    if all(finding.remark for finding in findings):
        _say(out, "Nothing was found that must be mended.")
    if any(finding.kind in ("unknown project", "project of one rule") for finding in findings):
        _say(out, _CAVEAT)


# -- how it is printed ------------------------------------------------------------------------------


def _heading(out: Console, title: str) -> None:
    out.print()
    _say(out, title, style="bold")


def _say(out: Console, line: str, style: str | None = None) -> None:
    out.print(_printable(line), markup=False, style=style)


def _printable(words: str) -> str:
    """Without what would steer the terminal: names come from files and from REDCap."""
    return "".join(character if character.isprintable() else "\ufffd" for character in words)


def _print_table(out: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    out.print(screen.table("", columns, [[escape(_printable(cell)) for cell in row] for row in rows]))


def _minute(gateway: Gateway, moment: datetime) -> str:
    return f"{gateway.local(moment):%Y-%m-%d %H:%M}"

"""`fiona-ledger explain`: what happened to a study, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.options import JsonOption
from processors.explain.conditions import EntryAccount, RuleAccount
from processors.explain.explanation import Explanation, OriginAccount, explain
from processors.explain.near_miss import Matching
from processors.explain.search import find_study
from processors.explain.timeline import grouped
from processors.gateway import Gateway
from processors.routing.configured_checks import checks_of
from processors.routing.edits import Edit

_RULES_SHOWN = 20


def command(
    context: typer.Context,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A StudyInstanceUID or an accession number.")],
    *,
    json: JsonOption = False,
) -> None:
    """Tell what happened to a study and why: its timeline, and which condition of which rule and entry held.

    From the ledger alone; REDCap is not asked. Of PatientID and PatientName, only whether a pattern matched.

    Example: fiona-ledger explain 1.2.840.113619.2.55
    """
    with opened_tables(context.obj) as (configuration, gateway), gateway.begin() as work:
        matching = Matching(configuration.routing.match, configuration.routing.time_limit_seconds)
        explanation = explain(
            work,
            find_study(work, study),
            matching,
            checks=checks_of(configuration),
            holds_split=configuration.identity.split == "hold",
        )
    if json:
        console.print_json(_explanation_data(explanation))
    else:
        _print_explanation(gateway, explanation)


def _print_explanation(gateway: Gateway, explanation: Explanation) -> None:
    out = console.output()
    series = sum(len(account.origin.series) for account in explanation.origins)
    accession = f", accession number {', '.join(explanation.accessions)}" if explanation.accessions else ""
    on_disk = "on disk" if explanation.on_disk else "vanished from disk"
    console.say(out, f"Study {explanation.study}", style="bold")
    console.paragraph(
        out,
        f"{series} series, first arrived {_minute(gateway, explanation.arrived_at)} at {explanation.site}{accession}; "
        f"{on_disk}.",
    )
    console.heading(out, "Verdict")
    for line in explanation.verdict:
        console.paragraph(out, f"* {line}", hanging=2)
    if explanation.endings:
        console.heading(out, "How it ended")
    for ending in explanation.endings:
        console.paragraph(out, f"* {ending.words}", hanging=2)
    console.heading(out, "Timeline")
    for group in grouped(explanation.timeline):
        for number, moment in enumerate(group.shown):
            if number and group.left_out:
                console.say(out, f"    ... {group.left_out} more of these (`--json` lists them all)")
            line = f"[{moment.position}] {_minute(gateway, moment.at)}  {moment.words}"
            console.paragraph(out, line, hanging=4)
    for account in explanation.origins:
        _print_origin(out, account, explanation.rule_edits, several=len(explanation.origins) > 1)
    _print_entries(out, explanation)
    if explanation.directives_read is not None:
        console.paragraph(
            out,
            f"Rules and entries as REDCap had them {_minute(gateway, explanation.directives_read)}, when last read.",
        )


def _print_origin(out: Console, account: OriginAccount, edits: Mapping[str, Edit], *, several: bool) -> None:
    identity = account.origin.identity
    console.heading(out, "Routing rules" + (f" and {_series(account.origin.series)}" if several else ""))
    console.say(
        out, f"Called AE title {identity.called or '(blank)'}, calling AE title {identity.calling or '(blank)'}."
    )
    if account.origin.forgotten:
        console.say(out, "Identity forgotten; conditions on it cannot be evaluated.")
    shown = [rule for rule in account.rules if rule.standing != "no match"][:_RULES_SHOWN]
    if shown:
        columns = ("rule", "project", "event", "called AE", "calling AE", "PatientID", "PatientName", "comes to")
        console.print_table(out, columns, [_rule_cells(rule) for rule in shown])
        _print_notes(out, [(f"rule {rule.rule.record_id}", rule, edits[rule.rule.record_id]) for rule in shown])
    rest = Counter(_short(rule) for rule in account.rules if rule not in shown)
    for words, count in rest.items():
        console.say(out, f"{count} {'more ' if shown else ''}{'rule' if count == 1 else 'rules'}: {words}.")
    if not account.rules:
        console.say(out, "There are no routing rules.")


def _series(series: Sequence[str]) -> str:
    return f"series {series[0]}" if len(series) == 1 else f"{len(series)} series, such as {series[0]}"


def _rule_cells(account: RuleAccount) -> list[str]:
    rule = account.rule
    return [rule.record_id, rule.project, rule.event_name, *_states(account), account.standing]


def _states(account: RuleAccount | EntryAccount) -> list[str]:
    return [condition.state for condition in account.conditions]


def _print_notes(out: Console, accounts: Sequence[tuple[str, RuleAccount | EntryAccount, Edit]]) -> None:
    for name, account, edit in accounts:
        notes = [*account.notes, *([edit.words] if edit.is_known else [])]
        if notes:
            console.paragraph(out, f"{name}: {'; '.join(notes)}", hanging=4)


def _short(account: RuleAccount) -> str:
    if account.standing == "no match":
        return "neither AE title is theirs"
    return {"same AE title": "AE title matched, patterns not"}.get(account.standing, account.standing)


def _print_entries(out: Console, explanation: Explanation) -> None:
    console.heading(out, "Coupling entries")
    shown = explanation.entries[:_RULES_SHOWN]
    if shown:
        columns = ("entry", "project", "event", "accession number", "study UID", "comes to")
        console.print_table(out, columns, [_entry_cells(entry) for entry in shown])
        edits = explanation.entry_edits
        _print_notes(out, [(f"entry {entry.entry.record_id}", entry, edits[entry.entry.record_id]) for entry in shown])
    if len(explanation.entries) > len(shown):
        console.say(out, f"{len(explanation.entries) - len(shown)} more name it, or nearly (`--json` lists them all).")
    console.say(out, f"Entries in force that have nothing in common with it: {explanation.other_entries}.")


def _entry_cells(account: EntryAccount) -> list[str]:
    entry = account.entry
    return [entry.record_id, entry.project, entry.event_name, *_states(account), account.standing]


def _explanation_data(explanation: Explanation) -> dict[str, Any]:
    """The explanation for another program; patterns and what identifies a person are no part of it."""
    return {
        "study": explanation.study,
        "site": explanation.site,
        "arrived_at": explanation.arrived_at,
        "on_disk": explanation.on_disk,
        "accessions": explanation.accessions,
        "directives_read": explanation.directives_read,
        "verdict": explanation.verdict,
        "requests": [ending.as_data() for ending in explanation.endings],
        "timeline": [asdict(moment) for moment in explanation.timeline],
        "origins": [_origin_data(account, explanation.rule_edits) for account in explanation.origins],
        "coupling_entries": [_entry_data(account, explanation.entry_edits) for account in explanation.entries],
        "other_coupling_entries": explanation.other_entries,
    }


def _origin_data(account: OriginAccount, edits: Mapping[str, Edit]) -> dict[str, Any]:
    identity = account.origin.identity
    return {
        "called": identity.called,
        "calling": identity.calling,
        "forgotten": account.origin.forgotten,
        "series": account.origin.series,
        "rules": [_rule_data(rule, edits) for rule in account.rules],
    }


def _rule_data(account: RuleAccount, edits: Mapping[str, Edit]) -> dict[str, Any]:
    rule = account.rule
    return {
        "record_id": rule.record_id,
        "active": rule.active,
        "project": rule.project,
        "event_name": rule.event_name,
        "called": rule.called,
        "calling": rule.calling,
        **edits[rule.record_id]._asdict(),
        **_account_data(account),
    }


def _entry_data(account: EntryAccount, edits: Mapping[str, Edit]) -> dict[str, Any]:
    entry = account.entry
    return {
        "record_id": entry.record_id,
        "project": entry.project,
        "event_name": entry.event_name,
        "named": account.named,
        **edits[entry.record_id]._asdict(),
        **_account_data(account),
    }


def _account_data(account: RuleAccount | EntryAccount) -> dict[str, Any]:
    return {
        "standing": account.standing,
        "conditions": [asdict(condition) for condition in account.conditions],
        "notes": account.notes,
    }


def _minute(gateway: Gateway, moment: datetime) -> str:
    """The moment as people read it, in the hospital's zone."""
    return f"{gateway.local(moment):%Y-%m-%d %H:%M}"

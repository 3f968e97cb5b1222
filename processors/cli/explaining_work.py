"""What `explain` does, once its arguments are understood."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from processors.cli import screen
from processors.cli.wording import heading, matching_of, minute, opened_ledger, print_table, say
from processors.explain import explanation, search
from processors.explain.conditions import EntryAccount, RuleAccount
from processors.explain.explanation import Explanation, OriginAccount
from processors.explain.timeline import stretches
from processors.gateway import Gateway

_RULES_SHOWN = 20


def explain(config: Path | None, study: str, *, json: bool) -> None:
    """Prints all there is to tell about a study."""
    with opened_ledger(config) as (configuration, gateway), gateway.begin() as work:
        uid = search.find_study(work, study)
        found = explanation.explain(work, uid, matching_of(configuration))
    if json:
        screen.print_json(_explanation_data(found))
    else:
        _print_explanation(gateway, found)


def _print_explanation(gateway: Gateway, found: Explanation) -> None:
    out = screen.console()
    series = sum(len(account.origin.series) for account in found.origins)
    accession = f", accession number {', '.join(found.accessions)}" if found.accessions else ""
    on_disk = "on disk" if found.on_disk else "vanished from disk"
    say(out, f"Study {found.study}", style="bold")
    say(
        out,
        f"{series} series, first arrived {minute(gateway, found.arrived_at)} at {found.site}{accession}; {on_disk}.",
    )
    heading(out, "Verdict")
    for line in found.verdict:
        say(out, f"* {line}")
    heading(out, "Timeline")
    for stretch in stretches(found.timeline):
        for number, moment in enumerate(stretch.shown):
            if number and stretch.left_out:
                say(out, f"    ... {stretch.left_out} more of these (`--json` lists them all)")
            say(out, f"[{moment.position}] {minute(gateway, moment.at)}  {moment.words}")
    for account in found.origins:
        _print_origin(out, account, several=len(found.origins) > 1)
    _print_entries(out, found)
    if found.directives_read is not None:
        say(out, f"Rules and entries as REDCap had them {minute(gateway, found.directives_read)}, when last read.")


def _print_origin(out: Console, account: OriginAccount, *, several: bool) -> None:
    identity = account.origin.identity
    heading(out, "Routing rules" + (f" and {_series(account.origin.series)}" if several else ""))
    say(out, f"Called AE title {identity.called or '(blank)'}, calling AE title {identity.calling or '(blank)'}.")
    if account.origin.forgotten:
        say(out, "Identity forgotten; conditions on it cannot be evaluated.")
    told = [rule for rule in account.rules if rule.standing != "no match"][:_RULES_SHOWN]
    if told:
        columns = ("rule", "project", "event", "called AE", "calling AE", "PatientID", "PatientName", "comes to")
        print_table(out, columns, [_rule_cells(rule) for rule in told])
        _print_notes(out, [(f"rule {rule.rule.record_id}", rule) for rule in told])
    rest = Counter(_short(rule) for rule in account.rules if rule not in told)
    for words, count in rest.items():
        say(out, f"{count} {'more ' if told else ''}{'rule' if count == 1 else 'rules'}: {words}.")
    if not account.rules:
        say(out, "There are no routing rules.")


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
            say(out, f"{name}: {'; '.join(account.notes)}")


def _short(account: RuleAccount) -> str:
    if account.standing == "no match":
        return "neither AE title is theirs"
    return {"same AE title": "AE title matched, patterns not"}.get(account.standing, account.standing)


def _print_entries(out: Console, found: Explanation) -> None:
    heading(out, "Coupling entries")
    shown = found.entries[:_RULES_SHOWN]
    if shown:
        columns = ("entry", "project", "event", "accession number", "study UID", "comes to")
        print_table(out, columns, [_entry_cells(entry) for entry in shown])
        _print_notes(out, [(f"entry {entry.entry.record_id}", entry) for entry in shown])
    if len(found.entries) > len(shown):
        say(out, f"{len(found.entries) - len(shown)} more name it, or nearly (`--json` lists them all).")
    say(out, f"Entries in force that have nothing in common with it: {found.other_entries}.")


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

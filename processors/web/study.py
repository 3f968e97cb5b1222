"""What there is to tell of one study: what `fiona-ledger explain` says, or what was known of it on a day gone by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text

from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError
from processors.explain.conditions import RuleAccount
from processors.explain.explanation import Explanation, explain
from processors.explain.near_miss import Matching
from processors.explain.timeline import MomentGroup, grouped, timeline
from processors.gateway import Work
from processors.routing.configured_checks import checks_of
from processors.web.days import end


@dataclass(frozen=True, kw_only=True, slots=True)
class Then:
    """What was known of the study when a day ended, and which rules were in force: the newest text of each."""

    study: str
    day: date
    timeline: Sequence[MomentGroup]
    rules: Sequence[Any]


def require_known(work: Work, study: str) -> None:
    """Raises `ConfigurationError` for a study that the ledger does not know."""
    if work.execute(_KNOWN, {"study": study}).scalar_one_or_none() is None:
        raise ConfigurationError("The ledger knows no study of this UID.")


_KNOWN = text("select study from gateway.study where study = :study")


def explained(work: Work, configuration: Configuration, study: str) -> Explanation:
    """The explanation of the study, by the same rules and checks as the command's."""
    require_known(work, study)
    return explain(
        work,
        study,
        Matching(configuration.routing.match, configuration.routing.time_limit_seconds),
        checks=checks_of(configuration),
        holds_split=configuration.identity.split == "hold",
    )


def shown_rules(accounts: Sequence[RuleAccount]) -> list[RuleAccount]:
    """Those that have something to do with the study."""
    return [account for account in accounts if account.standing != "no match"]


def known_then(work: Work, study: str, day: date) -> Then:
    """What was known when the day had ended, where the hospital is."""
    require_known(work, study)
    after = end(work, day)
    return Then(
        study=study,
        day=day,
        timeline=grouped(moment for moment in timeline(work, study) if moment.at < after),
        rules=work.execute(_RULES_THEN, {"end": after}).all(),
    )


_RULES_THEN = text("""
    select record_id, active, project, event_name, called, calling, asks_for_patient_id, asks_for_patient_name,
           problems, valid_from
      from audit.rule where valid_from < :end and (valid_to is null or valid_to >= :end) order by record_id
""")

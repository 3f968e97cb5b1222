"""What there is to tell of one study: what `fiona-ledger explain` says, or what was known of it on a day gone by."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import text

from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError
from processors.explain.conditions import RuleAccount
from processors.explain.explanation import Explanation, explain
from processors.explain.near_miss import Matching
from processors.explain.past import PastExplanation, explain_then
from processors.explain.search import known_before
from processors.gateway import Work
from processors.routing.configured_checks import checks_of
from processors.web.days import end


def require_known(work: Work, study: str) -> None:
    """Raises `ConfigurationError` for a study that the ledger does not know."""
    if work.execute(_KNOWN, {"study": study}).scalar_one_or_none() is None:
        raise ConfigurationError(known_before(work, study) or "The ledger knows no study of this UID.")


_KNOWN = text("select study from gateway.study where study = :study")


def explained(work: Work, configuration: Configuration, study: str) -> Explanation:
    """The explanation of the study, by the same rules and checks as the command's."""
    require_known(work, study)
    return explain(
        work,
        study,
        _matching(configuration),
        checks=checks_of(configuration),
        holds_split=configuration.identity.split == "hold",
    )


def _matching(configuration: Configuration) -> Matching:
    return Matching(configuration.routing.match, configuration.routing.time_limit_seconds)


def shown_rules(accounts: Sequence[RuleAccount]) -> list[RuleAccount]:
    """Those that have something to do with the study."""
    return [account for account in accounts if account.standing != "no match"]


def explained_then(work: Work, configuration: Configuration, study: str, day: date) -> PastExplanation:
    """The explanation of the study as it was known when the day had ended, where the hospital is.

    Raises `ConfigurationError` for a day to come.
    """
    if day > work.local(work.clock()).date():
        raise ConfigurationError("day: expected today or a day gone by, found one to come.")
    require_known(work, study)
    return explain_then(work, study, end(work, day), _matching(configuration))

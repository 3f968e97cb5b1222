"""The oracle: what may be sendable of a study, and what must be there, worked out from the contract alone.

It knows what happened outside (`facts`) and nothing of events, tables, calls or earlier decisions of the product.
"""

from collections.abc import Collection
from dataclasses import dataclass

from tests.lifecycle.facts import NEVER, Entry, Facts, Key


@dataclass(frozen=True)
class Contract:
    """What holds once a run has gone through undisturbed."""

    facts: Facts

    def may(self, study: str, key: Key) -> Collection[str]:
        """The pseudonyms under which a row of ours may stand.

        An entry that names the study has the word, over rules and over what an operator decided before it was
        made or changed. Then comes the operator, then what rules asked, and entries that are gone since.
        """
        hand = self.facts.hand(study, key)
        since = NEVER if hand is None else hand.tick
        entries = [entry for entry in self._naming(study, key) if _may_be_newer(entry, since)]
        names = {entry.words.subject for entry in entries}
        if len(names) == 1 and any(_is_newer(entry, since) for entry in entries):
            return names
        gone = [entry for entries in self.facts.gone_entries.values() for entry in entries]
        names |= {e.words.subject for e in gone if self._names(e, study, key) and _may_be_newer(e, since)}
        if hand is None:
            return names | self.facts.rules_may[study, key]
        return names | ({hand.name} if hand.name is not None else set())

    def must(self, study: str) -> dict[Key, str | None]:
        """Under which pseudonym the study must be asked for, by project and event; None: a conflict must be shown."""
        wanted = {key: self._wanted(study, key) for key in self._keys(study)}
        return {key: next(iter(names)) if len(names) == 1 else None for key, names in wanted.items() if names}

    def _wanted(self, study: str, key: Key) -> set[str]:
        hand, excuse = self.facts.hand(study, key), self.facts.excuse(study, key)
        since = max(NEVER if hand is None else hand.tick, NEVER if excuse is None else excuse.tick)
        if self.facts.studies[study].on_disk:
            entries = self._naming(study, key)
            names = {entry.words.subject for entry in entries if _is_newer(entry, since)}
            if any(_may_be_newer(entry, since) for entry in entries):
                # Those of which it cannot be told leave it open.
                return names if all(_is_newer(e, since) for e in entries if _may_be_newer(e, since)) else set()
        elif self._naming(study, key):
            return set()
        if hand is not None:
            return {hand.name} if hand.name is not None and hand.tick == since else set()
        return self.facts.rules_must.get((study, key), set()) if since == NEVER else set()

    def _keys(self, study: str) -> set[Key]:
        asked = {entry.words.key for entry in self.facts.entries.values()}
        asked |= {key for named, key in self.facts.rules_must if named == study}
        return asked | {
            Key(hand.project, hand.event) for hand in self.facts.hands if hand.study == study and hand.event is not None
        }

    def _naming(self, study: str, key: Key) -> list[Entry]:
        return [entry for entry in self.facts.entries.values() if self._names(entry, study, key)]

    def _names(self, entry: Entry, study: str, key: Key) -> bool:
        return entry.words.key == key and self.facts.studies[study].is_named_by(entry.words)


def _is_newer(entry: Entry, tick: int) -> bool:
    """Whether its words are surely newer than what happened then."""
    return tick == NEVER or (entry.since > tick and not entry.doubtful)


def _may_be_newer(entry: Entry, tick: int) -> bool:
    """Whether it may be: when it was corrected nobody can see, only when a run saw it."""
    return tick == NEVER or entry.seen_at is None or entry.seen_at > tick or entry.since > tick

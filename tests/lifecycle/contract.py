"""The oracle: what may be sendable of a study, and what must be there, worked out from the contract alone.

It knows what happened outside (`facts`) and nothing of events, tables, calls or earlier decisions of the product.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.lifecycle.facts import NEVER, UNFIT, Entry, Facts, Key


class Wanted(NamedTuple):
    """Under which names a study is asked for, since when."""

    key: Key
    names: set[str]
    since: int


@dataclass(frozen=True)
class Contract:
    """What holds once a run has gone through undisturbed."""

    facts: Facts

    def may(self, study: str, key: Key) -> Collection[str]:
        """The pseudonyms under which a row of ours may stand: none after a withdrawal, none that tells whose it is."""
        return set() if self.facts.has_withdrawn(study, key.project) else self._asked(study, key) - {UNFIT}

    def is_explained(self, kind: str, study: str, wanted: Wanted) -> bool:
        """Whether something that is shown may be the reason why what is wanted does not stand there."""
        project = wanted.key.project
        match kind:
            case "two patients, one pseudonym":
                return any(self.facts.others_with(study, project, name) for name in wanted.names)
            case "pseudonym does not fit":
                return UNFIT in wanted.names
            case "project is closed":
                return project in self.facts.closed
            case "participant withdrew":
                return any(project == withdrawn for _, withdrawn in self.facts.withdrawn)
            case _:
                return True

    def _asked(self, study: str, key: Key) -> set[str]:
        """The pseudonyms that are asked for, or were.

        An entry that names the study has the word once the study is there, over rules and over what an operator
        decided before it was made or changed. Then comes the operator, then what rules asked, and entries that are
        gone since.
        """
        hand = self.facts.hand(study, key)
        since = NEVER if hand is None else hand.tick
        entries = [entry for entry in self._naming(study, key) if _may_be_newer(entry, since)]
        names = {entry.words.subject for entry in entries}
        is_there = self.facts.studies[study].on_disk
        if is_there and len(names) == 1 and any(_is_newer(entry, since) for entry in entries):
            return names
        if is_there and len(names) > 1 and all(_is_newer(each, since) and each.seen_at is not None for each in entries):
            return set()
        gone = [entry for gone in self.facts.gone_entries.values() for entry in gone]
        names |= {e.words.subject for e in gone if self._names(e, study, key) and _may_be_newer(e, since)}
        if hand is None:
            return names | (set() if self.facts.studies[study].is_mixed else self.facts.rules_may[study, key])
        return names | ({hand.name} if hand.name is not None else set())

    def must(self, study: str) -> Iterator[Wanted]:
        """What must be there, be sent or, where several are wanted for one project and event, be told as a conflict.

        What was asked for before its participant withdrew has ended, and need not be told.
        """
        for key in self._keys(study):
            wanted = self._wanted(study, key)
            if wanted.names and not self.facts.may_have_withdrawn(study, key.project, wanted.since):
                yield wanted

    def _wanted(self, study: str, key: Key) -> Wanted:
        hand, excuse = self.facts.hand(study, key), self.facts.excuse(study, key)
        since = max(NEVER if hand is None else hand.tick, NEVER if excuse is None else excuse.tick)
        entries = [entry for entry in self._naming(study, key) if _may_be_newer(entry, since)]
        if entries:
            # Those of which it cannot be told leave it open, and so do those that wait for the study to return.
            is_sure = self.facts.studies[study].on_disk and all(_is_newer(entry, since) for entry in entries)
            names = {entry.words.subject for entry in entries if is_sure}
            return Wanted(key, names, max(entry.since for entry in entries))
        if hand is not None:
            return Wanted(key, {hand.name} if hand.name is not None and hand.tick == since else set(), since)
        by_rule = since == NEVER and not self.facts.studies[study].is_mixed
        return Wanted(key, self.facts.rules_must.get((study, key), set()) if by_rule else set(), since)

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

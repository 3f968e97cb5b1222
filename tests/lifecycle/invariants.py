"""What must hold of a world: at any moment, after every run, and at the end of a history."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from processors.demo.sender import MASKED
from tests.lifecycle.contract import Contract, Wanted
from tests.lifecycle.facts import NEVER, Attempt, Copy, Key, Place

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.lifecycle.facts import Study
    from tests.lifecycle.program import Shown
    from tests.lifecycle.world import World

OF_THE_SENDER = frozenset(
    {
        "may have been sent",
        "sent after it was ended",
        "retracted after it was sent",
        "replaced after it was sent",
        "transfer failed",
        "not sent for a day",
        "pattern matched the start only",
    }
)
"""Kinds that tell what became of a request: they do not tell that another one is lacking."""
WAITS = frozenset({"not ended yet"})
"""Kinds that tell that a row can be sent which should not be."""
CHANGED = frozenset({"study changed", "two patients in one study"})
"""Kinds that tell so of what the sender may have taken before the study said otherwise."""
OF_ALL = "rows refused by the project"
"""The kind that tells that no row can be written, of whichever study."""
REFUSED = frozenset({OF_ALL, "refused row", *WAITS})
"""Kinds that tell that rows cannot be written now."""
WATCHED = frozenset({"may have been sent", "not ended yet", "row deleted or changed in REDCap"})
TOLD = frozenset(
    {
        "sent after it was ended",
        "retracted after it was sent",
        "replaced after it was sent",
        "row deleted or changed in REDCap",
    }
)


class Violation(AssertionError):
    """Something that must never be, and the story that leads there."""


class Ours(NamedTuple):
    """A row of ours that the sender carries out, now or when a late series arrives."""

    place: Place
    key: Key
    name: str


class Invariants:
    """Looks at a world from outside."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._contract = Contract(world.facts)

    # -- at any moment --------------------------------------------------------------------------------------

    def at_any_time(self) -> None:
        """One sendable row of ours at most for each study, project and event; no series twice.

        Where people put back a row that was written again elsewhere, the next run that comes through ends one of them.
        """
        rows = self.sendable()
        for (study, key), number in Counter((row.place.study, row.key) for row in rows).items():
            if number > 1 and study not in self._world.put_back:
                self.fail(f"{number} rows of ours can be sent for {study} to {_named(key)}")
        for uid, record in self._world.site.incoming.records.items():
            series = [row.get("series_instance_uid") for row in record.instances.get("series", {}).values()]
            if len(set(series)) < len(series):
                self.fail(f"a series of {uid} stands there twice")

    def others_are_left_alone(self) -> None:
        """What people wrote stands as they wrote it."""
        for place, row in self._world.facts.people.items():
            now = self._world.rows(place.study).get(place.instance)
            if now != row:
                self.fail(f"a person's row, instance {place.instance} of {place.study}, was changed to {now}")

    # -- after a run ----------------------------------------------------------------------------------------

    def after_a_run(self, at: str, attempts: list[Attempt], *, decided: bool) -> None:
        """All that the contract says of what may and must be sendable of a site's studies, and of what the sender took.

        `attempts` are those that the run could see. `decided`: it could believe all that it saw, so that what is in
        force must be there.
        """
        shown = self._world.program.shown()
        studies = {study.uid for study in self._at(at)}
        for row in self.sendable():
            if row.place.study in studies:
                self._is_asked_for(row, shown)
        self._nobody_shares_a_pseudonym()
        for study in self._at(at) if decided else ():
            self._nothing_is_missing(study.uid, shown)
            if (
                study.is_mixed
                and not study.is_unread
                and "two patients in one study" not in _kinds(shown, study.uid, "")
            ):
                self.fail(f"{study.uid} has series of two patients, and status does not say so")
        self._what_was_taken_is_told(at, attempts, shown)

    def _at(self, site: str) -> list[Study]:
        return [study for study in self._world.facts.studies.values() if study.site == site and not study.moving]

    def nothing_new_goes_to_closed_projects(self, before: set[Ours]) -> None:
        """Of what could not be sent before a run, nothing can be sent to a project that is closed."""
        for row in set(self.sendable()) - before:
            if row.key.project in self._world.facts.closed:
                self.fail(f"{row.place.study} can be sent to {_named(row.key)} now, though that project is closed")

    def _nobody_shares_a_pseudonym(self) -> None:
        """No two patients can be sent under one pseudonym that somebody gave them."""
        studies: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in self.sendable():
            if row.name in self._world.given_names:
                studies[row.key.project, row.name].add(row.place.study)
        for (project, name), those in studies.items():
            if not self._world.facts.may_share(project, those):
                self.fail(f"{' and '.join(sorted(those))} are two patients', and can be sent to {project} as {name}")

    def settled(self, at: str) -> set[tuple[str, Key]]:
        """What is in force of a site's studies, and stands in REDCap or is shown."""
        shown = self._world.program.shown()
        return {
            (study.uid, wanted.key)
            for study in self._at(at)
            for wanted in self._contract.must(study.uid)
            if not self._is_missing(study.uid, wanted, shown)
        }

    def after_a_run_in_doubt(self, at: str, attempts: list[Attempt], settled: set[tuple[str, Key]]) -> None:
        """What holds although REDCap left something out: what is in force, and was `settled` before, still is."""
        shown = self._world.program.shown()
        for study in sorted({study for study, _ in settled}):
            self._nothing_is_missing(study, shown, {key for named, key in settled if named == study})
        self._what_was_taken_is_told(at, attempts, shown)

    def after_an_override(self, study: str, project: str, event: str | None, name: str | None, said: str) -> None:
        """What is said to be withdrawn cannot be sent, nor what is said not to be there; what was given `name` can."""
        if said == "not yet":
            return
        for row in self.sendable():
            is_about = (row.place.study, row.key.project) == (study, project) and event in (None, row.key.event)
            if is_about and row.name != name:
                self._is_asked_for(row, [], said)

    def _is_asked_for(self, row: Ours, shown: list[Shown], said: str = "a run") -> None:
        study = row.place.study
        if row.name in self._contract.may(study, row.key) or self._world.facts.studies[study].is_unread:
            return
        kinds = _kinds(shown, study, row.key.project)
        if kinds & CHANGED or (kinds & WAITS and self._world.is_refusing(study)):
            return
        self.fail(
            f"after {said!r}, instance {row.place.instance} of {study} can be sent to {_named(row.key)} as {row.name}, "
            f"which nobody asks for; shown: {sorted(kinds)}"
        )

    def _nothing_is_missing(self, study: str, shown: list[Shown], keys: Collection[Key] | None = None) -> None:
        for wanted in self._contract.must(study):
            if (keys is None or wanted.key in keys) and self._is_missing(study, wanted, shown):
                names = wanted.names
                what = f"it is to be sent as {' '.join(names)}" if len(names) == 1 else "a conflict is to be shown"
                self.fail(
                    f"of {study} to {_named(wanted.key)} nothing stands in REDCap and nothing is shown, while {what}"
                )

    def _is_missing(self, study: str, wanted: Wanted, shown: list[Shown]) -> bool:
        there = {(_key(row), row.get("transfer_name", "")) for row in self._world.rows(study).values()}
        kinds = _kinds(shown, study, wanted.key.project) - OF_THE_SENDER
        if not self._world.is_refusing(study):
            kinds -= REFUSED
        is_explained = any(self._contract.is_explained(kind, study, wanted) for kind in kinds)
        is_there = any((wanted.key, name) in there for name in wanted.names) or self._was_sent(study, wanted)
        return not is_explained and not (is_there and len(wanted.names) == 1)

    def _was_sent(self, study: str, wanted: Wanted) -> bool:
        """As it is wanted, and since it is: it need not be there any more."""
        return any(self._world.facts.sent.get((study, wanted.key, name), NEVER) > wanted.since for name in wanted.names)

    def _what_was_taken_is_told(self, at: str, attempts: list[Attempt], shown: list[Shown]) -> None:
        last = {attempt.copy.place: attempt for attempt in attempts}
        for attempt in last.values():
            if attempt.told and self._is_as_it_was_left(attempt):
                self._attempt_is_told(attempt, shown)
        for copy in self._held():
            if self._world.homes[copy.place.study] == at:
                self._copy_is_watched(copy, shown)

    def _is_as_it_was_left(self, attempt: Attempt) -> bool:
        place = attempt.copy.place
        row = self._world.rows(place.study).get(place.instance, {})
        return place not in self._world.facts.people and row.get("transfer_date") == attempt.date

    def _attempt_is_told(self, attempt: Attempt, shown: list[Shown]) -> None:
        copy = attempt.copy
        sent = attempt.ticks <= {MASKED}
        kind, at = ("TransferSent", "sent_at") if sent else ("TransferFailed", "tried_at")
        told = {
            (event["request"], tuple(event["errors"]))
            for event in self._world.site.events(kind)
            if event[at] == attempt.date and event["instance"] == copy.place.instance
        }
        of_ours = {
            request.position
            for request in self._world.program.requests(copy.place.study)
            if (*request.key, request.pseudonym) == (*copy.key, copy.name)
        }
        if not any((position, tuple(sorted(attempt.ticks))) in told for position in of_ours):
            self.fail(
                f"the sender took {copy.place.study} as {copy.name} to {_named(copy.key)} (instance "
                f"{copy.place.instance}) at {attempt.date}, and {kind} of that request is not told"
            )
        kinds = _kinds(shown, copy.place.study, copy.key.project)
        if sent and attempt.was_ended and not kinds & TOLD and not self._is_acknowledged(copy):
            self.fail(
                f"{copy.place.study} was sent as {copy.name} after that was ended, and status shows nothing of it"
            )

    def _held(self) -> list[Copy]:
        """Copies that the sender has, and has not carried out; not those that were taken back."""
        queued = {path.name for path in self._world.sender.queue.iterdir()}
        return [copy for file, copy in (self._world.copies | self._world.held).items() if file in queued]

    def _copy_is_watched(self, copy: Copy, shown: list[Shown]) -> None:
        place = copy.place
        row = self._world.rows(place.study).get(place.instance, {})
        if (
            place in self._world.facts.people
            or (not row and self._world.was_deleted(place))
            or (_key(row), row.get("transfer_name")) == (copy.key, copy.name)
        ):
            return
        if not _kinds(shown, place.study, copy.key.project) & (WATCHED | TOLD) and not self._is_acknowledged(copy):
            self.fail(
                f"the sender may send {place.study} as {copy.name} to {_named(copy.key)}, which was ended, and status "
                "does not say so"
            )

    def _is_acknowledged(self, copy: Copy) -> bool:
        return bool(self._world.acknowledged & {(copy.place.study, copy.key.project), (copy.place.study, None)})

    # -- at the end -----------------------------------------------------------------------------------------

    def at_the_end(self, secrets: list[str]) -> None:
        """The chain verifies, projections rebuilt are the projections kept, and nobody is named anywhere."""
        site = self._world.site
        try:
            site.assert_sound()
        except AssertionError as error:
            self.fail(f"the ledger is not sound: {str(error)[:300]}")
        places = {"the ledger": site.everything_stored(), "what was said": "\n".join(self._world.said)}
        named = [where for where, text in places.items() if any(secret in text for secret in secrets)]
        if named:
            self.fail(f"somebody is named in {' and in '.join(named)}")

    def sendable(self) -> list[Ours]:
        """The rows of ours that the sender carries out."""
        return [
            Ours(Place(uid, instance), _key(row), row["transfer_name"])
            for uid in self._world.facts.studies
            for instance, row in self._world.rows(uid).items()
            if row.get("transfer_name") and Place(uid, instance) not in self._world.facts.people
        ]

    def decided(self) -> tuple[int, list[dict[int, dict[str, str]]]]:
        """How many requests were decided, and what REDCap holds of them."""
        requested = len(self._world.site.events("TransferRequested"))
        return requested, [self._world.rows(uid) for uid in self._world.facts.studies]

    def fail(self, what: str) -> NoReturn:
        """Ends the history with its story."""
        raise Violation("\n".join([what, *self._world.story]))


def _key(row: dict[str, str]) -> Key:
    return Key(row.get("transfer_project_name", ""), row.get("transfer_event_name", ""))


def _named(key: Key) -> str:
    return f"{key.project} ({key.event})" if key.event else key.project


def _kinds(shown: list[Shown], study: str, project: str) -> set[str]:
    of_study = {each.kind for each in shown if each.study == study and each.project in (None, "", project)}
    return of_study | {each.kind for each in shown if each.kind == OF_ALL}

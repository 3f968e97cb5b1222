"""The course of one call: the faults that come before, in place of and after what REDCap would do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import api, faults
from .question import Outcome, Question, return_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faults import Fault
    from .parameters import Parameters
    from .project import Project
    from .replies import Reply


@dataclass(frozen=True, kw_only=True)
class Course:
    """One call with the faults that strike it.

    `size` is that of the request's body; `project` is None where the token is of none, and `without_project` gives the
    answer then; `wait` waits some seconds, or less if the simulator closes meanwhile.
    """

    project: Project | None
    parameters: Parameters
    size: int
    version: str
    struck: tuple[Fault, ...]
    wait: Callable[[float], object]
    without_project: Callable[[Parameters], Outcome] = api.unknown_token

    def run(self, committed: Callable[[Outcome], None]) -> Outcome:
        """Carry the call out; `committed` is told when an import is stored, before the answer is sent."""
        self._change_project()
        self._delay(after_commit=False)
        instead = self._instead(after_commit=False) or self._cut_off()
        if instead is not None:
            return Outcome(reply=instead)
        outcome = self._answer()
        if outcome.stored:
            committed(outcome)
        self._delay(after_commit=True)
        return replace(outcome, reply=self._instead(after_commit=True) or self._truncated(outcome.reply))

    def _answer(self) -> Outcome:
        if self.project is None:
            return self.without_project(self.parameters)
        quirks = frozenset(fault.kind for fault in self.struck if fault.kind in faults.QUIRKS)
        return api.answer(
            Question(project=self.project, parameters=self.parameters, version=self.version, quirks=quirks)
        )

    def _of_kind(self, *kinds: str) -> list[Fault]:
        return [fault for fault in self.struck if fault.kind in kinds]

    def _change_project(self) -> None:
        if self.project is None:
            return
        for fault in self._of_kind("lock_record"):
            self.project.lock(fault.record)
        for fault in self._of_kind("revoke_right"):
            self.project.revoke(fault.right)

    def _delay(self, *, after_commit: bool) -> None:
        for fault in self._of_kind("delay"):
            if fault.after_commit == after_commit:
                self.wait(fault.seconds)

    def _instead(self, *, after_commit: bool) -> Reply | None:
        pages = (faults.page(f) for f in self._of_kind(*faults.INSTEAD) if f.after_commit == after_commit)
        return next(pages, None)

    def _cut_off(self) -> Reply | None:
        if any(self.size > fault.bytes for fault in self._of_kind("truncated_above")):
            return faults.empty_error(return_format(self.parameters))
        return None

    def _truncated(self, reply: Reply) -> Reply:
        if not self._of_kind("truncated_json"):
            return reply
        return replace(reply, body=reply.body[: len(reply.body) // 2])

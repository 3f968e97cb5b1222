"""A site that moves in beside scripts: what they did in REDCap, and what the operator does now."""

from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

from processors.locks import only_run
from processors.operations.adopt.adopt import Adopted, adopt
from processors.operations.shadow.shadow import Shadowed, require_own_ledger, shadow
from processors.run import Report, Run
from tests.autoid.machine import Machine
from tests.autoid.sites import AutoidSite
from tests.flow.harness import HEART, Killed, Steps
from tests.processes import context

Rows = dict[str, list[tuple[tuple[str, str], ...]]]


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A machine on which an operator gives commands; it can be sent to another process."""

    machine: Machine

    def adopt(self, steps: Steps | None = None) -> Adopted:
        """An adoption with everything opened anew."""
        steps = steps or Steps()
        with ExitStack() as stack:
            gateway = stack.enter_context(self.machine.gateway(steps))
            assert stack.enter_context(only_run(gateway)) is None
            redcap = stack.enter_context(self.machine.redcap(steps))
            gateway.catch_up()
            run = Run(gateway, redcap, self.machine._configuration(), Report(), steps.announce)
            return adopt(run, by="operator")

    def shadow(self) -> Shadowed:
        steps = Steps()
        with ExitStack() as stack:
            gateway = stack.enter_context(self.machine.gateway())
            require_own_ledger(gateway)
            redcap = stack.enter_context(self.machine.redcap(steps))
            gateway.catch_up()
            return shadow(Run(gateway, redcap, self.machine._configuration(), Report(), steps.announce))

    def start_adopting(self, *, fatal: int) -> BaseProcess:
        """An adoption in a process of its own, which kills itself at the step with the number `fatal`."""
        process = context().Process(target=_adopt, args=(self, fatal))
        process.start()
        return process


def _adopt(operator: Operator, fatal: int) -> None:
    operator.adopt(Steps(fatal=fatal, kill=Steps.sigkill))


class AdoptingSite(AutoidSite):
    """A gateway under test beside whose REDCap scripts have worked."""

    @property
    def operator(self) -> Operator:
        return Operator(machine=self.machine)

    def adopt(self, steps: Steps | None = None) -> Adopted:
        """An adoption a minute later; `calls` are those it made."""
        self.clock.advance(60)
        self.simulator.calls.clear()
        return self.operator.adopt(steps)

    def adoption_killed_at(self, step: int, steps: type[Steps] = Steps) -> bool:
        """An adoption killed at that step; False where it has not so many and came to its end."""
        try:
            self.adopt(steps(fatal=step))
        except Killed:
            self.bury()
            return True
        return False

    def shadow(self, *, minutes: float = 1) -> Shadowed:
        """A comparison so many minutes later."""
        self.clock.advance(60 * minutes)
        self.simulator.calls.clear()
        return self.operator.shadow()

    def differing(self) -> list[tuple[str, str, str, str, str]]:
        """What a shadow tells once all that differs has lasted for long enough."""
        self.shadow()
        return [
            (each.study, each.key.project, each.key.event_name, each.kind, each.why)
            for each, _ in self.shadow(minutes=11).differing
        ]

    # -- what the scripts did ----------------------------------------------------------------------------

    def scripts_wrote(self, study: str, *, series: int = 1, **fields: str) -> None:
        """The scripts have made the study's record, its series at instances 1, 2, ..."""
        rows: list[dict[str, Any]] = [{"study_instance_uid": study, "study_description": "by the scripts", **fields}]
        rows += [
            {
                "study_instance_uid": study,
                "redcap_repeat_instrument": "series",
                "redcap_repeat_instance": str(number),
                "series_instance_uid": f"{study}.{number}",
            }
            for number in range(1, series + 1)
        ]
        self.incoming.put(rows)

    def scripts_requested(
        self, study: str, name: str, *, project: str = HEART, event: str = "", sent: bool = False
    ) -> int:
        """The scripts have requested a transfer, in the next free instance, which is returned."""
        instance = self.person_requests(study, project, name, event=event)
        if sent:
            self.sender_sends(study, instance)
        return instance

    # -- what came of it ---------------------------------------------------------------------------------

    def adopted(self, study: str) -> list[tuple[Any, ...]]:
        """The requests adopted for a study: instance, project, event, whether sent."""
        return self.query(
            """select instance, project, event_name, sent from gateway.adopted_transfer
                where study = :study order by instance""",
            study=study,
        )

    def counted(self, *types: str) -> list[int]:
        return [self.count(type_) for type_ in types]

    def all_transfer_rows(self) -> dict[str, Any]:
        """Every study's transfers in REDCap."""
        return {study: self.transfer_rows(study) for study in self.transfer_project.records}

"""What is to be imported for due rows: desired and actual state are gathered, and planned against each other."""

from collections.abc import Collection, Mapping, Sequence

from processors.delivery import due
from processors.delivery.absences import Absences
from processors.delivery.delivered import Delivered
from processors.delivery.desired import desired_studies
from processors.delivery.due import Again, DueRow
from processors.delivery.plan import DesiredStudy, Plan, PlannedRow, plan_study
from processors.delivery.sender.changes import placed_again
from processors.delivery.sender.queue import Queue, recall_facts, recalled
from processors.events.deliveries import RowKind, RowMissing, RowRestored
from processors.events.fact import Fact
from processors.gateway import Gateway, Work
from processors.redcap import Project, Redcap, incoming
from processors.redcap.incoming import ActualRecord
from processors.requests import rows_written
from processors.stored_requests import requests_of


def _unrecorded(study: DesiredStudy, actual: ActualRecord) -> list[Fact]:
    """Where requests that are to be ended stand, unknown to the ledger."""
    facts: list[Fact] = []
    rows = rows_written(actual.transfers, study.requests)
    for request in study.requests:
        key = str(request.position)
        for row in rows.get(request.position, ()):
            if request.state == "ending" and row.is_sendable and row.instance not in request.instances:
                facts.append(placed_again(request, row))
                if ("transfer", key) in study.missing:
                    facts.append(RowRestored(study=study.study, kind="transfer", key=key))
    return facts


class Planner:
    """Plans the rows of one delivery to one project; what turns out on the way and needs no row is recorded."""

    def __init__(
        self,
        gateway: Gateway,
        redcap: Redcap,
        project: Project,
        kinds: Sequence[RowKind],
        delivered: Delivered,
        *,
        again: bool,
    ) -> None:
        self._gateway = gateway
        self._writes = redcap.writes
        self._writes_studies = "study" in kinds
        self._project = project
        self._kinds = kinds
        self._delivered = delivered
        self._again = again
        self._gone: set[str] = set()
        self._absences = Absences(gateway, redcap, project.name)

    def desired(self, work: Work, rows: Sequence[DueRow]) -> list[DesiredStudy]:
        """What the ledger says of the rows: to be planned with, once."""
        return desired_studies(work, rows, with_transfers="transfer" in self._kinds, again=self._again)

    def planned(self, desired: Sequence[DesiredStudy]) -> list[PlannedRow]:
        """The rows to import, or that stand already. What needs no row is recorded."""
        # A record that is found gone in one batch is not told again in the next.
        studies = [study for study in desired if study.study not in self._gone]
        self._recall(studies)
        actual = self._actual(studies)
        self._find_rows(studies, actual)
        doubted = self._absences.doubted(studies, actual)
        studies = [study for study in studies if study.study not in doubted]
        plans = {study.study: self._plan(study, actual) for study in studies}
        brought_back = [study for study, plan in plans.items() if plan.brings_back]
        if brought_back:
            for study in self._whole(brought_back):
                plans[study.study] = self._plan(study, actual)
        facts = [fact for plan in plans.values() for fact in plan.facts]
        self._gone |= {fact.study for fact in facts if isinstance(fact, RowMissing) and fact.kind == "study"}
        if facts:
            self._record(facts)
        return [row for plan in plans.values() for row in plan.rows]

    def warn(self) -> None:
        """Tells, at the end, of studies that wait."""
        self._delivered.warn(self._absences.warnings())

    def _recall(self, studies: Sequence[DesiredStudy]) -> None:
        """Takes requests that are to be ended out of the sender's queue, so that it never has them."""
        if self._gateway.sender.queue is None or not self._writes:
            return
        queue = Queue(self._gateway.sender, self._gateway.name_fingerprint)
        facts: list[Fact] = []
        for study in studies:
            before = study.requests
            study.requests = recalled(queue, before)
            facts += recall_facts(before, study.requests)
        self._delivered.warn(queue.warnings)
        if facts:
            self._record(facts)

    def _find_rows(self, studies: Sequence[DesiredStudy], actual: Mapping[str, ActualRecord]) -> None:
        """Records in which rows requests that are to be ended stand, where the ledger does not know of them.

        A run was killed before it could record them, or a person moved or copied one: the sender may have a file of
        each, and writes into it.
        """
        if not self._writes:
            return
        facts = {study.study: _unrecorded(study, actual.get(study.study, incoming.ABSENT)) for study in studies}
        found = [study for study in studies if facts[study.study]]
        if not found:
            return
        with self._gateway.begin() as work:
            work.record(fact for study in found for fact in facts[study.study])
            known = requests_of(work, [study.study for study in found])
        for study in found:
            study.requests = known[study.study]
        self._recall(found)

    def _whole(self, studies: Collection[str]) -> list[DesiredStudy]:
        """These studies with all of their rows, which are to come back whatever was acknowledged."""
        with self._gateway.begin() as work:
            rows = due.rows_again(work, self._kinds, Again(studies=studies, everything=True))
            return desired_studies(work, rows, with_transfers="transfer" in self._kinds, again=True)

    def _actual(self, studies: Sequence[DesiredStudy]) -> Mapping[str, ActualRecord]:
        fields = incoming.COMPARED_FIELDS if self._writes_studies else incoming.READ_FIELDS
        exported = self._project.export(fields, records=[study.study for study in studies])
        return incoming.actual_records(exported, self._gateway.sender.information_codes)

    def _plan(self, study: DesiredStudy, actual: Mapping[str, ActualRecord]) -> Plan:
        if not self._writes_studies:
            study.delivered = False
        return plan_study(study, actual.get(study.study, incoming.ABSENT), self._gateway.clock())

    def _record(self, facts: Sequence[Fact]) -> None:
        with self._gateway.begin() as work:
            work.record(facts)
        self._delivered.count(facts)

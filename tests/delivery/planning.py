"""REDCap as far as planning the rows of one study sees it, and what a plan comes to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from processors.delivery.plan import DesiredSeries, DesiredStudy, Plan, plan_study
from processors.events.fact import Fact
from processors.redcap import incoming, transfers
from processors.redcap.incoming import Row
from processors.requests import AWAITED, Report, TransferRequest
from tests.facts import a_series
from tests.transfer_requests import BY_HAND, NOW, STUDY

TICKS = ("transfer_error___1", "transfer_error___2", "transfer_error___3")
STUDY_ROW: Row = {transfers.RECORD_ID: STUDY}

Address = tuple[str, int]
Asked = tuple[str, str, str]
"""A project, a pseudonym, an event."""


@dataclass
class Redcap:
    """What REDCap has of the study: its rows by instrument and instance. Imports change what they name only."""

    rows: dict[Address, dict[str, str]] = field(default_factory=dict)

    def add(self, instrument: str, instance: int, **fields: str) -> "Redcap":
        """Adds a row, or puts another in its place."""
        self.rows[instrument, instance] = fields
        return self

    def request(
        self,
        instance: int,
        project: str,
        name: str,
        event: str = "",
        *,
        requested: str = BY_HAND,
        report: Report = AWAITED,
    ) -> "Redcap":
        """Adds a row of `transfers`; by hand, unless it tells another minute."""
        ticked = {f"transfer_error___{code}": "1" for code in report.errors}
        return self.add(
            "transfers",
            instance,
            transfer_project_name=project,
            transfer_name=name,
            transfer_event_name=event,
            transfer_requested_date=requested,
            transfer_date=report.sent_at or "",
            **dict.fromkeys(TICKS, "0") | ticked,
        )

    def by_us(self, instance: int, request: TransferRequest, report: Report = AWAITED) -> "Redcap":
        """Adds the row that asks for a request of ours."""
        asked = (request.project, request.pseudonym or "", request.event_name)
        return self.request(instance, *asked, requested=request.minute, report=report)

    def apply(self, rows: Iterable[Row]) -> "Redcap":
        """What it has once the rows were imported."""
        applied = Redcap({address: dict(fields) for address, fields in self.rows.items()})
        for row in rows:
            address = (str(row.get("redcap_repeat_instrument", "")), int(row.get("redcap_repeat_instance", 0)))
            stored = applied.rows.setdefault(address, {})
            stored |= {name: str(value) for name, value in row.items() if not name.startswith("redcap_repeat")}
        return applied

    def export(self) -> list[dict[str, str]]:
        """Its rows as an export has them."""
        blank = dict.fromkeys((*incoming.COMPARED_FIELDS, *TICKS), "")
        return [
            blank
            | {
                transfers.RECORD_ID: STUDY,
                "redcap_repeat_instrument": instrument,
                "redcap_repeat_instance": str(instance or ""),
            }
            | {name: value for name, value in fields.items() if name in blank}
            for (instrument, instance), fields in self.rows.items()
        ]

    def transfers(self) -> dict[int, Asked]:
        """The requests that stand there, by instance: without a name those that are closed, without those emptied."""
        return {
            instance: (
                fields.get("transfer_project_name", ""),
                fields.get("transfer_name", "").strip(),
                fields.get("transfer_event_name", ""),
            )
            for (instrument, instance), fields in self.rows.items()
            if instrument == "transfers" and fields.get("transfer_project_name")
        }

    def sendable(self) -> dict[int, Asked]:
        """Those of them that the sender carries out."""
        return {instance: asked for instance, asked in self.transfers().items() if asked[1]}


def plan(desired: DesiredStudy, redcap: Redcap, now: datetime = NOW) -> Plan:
    """The plan for what REDCap exports."""
    return plan_study(desired, incoming.actual_records(redcap.export()).get(STUDY, incoming.ABSENT), now)


def desired(*requests: TransferRequest, **others: Any) -> DesiredStudy:
    """A study with these requests, of which those that wait for something are due."""
    due = {request.position for request in requests if request.state in ("requested", "contested", "ending")}
    return DesiredStudy(study=STUDY, requests=list(requests), **{"due": due} | others)


def series(uid: str, position: int = 1, instance: int | None = None) -> DesiredSeries:
    """A series to be written."""
    arrived = a_series(STUDY, uid)
    return DesiredSeries(series=uid, position=position, data=arrived.data, sealed=arrived.payload, instance=instance)


def imported(redcap: Redcap, found: Plan) -> Redcap:
    """What REDCap has once all of the plan was imported."""
    return redcap.apply(row.fields for row in found.rows)


def names(found: Plan) -> dict[int, Any]:
    """The names that the plan's transfer rows say, by instance."""
    return {
        int(row.fields["redcap_repeat_instance"]): row.fields["transfer_name"]
        for row in found.rows
        if row.kind == "transfer"
    }


def all_facts(found: Plan) -> list[Fact]:
    """Whatever is true once the plan was imported."""
    return [*(fact for row in found.rows for fact in row.facts), *found.facts]


F = TypeVar("F", bound=Fact)


def told(found: Plan, type_: type[F]) -> list[F]:
    """The facts of one type."""
    return [fact for fact in all_facts(found) if isinstance(fact, type_)]


def instances(found: Plan, kind: str) -> list[int]:
    """The instances of the rows of a kind, in the order of the plan."""
    return [instance_of(row.fields) for row in found.rows if row.kind == kind]


def instance_of(fields: Mapping[str, str | int]) -> int:
    """The instance of a row that is to be imported."""
    return int(fields["redcap_repeat_instance"])

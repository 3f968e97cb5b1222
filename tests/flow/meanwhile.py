"""What others do in REDCap between this system's export and its import."""

from collections.abc import Callable
from dataclasses import dataclass, field

from processors.demo.simulator.calls import Call
from tests.flow.harness import Site


@dataclass
class Between:
    """Does something once, before the first import into Incoming or the transfers' own project."""

    act: Callable[[], object]
    project: str = ""
    done: list[str] = field(default_factory=list)

    def __call__(self, call: Call) -> None:
        if call.action == "import" and self.project in ("", call.project) and not self.done:
            self.done.append(call.project)
            self.act()


def meanwhile(site: Site, act: Callable[[], object], *, project: str = "") -> Between:
    between = Between(act, project)
    site.simulator.before_call = between
    return between

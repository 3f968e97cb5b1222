"""How many shared, second and telling pseudonyms there are, as commands tell beside what else they do."""

from collections.abc import Mapping

from rich.console import Console

from processors.cli import console
from processors.configuration.settings import IdentitySection
from processors.events.holds import HoldKind
from processors.gateway import Gateway
from processors.operations.identity_check import identity_check

Counts = Mapping[str, Mapping[HoldKind, int]]


def identity_counts(gateway: Gateway, section: IdentitySection) -> Counts:
    """The number of findings of each kind, by project."""
    with gateway.begin() as work:
        return identity_check(work, section).counts()


def print_identity_counts(out: Console, counts: Counts) -> None:
    """Tells them, and how to see which studies are concerned."""
    for project, kinds in counts.items():
        numbers = ", ".join(f"{number} x {kind}" for kind, number in kinds.items())
        console.say(out, f"Pseudonyms of {project}: {numbers}.")
    if counts:
        console.say(out, "`fiona-ledger identity check` names the studies; what is new like them is held or shown.")

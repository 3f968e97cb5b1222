"""The board for Grafana asks for what there is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.audit.conftest import Story

BOARD = json.loads((Path(__file__).parents[2] / "deploy" / "grafana.json").read_text("utf-8"))


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: panel["title"])
def test_each_query_to_the_ledger_is_answered_by_what_an_auditor_may_read(story: Story, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        if query := target.get("rawSql"):
            assert set(re.findall(r"\bfrom (\w+)\.", query)) == {"audit"}
            everything = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 is not null", query)
            rows = story.ask(everything)
            assert rows or panel["title"] in ("Approvals that end", "Held now")


def test_panels_lie_beside_each_other_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["description"].endswith(".")

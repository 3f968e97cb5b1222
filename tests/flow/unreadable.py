"""A REDCap whose answers are spoiled by single records."""

from urllib.parse import parse_qsl

import orjson

from processors.demo.simulator import Simulator
from processors.demo.simulator.replies import Reply, reply


class Spoiled(Simulator):
    """Its answer about any of the `spoiled` (project, record) breaks off, unless the record ids alone are asked for."""

    spoiled: frozenset[tuple[str, str]] = frozenset()

    def handle(self, address: str, body: bytes, content_type: str) -> Reply:
        answer = super().handle(address, body, content_type)
        asked = dict(parse_qsl(body.decode("latin-1")))
        fields = [name for name in asked if name.startswith("fields[")]
        found = orjson.loads(answer.body) if answer.body[:1] == b"[" else []
        if asked.get("content") != "record" or len(fields) == 1 or not self._is_spoiled(found):
            return answer
        return reply(answer.body[:-9], "json")

    def _is_spoiled(self, rows: list[dict[str, str]]) -> bool:
        project = self.calls[-1].project
        return any((project, next(iter(row.values()))) in self.spoiled for row in rows)

"""A report as a page that prints well, or its main table as CSV.

Pages are built as a tree of elements, which escapes whatever text it is given: no template, and no package for one.
They hold their own few styles, no script, and their policy lets a browser fetch nothing. The tree is only written,
never read from anything, which is what bandit's B405 is about.
"""

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring  # nosec B405

from processors.cli import dates
from processors.cli.harmless import in_a_cell, on_a_line
from processors.operations.reports.report import Report, Table

_STYLE = """
@page { margin: 18mm 15mm; }
body { font: 10.5pt/1.4 sans-serif; color: #000; background: #fff; max-width: 62em; margin: 1em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 1.6em; break-after: avoid; }
table { border-collapse: collapse; width: 100%; font-size: .87em; }
thead { display: table-header-group; } tr { break-inside: avoid; }
th, td { border: 1px solid #888; padding: .2em .45em; text-align: left; vertical-align: top; }
th { background: #eee; } td.number { text-align: right; }
td { overflow-wrap: break-word; } td.long { overflow-wrap: anywhere; } td.moment span { white-space: nowrap; }
footer { border-top: 1px solid #888; margin-top: 2em; font-size: .9em; }
"""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?")
_LONGEST_WORD = 24
"""Words up to here are never broken; a UID is, wherever its column ends."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def print_report(report: Report, *, as_csv: bool, at: datetime) -> None:
    """Writes the report to standard output."""
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(report.main.columns)
        writer.writerows([in_a_cell(_exact(value)) for value in row] for row in report.main.rows)
    else:
        sys.stdout.write(as_html(report, at=at))


def as_html(report: Report, *, at: datetime) -> str:
    """The report as one page, made at that moment."""
    page = Element("html", lang="en")
    head = SubElement(page, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    SubElement(head, "meta", name="viewport", content="width=device-width")
    _text(head, "title", report.title)
    SubElement(head, "style").text = _STYLE
    body = SubElement(page, "body")
    _text(body, "h1", report.title)
    for paragraph in (f"Made {dates.local_time(at)} by fiona-ledger.", *report.introduction):
        _text(body, "p", paragraph)
    for table in (report.main, *report.others):
        _add_table(body, table)
    if report.notes:
        foot = SubElement(body, "footer")
        for note in report.notes:
            _text(foot, "p", note)
    return f"<!DOCTYPE html>\n{tostring(page, encoding='unicode', method='html')}\n"


def _add_table(body: Element, table: Table) -> None:
    _text(body, "h2", table.heading)
    if not table.rows:
        _text(body, "p", table.if_empty)
        return
    shown = SubElement(body, "table")
    _add_row(SubElement(SubElement(shown, "thead"), "tr"), "th", table.columns)
    rows = SubElement(shown, "tbody")
    for row in table.rows:
        _add_row(SubElement(rows, "tr"), "td", row)


def _add_row(row: Element, tag: str, values: Sequence[Any] | Iterable[Any]) -> None:
    for value in values:
        words = _readable(value)
        cell = _text(row, tag, words)
        if tag == "th":
            cell.set("scope", "col")
        elif isinstance(value, int) and not isinstance(value, bool):
            cell.set("class", "number")
        elif _MOMENT.fullmatch(words):
            _keep_words_whole(cell)
        elif any(len(word) > _LONGEST_WORD for word in words.split()):
            cell.set("class", "long")


def _keep_words_whole(cell: Element) -> None:
    """A date is not parted at its hyphens; its time may stand below it."""
    cell.set("class", "moment")
    words, cell.text = (cell.text or "").split(), None
    for word in words:
        span = _text(cell, "span", word)
        span.tail = " "


def _text(parent: Element, tag: str, words: str) -> Element:
    element = SubElement(parent, tag)
    element.text = on_a_line(words)
    return element


def _readable(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return dates.local_time(value)
        case _:
            return str(value)


def _exact(value: Any) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case _:
            return value

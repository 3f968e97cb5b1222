from datetime import UTC, datetime

import pytest

from processors.web.rendering import environment, link, linked


@pytest.mark.parametrize(
    ("words", "leads"),
    [
        ("because of routing rule 3", ["rule?record=3"]),
        ("Coupling entry A-7 names it", ["entry?record=A-7"]),
        ("A coupling entry now names it", []),
        ("other studies: 1.2.840.1.2, 1.2.840.1.3", ["study?uid=1.2.840.1.2", "study?uid=1.2.840.1.3"]),
        ("Written: the study's row, series 1.2.840.1.2 and 1.2.840.1.3", []),
        ("Sent, under study UID 2.25.1.2.3.4.", []),
        ("at 2026-03-02 10:00 from 10.0.0.1", []),
        ("for Heart Study, event 1", ["project?name=Heart+Study"]),
    ],
)
def test_what_is_named_leads_to_its_page(words: str, leads: list[str]) -> None:
    made = str(linked(words, ["Heart Study"]))
    assert [part.partition('"')[0] for part in made.split('href="')[1:]] == leads


def test_what_a_person_types_is_set_apart() -> None:
    assert str(linked("Start `fiona-ledger <b>` by hand")) == "Start <code>fiona-ledger &lt;b&gt;</code> by hand"


def test_names_are_escaped_where_they_are_shown_and_where_they_lead() -> None:
    name = '"><b>\u202e&'
    assert str(linked(f"for {name}", [name])) == (
        'for <a href="project?name=%22%3E%3Cb%3E%E2%80%AE%26">&#34;&gt;&lt;b&gt;\ufffd&amp;</a>'
    )
    assert link("search", project="", state="held") == "search?state=held"


def test_values_can_do_nothing_to_a_page() -> None:
    template = environment(lambda moment: moment, live=True).from_string(
        "{{ x }}|{{ 12345 | number }}|{{ at | moment }}"
    )
    shown = template.render(x="<b>\u202e\n", at=datetime(2026, 3, 2, 9, tzinfo=UTC))
    assert shown == (
        '&lt;b&gt;\ufffd\ufffd|12&#8239;345|<time datetime="2026-03-02T09:00:00+00:00">2026-03-02 09:00</time>'
    )

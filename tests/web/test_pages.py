"""What the page shows, asked without a server; and what it never does."""

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from tests.audit.history import CHEST, HEAD, HEART, HIP, IDENTIFYING, KNEE
from tests.web.conftest import EVIL_STUDY, HOSTILE, NUMBER, Shown


class Parsed(HTMLParser):
    """What a browser would find in a page: where links lead, and whether anything could be done to whoever looks."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "action", "src")]

    def handle_data(self, data: str) -> None:
        self.words += f" {data} "


def words(page: str) -> str:
    return " ".join(Parsed(page).words.split())


# Of these the history leaves out what each summary says, so that there is nothing to explain.
_THEN = {f"study?uid={study}": "&day=2026-03-03" for study in (HIP, HEAD, CHEST)}


@pytest.fixture(scope="module")
def pages(shown: Shown) -> dict[str, str]:
    """Every page that can be come to by links, and some that are asked for by a form."""
    found: dict[str, str] = {}
    waiting = ["/", f"/study?uid={KNEE}&day=2026-03-02", "/search?state=held", f"/search?project={quote(HOSTILE)}"]
    while waiting:
        address = waiting.pop()
        if address in found:
            continue
        found[address] = shown.text(address)
        if ".csv" not in address and not address.endswith((".css", ".svg")):
            links = Parsed(found[address]).links
            assert all(re.match(r"(?!//|\w+:)", link) for link in links), "to a page of ours, in whatever folder it is"
            ours = [link for link in links if not link.startswith("#") and link not in ("./", "find", "study")]
            waiting += [f"/{link}{_THEN.get(link, '')}" for link in ours]
    return found


def test_every_link_leads_to_a_page(pages: dict[str, str]) -> None:
    kinds = {re.split(r"[?]", address)[0] for address in pages}
    assert kinds == {
        "/", "/search", "/study", "/project", "/project.csv", "/rule", "/entry", "/style.css", "/icon.svg",
    }  # fmt: skip


def test_no_page_tells_who_somebody_is(pages: dict[str, str]) -> None:
    for address, page in pages.items():
        for secret in (*IDENTIFYING, "PSEUDO-OF-X", "Xenia", "token-in", "token-co", "token-ro"):
            assert secret not in page + address, address


def test_hostile_texts_do_nothing_on_any_page(pages: dict[str, str]) -> None:
    seen = 0
    for address, page in pages.items():
        assert "\u202e" not in page, address
        if address.endswith((".css", ".svg")) or ".csv" in address:
            continue
        parsed = Parsed(page)
        assert not parsed.tags & {"script", "img", "style", "iframe", "object", "base"}, address
        assert not {name for name in parsed.attributes if name.startswith("on") or name in ("style", "srcdoc")}, address
        seen += "<script>alert(2)</script>" in parsed.words
    assert seen > 5, "they are shown as what they are"


def test_every_answer_says_what_a_browser_may_do(shown: Shown) -> None:
    for address in ("/", "/style.css", "/nothing", "/study?uid=none", f"/project.csv?name={HEART}"):
        headers = shown.client.get(address).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'"), address
        assert "unsafe" not in headers["content-security-policy"]
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert (headers["referrer-policy"], headers["x-frame-options"]) == ("no-referrer", "DENY")


def test_the_overview_says_how_it_is_and_what_needs_a_person(shown: Shown) -> None:
    page = words(shown.text("/"))
    assert "The gateway does its work." in page or "the gateway is not well" in page
    assert "rejected file" in page
    assert "Have the receiver write the file again, or remove it." in page
    assert "Studies arrived: " in page
    assert re.search(r"All of it was counted \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \.", page)
    assert shown.text("/").count("<svg") == 3


def test_the_overview_counts_what_each_project_was_asked_for(shown: Shown) -> None:
    page = words(shown.text("/"))
    assert re.search(rf"{HEART} \d+ \d+ \d+ \d+", page)


def test_a_study_is_told_as_explain_tells_it(shown: Shown) -> None:
    page = words(shown.text(f"/study?uid={EVIL_STUDY}"))
    assert page.index("Verdict") < page.index("Timeline") < page.index("Routing rules")
    assert f"Requested for {HEART}" in page
    assert "because of coupling entry 12" in page
    assert "was sent on 2026-03-03 10:00" in page
    assert '<a href="entry?record=12">coupling entry 12</a>' in shown.text(f"/study?uid={EVIL_STUDY}")


def test_a_study_as_it_was_known_on_a_day_gone_by(shown: Shown) -> None:
    then, now = (words(shown.text(f"/study?uid={KNEE}{day}")) for day in ("&day=2026-03-02", ""))
    assert "As it was known at the end of 2026-03-02" in then
    assert "2026-03-03" in now
    assert "2026-03-03" not in then
    assert then.index("Verdict") < then.index("Timeline") < then.index("Routing rules in force then")
    assert "Coupling entries in force then" in then
    assert "Nothing was known of it yet." in words(shown.text(f"/study?uid={KNEE}&day=2026-01-01"))


def test_a_project_shows_what_was_delivered_and_what_has_not_come(shown: Shown) -> None:
    page = words(shown.text(f"/project?name={HEART}"))
    assert "studies delivered 2 series 3 images 9" in page
    assert "Expected, not arrived" in page
    table = shown.client.get(f"/project.csv?name={HEART}")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    lines = table.text.splitlines()
    assert lines[0].startswith("study,arrived_at,event_name,stage,cause_kind,cause_record")
    assert any(line.startswith(EVIL_STUDY) and ",sent,coupling,12," in line for line in lines)


def test_a_cell_of_the_csv_is_not_calculated(shown: Shown) -> None:
    assert all(not re.search(r'(^|,)"?[=+@]', line) for line in shown.text(f"/project.csv?name={HEART}").splitlines())


def test_a_rule_or_entry_shows_who_changed_it_and_when(shown: Shown) -> None:
    entry = words(shown.text("/entry?record=7"))
    assert "astrid 2026-03-03 09:58" in entry
    assert "bjorn 2026-03-03 09:59" in entry
    assert "removed by astrid" in entry
    rule = words(shown.text("/rule?record=2"))
    assert "removed by bjorn" in rule
    assert "unknown" in rule
    study = words(shown.text(f"/study?uid={EVIL_STUDY}"))
    assert "last changed in REDCap by carla, 2026-03-03 10:29" in study


def test_a_rule_shows_its_texts_and_what_each_led_to_but_no_pattern(shown: Shown) -> None:
    page = words(shown.text("/rule?record=1"))
    assert "Routing rule 1" in page
    assert "pattern of PatientID" in page
    assert "Newest studies requested because of it" in page
    assert "in force" in words(shown.text("/rule?record=9"))
    assert "an accession number" in words(shown.text("/entry?record=7")) or KNEE in shown.text("/entry?record=7")


@pytest.mark.parametrize(
    "address",
    ["/study?uid=9.9", "/study", "/project?name=none", "/rule?record=none", "/entry", "/search?state=x", "/nothing",
     "/search?since=soon", f"/study?uid={HIP}&day=soon", "/search?at=soon", "/search?study=%00", "/study?uid=%00",
     "/project?name=%00", "/rule?record=%00"],
)  # fmt: skip
def test_what_is_not_there_is_said(shown: Shown, address: str) -> None:
    assert "<h1>Not found</h1>" in shown.text(address, 404)


def test_studies_are_found_by_project_state_and_day(shown: Shown) -> None:
    assert EVIL_STUDY in shown.text(f"/search?project={quote(HOSTILE)}")
    assert KNEE not in shown.text("/search?state=nothing")
    assert EVIL_STUDY in shown.text("/search?since=2026-03-03")
    assert EVIL_STUDY not in shown.text("/search?until=2026-03-02")


@pytest.mark.parametrize(
    "address", ["/search?until=9999-12-31", "/search?since=0001-01-01", f"/study?uid={KNEE}&day=9999-12-31"]
)
def test_days_at_the_ends_of_the_calendar_are_days_too(shown: Shown, address: str) -> None:
    assert shown.client.get(address).status_code in (200, 404)


def test_a_form_leads_to_an_address_but_with_an_accession_number(shown: Shown) -> None:
    answer = shown.client.post("/search", data={"project": HEART, "accession": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, "search?project=Heart+Study")
    answer = shown.client.post("/search", data={"accession": NUMBER})
    assert answer.status_code == 200
    assert EVIL_STUDY in answer.text
    assert NUMBER not in " ".join(Parsed(answer.text).links)


def test_more_studies_than_stand_on_a_page_are_on_the_next(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.web.search.SHOWN", 2)
    seen: list[str] = []
    address = "/search"
    while address:
        page = shown.text(address)
        uids = [link.removeprefix("study?uid=") for link in Parsed(page).links if link.startswith("study?uid=")]
        seen += dict.fromkeys(uids)
        older = [link for link in Parsed(page).links if link.startswith("search?")]
        address = f"/{older[0]}" if older else ""
    assert len(seen) == len(set(seen))
    assert {KNEE, HIP, CHEST, EVIL_STUDY} <= set(seen)


def test_a_study_is_found_by_its_number_or_the_way_to_it_is_told(shown: Shown) -> None:
    for name in (KNEE, f" {CHEST} ", NUMBER):
        answer = shown.client.post("/find", data={"name": name})
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"] == f"study?uid={EVIL_STUDY if name == NUMBER else name.strip()}"
    answer = shown.client.post("/find", data={"name": "no-such"})
    assert answer.status_code == 404
    assert "No study in the ledger has the UID or accession number no-such." in words(answer.text)


def test_a_project_that_is_not_known_has_no_spreadsheet(shown: Shown) -> None:
    assert "The ledger knows no project of this name." in shown.text("/project.csv?name=none", 404)


def test_a_day_to_come_is_refused(shown: Shown) -> None:
    shown.text(f"/study?uid={KNEE}&day=2026-03-03")
    assert "expected today or a day gone by" in shown.text(f"/study?uid={KNEE}&day=2026-03-04", 404)

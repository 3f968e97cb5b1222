"""Which condition held: never another answer than the run's."""

from hypothesis import given
from hypothesis import strategies as st

from processors.explain.conditions import entry_accounts, rule_accounts
from processors.explain.near_miss import Matching, accession_difference, title_difference
from processors.routing.coupling import CouplingList, Entry
from processors.routing.rules import Identity, Router, Rule, rules_from_rows
from tests.explain.conftest import row

LIMIT = 5.0

TITLES = st.sampled_from(["", "FIONA", "fiona", "FIO NA", "CT1", "PACS"])
PATTERNS = st.sampled_from(["", " ", "H", "H-[0-9]+", "h-1", "(?i)h", ".*", "H|H-1", "(", "[0-9]", r"\s*H", "^H-1$"])
TEXTS = st.sampled_from(["", "\x00", "H", "H-1", "h-1", " H-1", "H-1 ", "12", "XH-1", "H-12^Jane"])
ROWS = st.builds(
    lambda active, called, calling, id_, name: row(
        active=active, incoming_aetitle=called, sending_aetitle=calling, allowed_patientid=id_, allowed_patientname=name
    ),
    active=st.sampled_from(["1", "1", "1", "0"]),
    called=TITLES,
    calling=TITLES,
    id_=PATTERNS,
    name=PATTERNS,
)
IDENTITIES = st.builds(Identity, TITLES, TITLES, TEXTS, TEXTS)
MODES = st.sampled_from(["prefix", "full"])


def rules_of(rows: list[dict[str, str]]) -> list[Rule]:
    numbered = [{**each, "record_id": str(number)} for number, each in enumerate(rows)]
    return rules_from_rows(numbered, {"Heart Study": "Heart Study"})


@given(rows=st.lists(ROWS, max_size=6), identity=IDENTITIES, mode=MODES)
def test_what_is_explained_is_what_is_decided(rows: list[dict[str, str]], identity: Identity, mode: str) -> None:
    matching = Matching("full" if mode == "full" else "prefix", LIMIT)
    rules = rules_of(rows)
    router = Router(rules, mode=matching.mode, time_limit=matching.time_limit)
    accounts = rule_accounts(rules, identity, router, matching)
    hits = {hit.rule.record_id for hit in router.hits(identity)[0]}
    assert {account.rule.record_id for account in accounts} == {rule.record_id for rule in rules}
    assert {account.rule.record_id for account in accounts if account.standing == "matches"} == hits
    for account in accounts:
        titles, texts = account.conditions[:2], account.conditions[2:]
        held = any(title.holds for title in titles) and any(text.holds for text in texts)
        usable = account.rule.active and not account.rule.problems
        assert (account.standing == "matches") == (held and usable)


def account_of(identity: Identity, mode: str = "prefix", **fields: str) -> tuple[str, tuple[str, ...]]:
    """The verdict on a rule with these fields, and its notes."""
    matching = Matching("full" if mode == "full" else "prefix", LIMIT)
    rules = rules_of([row(**fields)])
    router = Router(rules, mode=matching.mode, time_limit=matching.time_limit)
    (account,) = rule_accounts(rules, identity, router, matching)
    return account.standing, account.notes


FROM_CT = Identity("FIONA", "CT1", "HRT-12", "Doe^Jane")


def test_a_match_of_the_start_only_is_a_match_that_is_pointed_out() -> None:
    note = "the pattern of PatientID matches the start of the text only"
    assert account_of(FROM_CT, allowed_patientid="HRT") == ("matches", (note,))


def test_a_match_of_the_start_only_is_a_near_miss_where_the_whole_text_counts() -> None:
    standing, (note,) = account_of(FROM_CT, "full", allowed_patientid="HRT")
    assert standing == "near miss"
    assert "matches the start only" in note


def test_a_pattern_that_would_match_without_regard_to_case_is_a_near_miss() -> None:
    standing, (note,) = account_of(FROM_CT, allowed_patientid="hrt-[0-9]+")
    assert standing == "near miss"
    assert "if case were ignored" in note


def test_a_pattern_that_would_match_without_blanks_is_a_near_miss() -> None:
    standing, (note,) = account_of(FROM_CT._replace(patient_id=" HRT-12"), allowed_patientid="HRT-[0-9]+")
    assert standing == "near miss"
    assert "without the blanks" in note


def test_an_ae_title_that_differs_in_case_is_a_near_miss() -> None:
    standing, notes = account_of(FROM_CT, incoming_aetitle="fiona", allowed_patientid="HRT")
    assert (standing, notes[0]) == ("near miss", "called AE title differs by case only")


def test_an_ae_title_that_differs_by_blanks_is_a_near_miss() -> None:
    standing, notes = account_of(FROM_CT, incoming_aetitle="", sending_aetitle="CT 1", allowed_patientid="HRT")
    assert (standing, notes[0]) == ("near miss", "calling AE title differs by blanks only")


def test_an_ae_title_that_nearly_matches_is_none_where_the_patterns_are_for_others() -> None:
    assert account_of(FROM_CT, incoming_aetitle="fiona", allowed_patientid="XYZ")[0] == "no match"


def test_an_inactive_rule_that_would_match_is_a_near_miss() -> None:
    assert account_of(FROM_CT, active="0", allowed_patientid="HRT-12") == ("near miss", ("the rule is inactive",))


def test_a_rule_that_cannot_be_used_is_a_near_miss_for_series_by_its_ae_title() -> None:
    standing, (note,) = account_of(FROM_CT, allowed_patientid="(")
    assert standing == "near miss"
    assert "does not compile" in note


def test_a_pattern_without_an_answer_in_time_is_a_near_miss() -> None:
    rules = rules_of([row(allowed_patientid="(a|aa|a?)+$")])
    identity = FROM_CT._replace(patient_id="a" * 60 + "!")
    matching = Matching("prefix", 0.02)
    (account,) = rule_accounts(rules, identity, Router(rules, mode="prefix", time_limit=0.02), matching)
    assert account.standing == "near miss"
    assert account.conditions[2].state == "ran out of time"
    assert "ran out of time" in account.notes[-1]


def test_nothing_is_said_of_a_text_that_was_forgotten() -> None:
    rules = rules_of([row(allowed_patientid="HRT", allowed_patientname="")])
    matching = Matching("prefix", LIMIT)
    identity = FROM_CT._replace(patient_id="", patient_name="")
    router = Router(rules, mode="prefix", time_limit=LIMIT)
    (account,) = rule_accounts(rules, identity, router, matching, forgotten=True)
    assert [condition.state for condition in account.conditions[2:]] == ["forgotten", "blank"]


def entry(record: str = "1", **fields: str) -> Entry:
    blank = {"accession": "", "study": "", "project": "Heart Study", "subject_id": "H-1", "event_name": "", "date": ""}
    return Entry(record_id=record, **(blank | fields))  # type: ignore[arg-type]


ACCESSIONS = st.sampled_from(["", "A1", "a1", "A 1", "0A1", "B2", "00", "0"])
UIDS = st.sampled_from(["", "1.2.3", "1.2.AB", "1.2.ab"])


@given(
    fields=st.lists(st.tuples(ACCESSIONS, UIDS, st.sampled_from(["", "Heart Study"])), max_size=6),
    study=UIDS.filter(bool),
    accessions=st.sets(ACCESSIONS, max_size=2),
)
def test_the_entries_said_to_name_a_study_are_those_that_decide(
    fields: list[tuple[str, str, str]], study: str, accessions: set[str]
) -> None:
    entries = [
        entry(str(number), accession=accession, study=uid, project=project)
        for number, (accession, uid, project) in enumerate(fields)
    ]
    accounts = entry_accounts(entries, study, accessions, on_disk=True)
    naming = {each.record_id for each in CouplingList(entries).naming(study, accessions)}
    assert {account.entry.record_id for account in accounts if account.named} == naming
    assert {account.entry.record_id for account in accounts if account.standing == "matches"} == naming


def test_accession_numbers_that_nearly_agree_are_told_apart() -> None:
    assert accession_difference("A12", "A 12") == "blanks"
    assert accession_difference("A12", "a12") == "case"
    assert accession_difference("0012", "12") == "leading zeros"
    assert accession_difference("00a 12", "A12") == "blanks, case and leading zeros"
    assert accession_difference("A12", "A13") == ""
    assert accession_difference("A12", "A12") == ""
    assert accession_difference("000", "0") == ""


def test_leading_zeros_of_ae_titles_are_no_detail() -> None:
    assert title_difference("01", "1") == ""
    assert title_difference("ct 1", "CT1") == "blanks and case"


def test_an_entry_that_cannot_be_used_is_a_near_miss() -> None:
    (account,) = entry_accounts([entry(accession="A1", project="")], "1.2.3", {"A1"}, on_disk=True)
    assert (account.standing, account.named) == ("near miss", False)
    assert account.notes == ("the entry cannot be used: cl_projectname is blank.",)


def test_an_entry_waits_for_a_study_that_has_vanished() -> None:
    (account,) = entry_accounts([entry(accession="A1")], "1.2.3", {"A1"}, on_disk=False)
    assert (account.standing, account.named) == ("near miss", True)
    assert "waits" in account.notes[0]

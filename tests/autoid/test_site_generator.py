"""The site's own tool: called as it is, trusted in nothing."""

import json
import os
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from processors.autoid.generators import NoID, SiteGenerator
from processors.autoid.site_tool import LONGEST_ANSWER, clean_environment
from tests.autoid.sites import AutoidSite

PROMPT = 20.0


@dataclass(frozen=True)
class In:
    """IDs in use: those that can be read, and others."""

    used: Sequence[str]
    hidden: Collection[str] = ()

    def readable(self) -> Sequence[str]:
        return self.used

    def free(self, values: Sequence[str]) -> list[str]:
        return [value for value in values if value not in self.hidden]


def tool(folder: Path, body: str) -> Path:
    """A tool in Python, which finds its arguments in `args`, by option."""
    path = folder / "tool"
    path.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys, time\n"
        "args = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "wanted = int(args['-n'])\n"
        f"{body}\n"
    )
    path.chmod(0o755)
    return path


def generator(folder: Path, body: str, *, time_limit: float = PROMPT) -> SiteGenerator:
    return SiteGenerator(tool(folder, body), time_limit=time_limit)


NOTE = """
file = args["-e"]
with open({place!r}, "w") as note:
    json.dump({{"argv": sys.argv[1:], "mode": os.stat(file).st_mode, "used": open(file).read(), "file": file,
               "folder": os.stat(os.path.dirname(file)).st_mode}}, note)
"""


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "note.json"


def noting(note: Path, rest: str) -> str:
    return NOTE.format(place=str(note)) + rest


@pytest.mark.parametrize(
    "pattern", ["H-[0-9];touch /tmp/x", "$(id)`id`", """a'b"c""", "x y  z", "-n", "*", "a\\d{3}|b&&c", "Ærø-山"]
)
def test_the_pattern_arrives_untouched_as_one_argument(tmp_path: Path, note: Path, pattern: str) -> None:
    with pytest.raises(NoID):
        generator(tmp_path, noting(note, "sys.exit(7)")).draw(pattern, 1, In([]))
    told = json.loads(note.read_text())
    assert told["argv"] == ["-r", pattern, "-e", told["file"], "-n", "1", "-m", "random-id"]


def test_the_used_ids_are_in_a_private_file(tmp_path: Path, note: Path) -> None:
    made = generator(tmp_path, noting(note, "print('H-3')")).draw("H-[0-9]", 1, In(["H-2", "H-1", "Ærø"]))
    told = json.loads(note.read_text())
    assert made == ["H-3"]
    assert sorted(told["used"].splitlines()) == ["H-1", "H-2", "Ærø"]
    assert (stat.S_IMODE(told["mode"]), stat.S_IMODE(told["folder"])) == (0o600, 0o700)


ENDINGS = {
    "done": "print('H-3')",
    "failed": "sys.exit(3)",
    "killed": "os.kill(os.getpid(), 9)",
    "timed out": "time.sleep(60)",
    "wrong": "print('nonsense')",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_file_is_gone_however_the_tool_ends(tmp_path: Path, note: Path, ending: str) -> None:
    limit = 2.0 if ending == "timed out" else PROMPT
    try:
        generator(tmp_path, noting(note, ENDINGS[ending]), time_limit=limit).draw("H-[0-9]", 1, In(["H-1"]))
    except NoID:
        assert ending != "done"
    file = Path(json.loads(note.read_text())["file"])
    assert not file.exists()
    assert not file.parent.exists()
    assert file.is_relative_to(tempfile.gettempdir())


WRONG = {
    "sys.exit(1)": "ended with 1",
    f"os.kill(os.getpid(), {signal.SIGTERM.value})": f"ended with -{signal.SIGTERM.value}",
    "": "was asked for 2 IDs and gave 0",
    "print('H-3')": "was asked for 2 IDs and gave 1",
    "print('H-3\\nH-4\\nH-5')": "was asked for 2 IDs and gave 3",
    "print('H-3\\n\\nH-4')": "was asked for 2 IDs and gave 3",
    "print('H-3\\nH-3')": "gave an ID that is in use",
    "print('H-3\\nH-1')": "gave an ID that is in use",
    "print('H-3\\nK-4')": "does not match",
    "print('H-3\\nH-44')": "does not match",
    "print('H-3\\n H-4')": "does not match",
    "print('H-3\\nH-4 ')": "does not match",
    "print('H-3\\n')": "does not match",
    "sys.stdout.buffer.write(b'H-3\\nH-\\xff\\n')": "did not answer in UTF-8",
}


@pytest.mark.parametrize("body", WRONG)
def test_what_is_wrong_is_taken_in_no_part(tmp_path: Path, body: str) -> None:
    with pytest.raises(NoID, match=WRONG[body]):
        generator(tmp_path, body).draw("H-[0-9]", 2, In(["H-1"]))


def test_an_id_that_is_too_long_is_not_taken(tmp_path: Path) -> None:
    """It was cut where it was read, and was somebody else's from then on."""
    assert generator(tmp_path, "print('7' * 400)").draw("[0-9]+", 1, In([])) == ["7" * 400]
    with pytest.raises(NoID, match="more than 400 characters"):
        generator(tmp_path, "print('7' * 401)").draw("[0-9]+", 1, In([]))


def test_a_blank_id_is_none_even_where_the_pattern_allows_it(tmp_path: Path) -> None:
    with pytest.raises(NoID, match="does not match"):
        generator(tmp_path, "print(' ')").draw("[ H]", 1, In([]))


def test_a_tool_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(NoID, match="time limit"):
        generator(tmp_path, "time.sleep(60)", time_limit=0.5).draw("H-[0-9]", 1, In([]))
    assert time.monotonic() - begun < PROMPT


# Bounded, in case that nobody bounds it.
ENDLESS = "for _ in range(200):\n    {stream}.write('H-0042\\n' * 150_000)\nprint('H-0042')"


def test_a_tool_that_prints_without_end_is_given_up(tmp_path: Path) -> None:
    """It used to fill the memory for as long as its time limit let it."""
    before = psutil.Process().memory_info().rss
    with pytest.raises(NoID, match=f"printed more than {LONGEST_ANSWER} bytes"):
        generator(tmp_path, ENDLESS.format(stream="sys.stdout")).draw("H-[0-9]{4}", 1, In([]))
    assert psutil.Process().memory_info().rss - before < 8 * LONGEST_ANSWER


def test_what_a_tool_complains_about_without_end_is_not_kept(tmp_path: Path) -> None:
    made = generator(tmp_path, ENDLESS.format(stream="sys.stderr")).draw("H-[0-9]{4}", 1, In([]))
    assert made == ["H-0042"]


def test_a_long_answer_is_read_whole(tmp_path: Path) -> None:
    count = 200_000
    made = generator(tmp_path, f"print(*(f'H-{{n:06}}' for n in range({count})), sep='\\n')")
    lines = made._call("H-[0-9]{6}", tmp_path / "used", count)
    assert (len(lines), lines[-1]) == (count, "H-199999")


CHILD = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"], stdout={stdout})
with open({place!r} + ".new", "w") as note:
    note.write(str(child.pid))
os.rename({place!r} + ".new", {place!r})
{rest}
"""


@pytest.mark.parametrize("rest", ["time.sleep(120)", "sys.exit(0)"], ids=["waits", "leaves it alone"])
def test_what_a_tool_has_started_does_not_outlive_its_time_limit(tmp_path: Path, rest: str) -> None:
    place = tmp_path / "child"
    body = CHILD.format(place=str(place), stdout="None", rest=rest)
    with pytest.raises(NoID, match="time limit"):
        generator(tmp_path, body, time_limit=3).draw("H-[0-9]", 1, In([]))
    assert ends(int(place.read_text()))


def ends(process: int) -> bool:
    """Whether the process ends within a while; one that nobody has waited for yet has ended."""
    deadline = time.monotonic() + PROMPT
    while time.monotonic() < deadline:
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_a_tool_has_a_session_of_its_own(tmp_path: Path) -> None:
    made = generator(tmp_path, "print(os.getsid(0) == os.getpid())").draw("True", 1, In([]))
    assert made == ["True"]


def test_the_environment_does_not_reach_the_tool(tmp_path: Path) -> None:
    """Tokens in it used to."""
    assert "PYTEST_CURRENT_TEST" in os.environ
    seen = generator(tmp_path, "print(*os.environ, sep='\\n')")._call("x", tmp_path / "used", 1)
    assert "PATH" in seen
    assert "PYTEST_CURRENT_TEST" not in seen


def test_signals_are_handled_as_before_when_the_tool_has_ended(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    generator(tmp_path, "print('H-3')").draw("H-[0-9]", 1, In([]))
    assert signal.getsignal(signal.SIGTERM) is before


def test_of_the_environment_only_what_any_program_needs_is_passed_on() -> None:
    needed = {"PATH": "/bin", "HOME": "/root", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "LC_ALL": "C", "LC_TIME": "C"}  # noqa: S108 - a sample
    others = {"REDCAP_TOKEN": "A", "FIONA_LEDGER_KEY": "B", "PGPASSWORD": "C", "PYTHONPATH": "D", "LCX": "E"}
    assert clean_environment(needed | others) == needed


def test_a_tool_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    path = tool(tmp_path, "print('H-3')")
    path.chmod(0o644)
    with pytest.raises(NoID, match="Permission denied"):
        SiteGenerator(path, time_limit=PROMPT).draw("H-[0-9]", 1, In([]))
    path.unlink()
    with pytest.raises(NoID, match="No such file"):
        SiteGenerator(path, time_limit=PROMPT).draw("H-[0-9]", 1, In([]))


def test_a_pattern_that_takes_for_ever_to_check_matches_nothing(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert not SiteGenerator(tmp_path, time_limit=1).matches("(a|aa|a?)+(a|aa|a?)+(a+)+b", "a" * 300)
    assert time.monotonic() - begun < PROMPT


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("H-[0-9]", "H-3", True),
        ("H-[0-9]", "H-33", False),
        ("H|H-3", "H-3", True),
        ("(?:ab){e}", "(ab", False),
        ("[[:alpha:]]", "x", False),
        ("H-(", "H-(", False),
        ("H-[0-9]*", "", False),
    ],
)
def test_patterns_mean_what_they_mean_to_re(tmp_path: Path, *, pattern: str, value: str, expected: bool) -> None:
    """The library that can be given a time limit used to read some of them in its own way."""
    assert SiteGenerator(tmp_path, time_limit=1).matches(pattern, value) is expected


# -- in whole runs ----------------------------------------------------------------------------------------


def test_our_own_gen_id_serves_as_the_tool(site: AutoidSite, tmp_path: Path) -> None:
    path = tmp_path / "own"
    root = Path(__file__).parents[2]
    path.write_text(
        f"#!{sys.executable}\nimport os, sys\nos.environ['PYTHONPATH'] = {str(root)!r}\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'processors.cli.commands.gen_id', *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    site.generator = path
    site.project(pattern="H-[1-4]")
    site.give("1", "OLD", "H-2")
    for number in range(3):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    assert {site.requested(f"1.2.{number}") for number in range(3)} == {"H-1", "H-3", "H-4"}
    site.study("1.2.3", "PID-3")
    site.run()
    assert site.held() == {"1.2.3": "the site's ID generator ended with 1"}
    site.assert_no_id_twice()


def test_a_failing_tool_holds_its_studies_and_they_are_released_when_it_works(site: AutoidSite, tmp_path: Path) -> None:
    site.generator = tool(tmp_path, "sys.exit(4)")
    site.study("1.2.1")
    site.run()
    assert site.held() == {"1.2.1": "the site's ID generator ended with 4"}
    assert (site.used(), site.transfers("1.2.1")) == ({}, {})
    tool(tmp_path, "print('H-0042')")
    site.run_after_a_while()
    assert (site.held(), site.requested("1.2.1")) == ({}, "H-0042")


def test_patients_with_an_id_need_no_tool(site: AutoidSite, tmp_path: Path) -> None:
    site.generator = tool(tmp_path, "sys.exit(4)")
    site.give("1", "OLD", "H-0001")
    site.study("1.2.1", "OLD")
    site.study("1.2.2", "NEW")
    site.run()
    assert site.requested("1.2.1") == "H-0001"
    assert list(site.held()) == ["1.2.2"]


def test_what_a_tool_says_on_standard_error_is_shown_nowhere(site: AutoidSite, tmp_path: Path) -> None:
    """It may name IDs, or worse."""
    site.generator = tool(tmp_path, "print('secret H-0042', file=sys.stderr); print('wrong-secret')")
    site.study("1.2.1")
    report = site.run()
    assert "secret" not in site.everything_stored() + str(report.as_data())
    assert len(site.held()) == 1


def test_a_tool_reads_patterns_that_ours_does_not(site: AutoidSite, tmp_path: Path) -> None:
    """Patterns used to be checked where the tool reads them, and not where our generator does."""
    site.generator = tool(tmp_path, "print('H-12345')")
    site.project(pattern="H-[0-9]+")
    site.study("1.2.1")
    site.run()
    assert (site.attention(), site.requested("1.2.1")) == ({}, "H-12345")


def test_when_the_tool_is_taken_out_a_pattern_that_only_it_reads_is_reported(site: AutoidSite, tmp_path: Path) -> None:
    site.generator = tool(tmp_path, "print('H-12345')")
    site.project(pattern="H-[0-9]+")
    site.run()
    site.generator = None
    site.study("1.2.1")
    site.run()
    assert site.attention() == {"unusable auto-ID project": 1, "held study": 1}


def test_the_tool_is_not_run_under_the_heads_lock(site: AutoidSite, tmp_path: Path) -> None:
    """Other sites go on recording while a slow tool thinks."""
    go, begun = tmp_path / "go", tmp_path / "begun"
    site.generator = tool(
        tmp_path,
        f"open({str(begun)!r}, 'w').close()\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\nprint('H-0042')",
    )
    site.study("1.2.1")
    site.clock.advance(60)
    run = site.machine.start()
    deadline = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert site.query("select position > 0 from ledger.head for update nowait") == [(True,)]
    go.touch()
    run.join(60)
    assert (run.exitcode, site.requested("1.2.1")) == (0, "H-0042")


def test_a_run_that_is_told_to_end_removes_the_file_and_ends_the_tool(
    site: AutoidSite, tmp_path: Path, note: Path
) -> None:
    """The IDs in use used to stay in the folder for temporary files."""
    begun = tmp_path / "begun"
    site.generator = tool(tmp_path, noting(note, f"open({str(begun)!r}, 'w').write(str(os.getpid())); time.sleep(120)"))
    site.study("1.2.1")
    site.clock.advance(60)
    run = site.machine.start()
    deadline = time.monotonic() + 60
    while not (begun.exists() and begun.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.terminate()
    run.join(60)
    assert run.exitcode == 128 + signal.SIGTERM
    assert ends(int(begun.read_text()))
    file = Path(json.loads(note.read_text())["file"])
    assert not file.exists()
    assert not file.parent.exists()


def test_an_id_that_people_take_for_one_in_use_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(NoID, match="that people take for one in use"):
        generator(tmp_path, "print('h-1')").draw("[hH]-[0-9]", 1, In(["H-1"], hidden=["h-1"]))


COUNTING = """
used = open(args["-e"]).read().split()
print(*[f"H-{number}" for number in range(10) if f"H-{number}" not in used][:wanted], sep="\\n")
"""


def test_a_tool_that_counts_on_gets_past_the_ids_that_it_cannot_be_told(tmp_path: Path) -> None:
    """Those of forgotten patients, and reserved ones: it would give the same one for ever."""
    drawn = generator(tmp_path, COUNTING).draw("H-[0-9]", 2, In(["H-0", "H-3"], hidden=["H-1", "H-2", "H-5"]))
    assert drawn == ["H-4", "H-6"]

"""Parts within a time: bounded, independent, gone on with; stand-ins for the parts, so that no GPU is needed."""

import json
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixedae.files import ROOT
from mixedae.perf import on_gpu
from mixedae.perf.on_gpu import PARTS, GpuResults, Part, missing, run_parts

FINE = Part("fine", ("-c", "print('figure 1.07')"), 1)
BROKEN = Part("broken", ("-c", "print('tests/a.py::test_b[c] FAILED'); raise SystemExit(3)"), 1)
HANGING = Part(
    "hanging",
    (
        "-c",
        "import subprocess, sys, time; print('half', flush=True); "
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])",
    ),
    0.04,
)
ELSEWHERE = Part("elsewhere", ("-c", "print(1)"), 1, ("no_such_package",))


def test_each_part_is_bounded_and_none_stops_the_next(tmp_path: Path) -> None:
    said: list[str] = []
    began = time.monotonic()
    results = run_parts((ELSEWHERE, BROKEN, HANGING, FINE), 5, tmp_path, "a GPU", said.append)
    assert time.monotonic() - began < 30
    assert {name: part.status for name, part in results.parts.items()} == {
        "elsewhere": "lacks a package",
        "broken": "failed",
        "hanging": "out of time",
        "fine": "done",
    }
    assert results.parts["broken"].failed == ["tests/a.py::test_b[c]"], "the name of what failed is kept"
    assert results.parts["hanging"].said == ["half"] and results.parts["fine"].said == ["figure 1.07"]
    assert any("no_such_package is not installed" in line for line in said)
    stored = GpuResults.model_validate(json.loads((tmp_path / "gpu.json").read_text()))
    assert stored == results
    text = (tmp_path / "gpu.md").read_text()
    assert "a GPU" in text and "figure 1.07" in text and "| broken | failed; failed: tests/a.py::test_b[c] |" in text
    left = subprocess.run(["pgrep", "-f", "time.sleep(600)"], capture_output=True, text=True).stdout.split()
    assert not left, "what a part started ends with it"


def test_a_second_call_goes_on_with_what_is_not_done(tmp_path: Path) -> None:
    now = [0.0]
    run_parts((FINE, BROKEN), 0.2, tmp_path, "a GPU", lambda _: None, lambda: now[0])  # 12 s: less than is kept spare
    assert not json.loads((tmp_path / "gpu.json").read_text())["parts"]
    said: list[str] = []
    run_parts((FINE, BROKEN), 2, tmp_path, "a GPU", lambda _: None)
    run_parts((FINE, BROKEN, HANGING), 2, tmp_path, "a GPU", said.append)
    assert [line.split(":")[0] for line in said] == ["hanging", "hanging"], "what ended is not run again"
    again: list[str] = []
    run_parts((FINE,), 2, tmp_path, "another GPU", again.append)
    assert again, "another machine's results are its own"


def test_without_a_gpu_it_says_what_it_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, "tools/gpu.py", "--minutes", "1"], cwd=ROOT, capture_output=True, text=True)
    if "no GPU found" not in done.stdout:
        pytest.skip("there is a GPU")
    (line,) = done.stdout.splitlines()
    assert done.returncode == 0 and all(part.name in line for part in PARTS)


def test_the_parts_are_commands_of_this_project(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    for part in PARTS:
        first = part.command[0]
        assert first == "-m" or (ROOT / first).is_file(), part
        assert all((ROOT / word).exists() for word in part.command if word.startswith("tests/"))
        assert not missing(part) or set(missing(part)) <= {"triton"}, "needs are importable names"
    for part in (part for part in PARTS if part.command[0] == "tools/perf.py"):
        monkeypatch.setattr(sys, "argv", list(part.command))
        assert runpy.run_path(str(ROOT / "tools/perf.py"))["parse_args"]()
    assert on_gpu.SPARE > 0

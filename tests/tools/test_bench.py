"""tools/bench.py as a user calls it."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mixedae.benchmark.table.render import RENDERERS
from mixedae.files import ROOT
from tests.benchmark.fake_suite import FakeSuite

BENCH = str(ROOT / "tools" / "bench.py")


def bench(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, BENCH, *arguments], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["ls"], ["run", "--help"]])
def test_answers_at_once_and_without_torch(arguments: list[str]) -> None:
    """What would make it slow are heavy imports, and those show in the interpreter's own list."""
    code = f"import sys, runpy; sys.argv = ['bench.py', *{arguments!r}]\n"
    code += f"try: runpy.run_path({BENCH!r}, run_name='__main__')\n"
    code += "finally: print('HEAVY', sorted({'torch', 'mmengine', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout


def test_ls_names_suites_and_tasks() -> None:
    out = bench("ls").stdout
    for name in ("quickstart", "mini_long", "real_small", "mini_cls", "coco_small_cascade", "in1k_ft"):
        assert name in out


@pytest.fixture
def main() -> Callable[[list[str]], int]:
    """The tool in this process: the command line is the same, mmengine is imported once."""
    spec = importlib.util.spec_from_file_location("bench", BENCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main  # type: ignore[no-any-return]


def common(suite: FakeSuite) -> list[str]:
    return [str(suite.path), "--work-dir", str(suite.folder), "--data", f"toy={suite.root / 'data'}"]


@pytest.mark.parametrize("name", ["rich", *RENDERERS])
def test_every_format_can_be_asked_for(
    tmp_path: Path, main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["table", *common(FakeSuite(tmp_path)), "--format", name]) == 0
    assert "not run yet" in capsys.readouterr().out


def test_dry_run_and_table(
    tmp_path: Path,
    main: Callable[[list[str]], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite = FakeSuite(tmp_path)
    assert main(["run", *common(suite), "--dry-run", "--seeds", "0,1", "--only", "mae/"]) == 0
    out = capsys.readouterr().out
    assert "mae/pretrain/seed_1" in out and "6 cells to run" in out
    assert not list(tmp_path.rglob("result.json")) and not list(tmp_path.rglob("attempt.json"))

    assert suite.run()[0] == 0
    assert main(["run", *common(suite), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.count("cached") == 8 and "0 cells to run" in out
    assert main(["run", *common(suite)]) == 0  # nothing to do, so the real trainer is not called
    assert "8/8 cells done" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert main(["table", *common(suite)[:3], "--format", "md"]) == 0
    out = capsys.readouterr().out
    assert "| MixedAE |" in out and "was not checked" not in out  # the data's folder is remembered


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["run", "SUITE", "--data", "toy=nowhere"], "error: DataError: "),
        (["run", "SUITE", "--data", "tyo=x"], "did you mean `toy`?"),
        (["run", "SUITE", "--data", "toy"], "expected NAME=DIR"),
        (["run", "SUITE"], "MIXEDAE_DATA_TOY"),
        (["run", "SUITE", "--checkpoint", "mae"], "expected NAME=FILE"),
        (
            ["run", "SUITE", "--data", "toy=DATA", "--checkpoint", "mae=no.pth", "--only", "mae"],
            "no.pth does not exist",
        ),
        (["run", "SUITE", "--seeds", "a"], "error: ConfigError: --seeds a"),
        (["run", "SUITE", "--data", "toy=DATA", "--only", "nothing"], "matches no cell"),
        (["run", "SUITE", "--data", "toy=DATA", "--only", "det"], "ConfigError: task `det`: config"),
        (["run", "quikstart"], "did you mean `quickstart`?"),
    ],
)
def test_errors_come_before_anything_runs(
    tmp_path: Path,
    main: Callable[[list[str]], int],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    error: str,
) -> None:
    suite = FakeSuite(tmp_path)
    if "det" in arguments:
        (tmp_path / "det.py").unlink()
    words = {"SUITE": str(suite.path), "toy=DATA": f"toy={tmp_path / 'data'}"}
    status = main([words.get(argument, argument) for argument in arguments])
    captured = capsys.readouterr()
    assert status == 1 and captured.out == ""
    assert captured.err.startswith("error: ") and error in captured.err and captured.err.count("\n") == 1


def test_a_checkpoint_file_takes_the_place_of_a_pretraining_or_makes_a_row(
    tmp_path: Path, main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    suite = FakeSuite(tmp_path)
    (tmp_path / "given.pth").write_text("weights")
    files = [f"--checkpoint={name}={tmp_path / 'given.pth'}" for name in ("mae", "mine")]
    assert main(["run", *common(suite), *files, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "mae/pretrain" not in out and "mixedae/pretrain" in out
    assert "mae/cls/seed_0" in out and "mine/cls/seed_0" in out


def test_layout_is_checked_before_anything_runs(
    tmp_path: Path, main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_card("cls", version=1, data={"name": "toy", "paths": ["train"], "layout": {"kind": "imagenet"}})
    assert main(["run", *common(suite)]) == 1
    assert "error: DataError: " in capsys.readouterr().err
    assert not suite.folder.exists()


def test_validate_lists_every_problem(
    tmp_path: Path, main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    suite = FakeSuite(tmp_path)
    (tmp_path / "det.py").unlink()
    (tmp_path / "mae.py").write_text("a = 1 / 0")
    assert main(["validate", str(suite.path), "--data", f"toy={tmp_path / 'nowhere'}"]) == 1
    out = capsys.readouterr().out
    for part in ("task `det`: config", "pre-training `mae`: config", "ZeroDivisionError", "DataError"):
        assert part in out


def test_splits_with_fewer_pictures_than_their_card_says_are_told(
    tmp_path: Path, main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    suite = FakeSuite(tmp_path)
    for split, count in (("train", 10), ("val", 20)):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count // 2):
                (folder / f"{i}.png").touch()
    suite.write_card("cls", 1, data={"name": "toy", "paths": ["train", "val"], "layout": {"kind": "imagenet"}})
    arguments = ["validate", str(suite.path), "--data", f"toy={tmp_path / 'data'}"]
    assert main(arguments) == 0, capsys.readouterr().err
    (tmp_path / "data" / "train" / "cat" / "0.png").unlink()
    assert main(arguments) == 1
    assert "9 pictures in" in (out := "".join(capsys.readouterr())) and "the card says 10" in out


def test_what_a_suite_cannot_read_a_run_by_is_told(
    tmp_path: Path, main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A config without the harness's hooks, and a misspelt metric: both would show after the training only."""
    suite = FakeSuite(tmp_path)
    path = tmp_path / "cls.py"
    text = path.read_text()
    path.write_text(text + "custom_hooks = [dict(type='mixedae.RunRecordHook')]\n")
    assert main(["validate", *common(suite)]) == 1
    assert "lacks mixedae.EffectiveBatchHook" in "".join(capsys.readouterr())
    path.write_text(text + "val_evaluator = dict(type='Accuracy', topk=(1, 5))\n")
    assert main(["validate", *common(suite)]) == 0
    suite.write_card("cls", 1, metrics=[{"key": "acuracy/top1", "name": "top-1"}])
    assert main(["validate", *common(suite)]) == 1
    assert "`acuracy/top1` is not measured by its recipe; did you mean `accuracy/top1`" in "".join(capsys.readouterr())

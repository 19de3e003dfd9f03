"""Rows of a suite that change keys of their config: what is merged, what is refused, and the command by hand."""

import argparse
import io
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from mixedae.benchmark.commands import do_ls
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.recipe import Variant, read_config, recipe_of
from mixedae.benchmark.plan.suites import BENCHMARK, load_suite
from mixedae.benchmark.store.results import read_result
from mixedae.benchmark.store.settings import Request
from mixedae.benchmark.store.workspace import Workspace
from mixedae.benchmark.validate import check_recipes
from mixedae.command_line import argument_parser
from mixedae.command_line import read_config as read_as_train_does
from mixedae.errors import ConfigError
from mixedae.files import ROOT
from mixedae.options import merge_options
from tests.benchmark.fake_suite import FakeSuite

SUITES = sorted(path for path in (BENCHMARK / "suites").glob("*.yaml"))
MINI = "mm_configs/mini/pretrain/{}_vit-mini-p8_1xb64-coslr-15e_mini.py"
DATA = {"name": "mini", "paths": ["imagenet/pretrain"]}
read = cache(read_config)


def written(folder: Path, **rows: dict) -> Path:
    path = folder / "suites" / "own.yaml"
    path.parent.mkdir(parents=True)
    suite = {"title": "Own", "pretraining_data": DATA, "pretrainings": rows, "tasks": ["mini_cls"]}
    path.write_text(yaml.safe_dump(suite))
    return path


def problems(folder: Path, **options: object) -> list[str]:
    """What `bench.py validate` says of a suite with one row of these options."""
    row = {"config": MINI.format("mixedae"), "options": options}
    suite = load_suite(written(folder, a={"config": MINI.format("mae")}, b=row))
    workspace = Workspace(suite, Request(folder=folder / "work"))
    return [str(error) for error in check_recipes(workspace, workspace.cells)]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (
            "model.segment_embeding",
            r"model \(mixedae.MixedAE\) has the unknown key .*; did you mean `segment_embedding`",
        ),
        ("model.backbone.topk_rato", "did you mean `topk_ratio`?"),
        (
            "model.bakbone.topk_ratio",
            "has no `model.bakbone.topk_ratio`: `bakbone` is not there; did you mean `backbone`?",
        ),
        ("optim_wrapper.optimizer.weight_dekay", "`weight_dekay` is not there; did you mean `weight_decay`?"),
        ("train_dataloader.batch_sise", "did you mean `batch_size`?"),
        ("param_scheduler.7.end", "`7` is not there; found "),
    ],
)
def test_a_misspelt_key_is_refused_by_name(tmp_path: Path, key: str, expected: str) -> None:
    """A key may be added to this project's types only: of others nobody knows which keys they accept."""
    (problem,) = problems(tmp_path, **{key: 1})
    assert problem.startswith("pre-training `b`: ")
    with pytest.raises(ConfigError, match=expected):
        raise ConfigError(problem)


def test_a_key_that_the_class_accepts_may_be_added(tmp_path: Path) -> None:
    config = read(ROOT / MINI.format("mixedae"))
    assert "segment_embedding" not in config.model
    assert problems(tmp_path, **{"model.segment_embedding": "none", "base_lr": 1e-3}) == []


def test_options_need_a_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="options change a `config: PATH`, and the row has none"):
        load_suite(written(tmp_path, a={"random": True, "options": {"model.mask_ratio": 0.5}}))


def test_a_number_that_yaml_reads_as_text_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, base_lr="8e-3")
    assert "would be read as 0.008; write numbers as 8.0e-3" in problem


def test_a_checkpoint_in_place_of_a_row_has_no_options(tmp_path: Path) -> None:
    row = {"config": MINI.format("mae"), "options": {"model.mask_ratio": 0.5}}
    suite = load_suite(written(tmp_path, a=row)).with_checkpoints({"a": tmp_path / "file.pth"})
    assert suite.pretrainings["a"].options == {} and suite.pretrainings["a"].config is None


def test_options_change_the_pretraining_only(tmp_path: Path) -> None:
    row = {"config": MINI.format("mae"), "options": {"base_lr": 8.0e-3, "model.mask_ratio": 0.5}}
    suite = load_suite(written(tmp_path, a=row))
    own, transfer = (suite.variant_of(Cell("a", task, 0), None) for task in (None, "mini_cls"))
    assert own.options == (("base_lr", 8e-3), ("model.mask_ratio", 0.5)) and transfer.options == ()
    merged, added = own.merge(read(ROOT / own.config), ROOT / own.config)
    assert merged.optim_wrapper.optimizer.lr == 8e-3 * 64 / 256
    assert merged.model.mask_ratio == 0.5 and added == {"model.mask_ratio": "mixedae.MAE"}
    assert "mask_ratio" not in read(ROOT / own.config).model, "the config that is kept is not changed"


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_listed_command_trains_the_row(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed as tools/train.py parses it, merged as it merges: the same recipe."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LOCAL_RANK", "0")
    suite, out = load_suite(path), io.StringIO()
    do_ls(argparse.Namespace(suite=str(path)), Console(width=40, file=out))
    lines = iter(out.getvalue().splitlines())
    listed = {line.partition(":")[0]: next(lines).strip() for line in lines}
    assert listed.keys() == suite.pretrainings.keys()
    folders = set()
    for name, pretraining in suite.pretrainings.items():
        if pretraining.config is None:
            assert listed[name] == (pretraining.checkpoint or "random initialisation")
            continue
        python, script, *words = shlex.split(listed[name])
        assert (python, script) == ("python", "tools/train.py")
        args = argument_parser(None).parse_args(words)
        cfg = read_as_train_does(args)
        merge_options(cfg, args.cfg_options or {}, args.config)
        variant = suite.variant_of(Cell(name, None, 0), None)
        config = ROOT / variant.config
        assert recipe_of(cfg, config).hash == recipe_of(read(config), config, variant).hash, name
        folders.add(args.work_dir)
    assert len(folders) == sum(p.config is not None for p in suite.pretrainings.values()), "runs share a folder"


def test_a_config_is_not_read_for_options_that_are_absent() -> None:
    assert Variant("leaf.py").command(Path("leaf.py"), "out") == ("tools/train.py", "leaf.py", "--work-dir", "out")


def test_a_cell_that_a_file_made_is_done_for_the_row_that_says_the_same(tmp_path: Path) -> None:
    """Its key holds what the recipe is, not where that stands; the command hands the options to the trainer."""
    suite = FakeSuite(tmp_path)
    leaf = tmp_path / "mae_fast.py"
    leaf.write_text((tmp_path / "mae.py").read_text().replace("lr=0.01", "lr=0.5"))

    def row(**source: object) -> None:
        suite.write_suite(pretrainings={"mae": source, "random": {"random": True}}, tasks=["cls"])

    row(config=str(leaf))
    assert suite.run()[0] == 0
    leaf.unlink()
    options = {"optim_wrapper.optimizer.lr": 0.5}
    row(config=str(tmp_path / "mae.py"), options=options)
    assert {state.kind for state in suite.survey().states().values()} == {"done"}

    row(config=str(tmp_path / "mae.py"), options={"optim_wrapper.optimizer.lr": 0.25})
    cell = Cell("mae", None, 0)
    assert suite.state(cell).kind == "stale"
    assert suite.run()[0] == 0
    result = read_result(suite.workspace().dir(cell))
    assert result is not None and result.options == {"optim_wrapper.optimizer.lr": 0.25}
    assert "optim_wrapper.optimizer.lr=0.25" in result.command

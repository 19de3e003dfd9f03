"""What a config holds, and which file of its chain, overlay or option set each key."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from mixedae.files import ROOT
from mixedae.origins import as_text, flat, origins_of_run, read_origins

CONFIGS = ROOT / "mm_configs"


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """A leaf over a middle file over two bases."""
    files = {
        "model.py": "width = 8\nmodel = dict(type='A', depth=2, width=width, head=dict(type='H', a=1, b=2))\n",
        "run.py": "steps = [dict(type='S', end=5), dict(type='T')]\nsizes = (1, 2)\nworkers = dict(n=1, m=[])\n",
        "middle.py": "_base_ = ['model.py', 'run.py']\nmodel = dict(depth=3)\nworkers = dict(n=1)\n",
        "leaf.py": (
            "_base_ = 'middle.py'\n"
            "model = dict(depth=4, head=dict(_delete_=True, type='H', c=3))\n"
            "steps = _base_.steps\n"
            "steps[1].update(end=7)\n"
            "extra = dict(model=dict(depth=5), train_cfg=dict(max_epochs=1))\n"
        ),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "leaf.py"


def source(origins, key: str) -> str:
    return Path(origins.sources[key]).name


def test_values_are_those_of_the_resolved_config(chain: Path) -> None:
    config, origins = read_origins(chain)
    assert config.to_dict() == Config.fromfile(chain).to_dict()
    assert origins.values == flat(config.to_dict())
    assert origins.sources.keys() == origins.values.keys()


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("model.width", "model.py"),  # through two levels
        ("model.type", "model.py"),
        ("model.depth", "leaf.py"),  # changed twice
        ("model.head.c", "leaf.py"),
        ("model.head.type", "leaf.py"),  # deleted and set again, to the same value
        ("workers.n", "middle.py"),  # set again, to the same value
        ("workers.m", "run.py"),
        ("sizes", "run.py"),
        ("steps.0.end", "leaf.py"),  # the leaf takes the list and writes it down again
        ("steps.1.end", "leaf.py"),
    ],
)
def test_the_file_that_set_a_key(chain: Path, key: str, file: str) -> None:
    assert source(read_origins(chain)[1], key) == file


def test_what_is_deleted_is_not_shown(chain: Path) -> None:
    origins = read_origins(chain)[1]
    assert {key for key in origins.values if key.startswith("model.head")} == {"model.head.type", "model.head.c"}


def test_overlays_options_and_the_command(chain: Path) -> None:
    final = Config.fromfile(chain)
    final.merge_from_dict({"model": dict(depth=5), "train_cfg": dict(max_epochs=1)})
    final.merge_from_dict({"model.width": 8, "model.head.c": 4})
    final.work_dir = "out"
    origins = origins_of_run(str(chain), ["extra"], {"model.width": 8, "model.head.c": 4}, final, "train.py")
    assert origins.values == flat(final.to_dict())
    expected = {"model.depth": "overlay extra", "train_cfg.max_epochs": "overlay extra", "work_dir": "train.py"}
    expected |= {"model.width": "--cfg-options", "model.head.c": "--cfg-options"}
    assert {key: origins.sources[key] for key in expected} == expected
    assert source(origins, "model.head.type") == "leaf.py"


def test_the_base_learning_rate_and_what_follows_from_it() -> None:
    path = CONFIGS / "mini/pretrain/mae_vit-mini-p8_1xb64-coslr-15e_mini.py"
    final = Config.fromfile(path)
    options = {"base_lr": 8e-3}
    final.merge_from_dict({**options, "optim_wrapper.optimizer.lr": 8e-3 * 64 / 256})
    origins = origins_of_run(str(path), [], options, final, "train.py")
    changed = {key for key, source in origins.sources.items() if source == "--cfg-options"}
    assert changed == {"base_lr", "optim_wrapper.optimizer.lr"} and "train.py" not in origins.sources.values()


def test_configs_of_the_new_style(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "from mmengine.hooks import IterTimerHook\nmodel = dict(depth=2, width=3)\nhook = dict(type=IterTimerHook)\n"
    )
    (tmp_path / "leaf.py").write_text(
        "from mmengine.config import read_base\n"
        "with read_base():\n    from .base import *\n"
        "model.update(dict(depth=4))\n"
    )
    config, origins = read_origins(tmp_path / "leaf.py")
    assert (config.model.depth, config.model.width) == (4, 3)
    assert source(origins, "model.depth") == "leaf.py"
    assert source(origins, "model.width") == source(origins, "hook.type") == "base.py"


@pytest.mark.parametrize(
    ("package", "path", "key", "file"),
    [
        (
            "mmpretrain",
            "mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py",
            "model.backbone.type",
            "mae_vit-base-p16.py",
        ),
        ("mmseg", "mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py", "model.decode_head.type", "upernet_mae.py"),
    ],
)
def test_another_library_s_config(package: str, path: str, key: str, file: str) -> None:
    folders = find_spec(package).submodule_search_locations
    full = Path(folders[0]) / ".mim" / "configs" / path
    config, origins = read_origins(full)
    assert config.to_dict() == Config.fromfile(full).to_dict()
    assert source(origins, key) == file and origins.sources[key].startswith(f"{package}/.mim/configs/_base_")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/*.py")), ids=lambda path: path.stem)
def test_every_recipe_of_ours(path: Path) -> None:
    config, origins = read_origins(path)
    assert origins.values == flat(config.to_dict())
    assert all((ROOT / file).is_file() or "/.mim/configs/" in file for file in origins.sources.values())


def test_mmengine_is_left_as_it_was(chain: Path) -> None:
    before = (Config._file2dict, Config._parse_lazy_import, Config._merge_a_into_b)
    (chain.parent / "run.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        read_origins(chain)
    assert (Config._file2dict, Config._parse_lazy_import, Config._merge_a_into_b) == before


def test_the_text(chain: Path) -> None:
    text = as_text(read_origins(chain)[1])
    read, variables = text.split("\n\n")
    (line,) = [line for line in read.splitlines() if line.startswith("model.depth")]
    assert line.split("  # ")[0].strip() == "model.depth = 4" and line.endswith("leaf.py")
    assert variables.splitlines()[0].startswith("Variables of the config files") and "\nwidth = 8" in variables


def test_the_command_shows_and_trains_nothing(tmp_path: Path) -> None:
    config = CONFIGS / "mini/pretrain/mae_vit-mini-p8_1xb64-coslr-20e_mini.py"
    words = [
        "tools/train.py",
        str(config),
        "--show",
        "--work-dir",
        str(tmp_path / "run"),
        "--cfg-options",
        "base_lr=0.008",
    ]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = dict(line.split("  # ") for line in done.stdout.splitlines() if "  # " in line)
    shown = {key.strip(): source for key, source in shown.items()}
    assert shown["optim_wrapper.optimizer.lr = 0.002"] == shown["base_lr = 0.008"] == "--cfg-options"
    assert shown["train_cfg.max_epochs = 20"] == str(config.relative_to(ROOT))
    assert shown["launcher = 'none'"] == "tools/train.py"
    assert not (tmp_path / "run").exists()

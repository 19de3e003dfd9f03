"""``--data``: own pictures to pre-train on, and where a config's data lies."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixedae.datasets.pictures import Pictures, list_pictures
from mixedae.errors import ConfigError, DataError
from mixedae.files import ROOT
from mixedae.own_data import names_in, with_data
from tests.forked import run_forked

PRETRAINING = sorted(
    str(path.relative_to(ROOT))
    for folder in ("pretrain", "mini/pretrain")
    for path in (ROOT / "mm_configs" / folder).glob("*.py")
    if not path.name.startswith("deit")  # supervised: it needs labels
)
MINI = "mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-3e_tiny-imagenet.py"
FULL = "mm_configs/pretrain/mae_vit-small-p16_8xb512-amp-coslr-300e_in1k.py"
CLASSIFICATION = "mm_configs/mini/classification/mixedae-vit-mini-p8_1xb32-coslr-60e_mini.py"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MIXEDAE_DATA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """24 pictures of many formats and modes at several depths, beside files that are none."""
    folder, rng = tmp_path / "own", np.random.default_rng(0)
    suffixes = [".png", ".jpg", ".JPEG", ".webp", ".bmp", ".tiff", ".gif", ".jfif"]
    for i in range(24):
        place = folder / ["", "a", "a/b", "c d"][i % 4]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (70 + i, 90 - i, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).convert(["RGB", "L"][i % 2])
        image.save(place / f"{i}{suffixes[i % 8]}", format="JPEG" if suffixes[i % 8] == ".jfif" else None)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.mark.parametrize("config", PRETRAINING)
def test_every_pretraining_recipe_reads_a_folder(config: str, odd: Path) -> None:
    cfg = with_data(str(ROOT / config), [str(odd)])
    dataset = cfg.train_dataloader.dataset
    assert dataset.type in ("mixedae.Pictures", "mixedae.PicturesInMemory") and dataset.data_root == str(odd)


def test_pictures_at_any_depth_and_lists(odd: Path) -> None:
    found = list_pictures(odd)
    assert len(found) == 24 and len(Pictures(str(odd))) == 24
    (odd / "list.txt").write_text("\n".join(str(path.relative_to(odd)) for path in found[:5]) + "\n\n")
    assert [info["img_path"] for info in Pictures(str(odd), ann_file="list.txt")] == [str(path) for path in found[:5]]
    (odd / "list.txt").write_text("gone.png\n")
    with pytest.raises(DataError, match=r"list\.txt, line 1: \S+gone\.png does not exist"):
        list_pictures(odd, str(odd / "list.txt"))
    with pytest.raises(DataError, match=r"no picture in .*looked for \.jpg"):
        list_pictures(odd / "nowhere")


@pytest.mark.train
def test_the_mini_recipe_trains_on_it(odd: Path, tmp_path: Path) -> None:
    options = ["train_dataloader.batch_size=8", "train_cfg.max_epochs=2"]
    done = run_forked("tools/train.py", MINI, "--data", odd, "--work-dir", tmp_path / "run", "--cfg-options", *options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "epoch_2.pth").is_file()


@pytest.mark.train
def test_the_full_size_recipe_says_what_it_would_do(odd: Path, tmp_path: Path) -> None:
    options = ["optim_wrapper.type=OptimWrapper", "train_dataloader.batch_size=8", "train_dataloader.num_workers=0"]
    options += ["train_dataloader.persistent_workers=False"]
    done = run_forked(
        "tools/train.py", FULL, "--data", odd, "--dry-run", "--work-dir", tmp_path / "run", "--cfg-options", *options
    )
    assert done.returncode == 0, done.stderr
    assert "pictures:        train 24" in done.stdout


def test_imagenets_layout_leaves_validation_out(odd: Path, capsys: pytest.CaptureFixture) -> None:
    (odd / "train").mkdir()
    cfg = with_data(MINI, [str(odd)])
    assert cfg.train_dataloader.dataset.data_root == str(odd / "train")
    assert "is read, and not what lies beside it" in capsys.readouterr().out


def test_names(tmp_path: Path) -> None:
    for words in ([str(tmp_path)], [f"mini={tmp_path}"], [f"MINI={tmp_path}"]):
        cfg = with_data(CLASSIFICATION, words)
        assert names_in(cfg) == ["mini"] and str(cfg.train_dataloader.dataset.data_root).startswith(str(tmp_path))
    with pytest.raises(ConfigError, match="reads no data of that name; did you mean `mini`"):
        with_data(CLASSIFICATION, [f"minni={tmp_path}"])
    with pytest.raises(DataError, match="nowhere does not exist"):
        with_data(CLASSIFICATION, ["mini=nowhere"])

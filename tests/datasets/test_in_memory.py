"""Pictures in memory: what is loaded, how a batch gets out and to the model, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

import mixedae.datasets.in_memory as in_memory
from mixedae.datasets.transforms import LoadRandomResizedCrop
from mixedae.errors import ConfigError, DataError
from mixedae.registry import DATASETS, MODELS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures of noise in two classes, 20 x 16 pixels, without loss; one of them grey."""
    generator = np.random.default_rng(0)
    for i in range(10):
        pixels = generator.integers(0, 256, (16, 20, 3) if i else (16, 20), dtype=np.uint8)
        (tmp_path / f"train/{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"train/{i % 2}/{i}.png")
    return tmp_path


def build(folder: Path, **kwargs):
    init_default_scope("mmpretrain")
    return DATASETS.build(
        {"type": "mixedae.PicturesInMemory", "data_root": str(folder), "data_prefix": "train", "place": "cpu", **kwargs}
    )


def loader(dataset, num_workers=0):
    return Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=num_workers,
            drop_last=True,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
            dataset=dataset,
        ),
        seed=0,
    )


def test_every_picture_arrives_blue_first_and_whole(folder):
    dataset = build(folder)
    assert len(dataset) == 10 and dataset.pictures.shape == (10, 3, 16, 20) and dataset.pictures.dtype == torch.uint8
    for i in range(10):
        expected = np.asarray(Image.open(dataset.get_data_info(i)["img_path"]).convert("RGB"))[..., ::-1]
        assert np.array_equal(dataset[i]["inputs"].permute(1, 2, 0).numpy(), expected)


def test_an_epoch_shows_each_picture_once_in_whole_batches(folder):
    dataset = build(folder, indices=8)
    batches = [batch["inputs"] for batch in loader(dataset)]
    assert [batch.shape for batch in batches] == [(4, 3, 16, 20)] * 2
    shown = {tuple(picture.flatten().tolist()) for batch in batches for picture in batch}
    assert shown == {tuple(picture.flatten().tolist()) for picture in dataset.pictures}


def preprocessor(**kwargs):
    normalise = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
    return MODELS.build({"type": "mixedae.CropPreprocessor", "size": 12, **normalise, **kwargs})


def test_what_the_model_sees_is_what_the_pipeline_of_files_gives(folder):
    """One box and no choice (area 1 of a square): decoded, resized, normalised; equal but for a grey level."""
    for path in (folder / "train").rglob("*.png"):
        Image.open(path).resize((16, 16)).point(lambda value: 96 + value // 4).save(path)  # see test_crops.py
    dataset = build(folder)
    whole = dict(crop_ratio_range=(1.0, 1.0), aspect_ratio_range=(1.0, 1.0), flip_prob=0.0)
    init_default_scope("mmpretrain")
    usual = MODELS.build(
        dict(type="SelfSupDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
    )
    fast = preprocessor(**whole)(dict(inputs=dataset.pictures), training=True)["inputs"]
    pipeline = LoadRandomResizedCrop(12, **whole)
    files = [pipeline(dict(img_path=dataset.get_data_info(i)["img_path"]))["img"] for i in range(10)]
    slow = usual(dict(inputs=torch.stack(files), data_samples=None), training=True)["inputs"]
    assert fast.shape == slow.shape == (10, 3, 12, 12)
    assert (fast - slow).abs().max() <= 1.01 / 57


def test_half_are_flipped_in_training_and_nothing_is_drawn_otherwise():
    ramp = torch.arange(0, 240, 15, dtype=torch.uint8).expand(400, 3, 16, 16)
    module = preprocessor()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    still = module(dict(inputs=ramp), training=False)["inputs"]
    assert torch.equal(torch.get_rng_state(), state) and (still == still[:1]).all()
    assert (still[0, 0, 0, 0] < still[0, 0, 0, -1]).all()
    trained = module(dict(inputs=ramp), training=True)["inputs"]
    flipped = (trained[:, 0, 0, 0] > trained[:, 0, 0, -1]).sum()
    assert 160 < flipped < 240


def test_workers_read_their_parents_memory_but_no_gpus(folder):
    dataset = build(folder)
    got = torch.cat([batch["inputs"] for batch in loader(dataset, num_workers=1)])
    assert torch.equal(got, torch.cat([batch["inputs"] for batch in loader(dataset)]))
    dataset.device = torch.device("cuda")
    with pytest.raises(ConfigError, match="num_workers > 0"):
        next(iter(loader(dataset, num_workers=1)))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"place": "disk"}, "place='disk'"),
        ({"pipeline": [dict(type="PackInputs")]}, "CropPreprocessor"),
    ],
    ids=["place", "pipeline"],
)
def test_wrong_switches_are_named(folder, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        build(folder, **kwargs)


def test_what_does_not_fit_is_refused_with_its_size(folder, monkeypatch):
    monkeypatch.setattr(in_memory, "free_memory", lambda device: 10 * 3 * 16 * 20)
    with pytest.raises(DataError, match=r"10 pictures of 20 x 16 pixels take .* GB .*free"):
        build(folder)
    monkeypatch.setattr(in_memory, "free_memory", lambda device: 2 * 10 * 3 * 16 * 20)
    assert len(build(folder)) == 10


def test_another_size_and_a_damaged_file_are_named(folder):
    other = folder / "train/1/9.png"
    Image.new("RGB", (20, 17)).save(other)
    with pytest.raises(DataError, match=r"9\.png has 20 x 17 pixels, .* has 20 x 16"):
        build(folder)
    other.write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(DataError, match=r"9\.png cannot be decoded"):
        build(folder)


def test_free_memory_is_a_plausible_number():
    assert 2**26 < in_memory.free_memory(torch.device("cpu")) < 2**46


def test_ranges_that_make_no_box_are_named():
    with pytest.raises(ConfigError, match="crop_ratio_range"):
        preprocessor(crop_ratio_range=(0.0, 1.0))

"""The mini benchmark: the same pixels everywhere, exact masks, and files that the libraries read."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mixedae.datasets.mini import scenes as mini_scenes
from mixedae.datasets.mini import write as mini
from mixedae.datasets.mini.scenes import BACKGROUND, MIN_VISIBLE_PIXELS, UNLABELLED, picture, scene
from mixedae.datasets.mini.shapes import DIRECTIONS, OUTLINES, TEXTURES, Draw, random_thing, render
from mixedae.datasets.mini.write import CLASSES, COUNTS, run_lengths, write_mini
from mixedae.errors import ConfigError, DataError

# SHA-256 over the pixels of scale "test", seed 0: they change with the generator's VERSION only.
GOLDEN = {
    "imagenet/pretrain": "4efba848b00086131cb426e177546b166f109dda2aa6e8370ba974618dff9ed1",
    "imagenet/train": "b50df4c2df44565872a1e311a8613a9303b9df9997f80403db772a17d43dc127",
    "imagenet/val": "e6687b5cb47e5df9c988058de24703c940452ef0cc7ddeade0801dcbd3895e85",
    "ade20k/training": "c0766f7efc28a59f13973336404447f31995e4c9770f4b826dc9aef78ac37572",
    "ade20k/validation": "eef71635d976dd79ff78315dd730ab80828903b56b71d5d78c869df8da4652aa",
    "coco/train2017": "822704bd56f72d94090c8c510a8411b593b3a55bf88ae8ad898652deb56f70eb",
    "coco/val2017": "c5464b50e695aa837128623eda69deed0f23843a3ee52e0b744674b249a3f281",
}


def test_pixels_are_the_same_on_every_machine(mini_data):
    assert json.loads((mini_data / "manifest.json").read_text())["sha256"] == GOLDEN


def test_another_seed_gives_other_pixels(tmp_path, monkeypatch):
    monkeypatch.setitem(COUNTS, "test", dict.fromkeys(mini.SPLITS, 10))
    hashes = [write_mini(tmp_path / str(seed), seed=seed, scale="test")["sha256"] for seed in (0, 1)]
    assert all(hashes[0][split] != hashes[1][split] for split in mini.SPLITS)
    assert len(set(hashes[0].values())) == len(mini.SPLITS), "two splits hold the same pictures"


def test_pixels_do_not_depend_on_workers_or_chunks(tmp_path, monkeypatch):
    monkeypatch.setitem(COUNTS, "test", dict.fromkeys(mini.SPLITS, 10))
    alone = write_mini(tmp_path / "alone", seed=3, scale="test", workers=1)
    monkeypatch.setattr(mini, "CHUNK", 3)
    assert write_mini(tmp_path / "chunks", seed=3, scale="test", workers=1) == alone
    assert write_mini(tmp_path / "both", seed=3, scale="test", workers=2) == alone
    files = sorted(p.relative_to(tmp_path / "alone") for p in (tmp_path / "alone").rglob("*") if p.is_file())
    for file in files:
        assert (tmp_path / "alone" / file).read_bytes() == (tmp_path / "both" / file).read_bytes(), file


def test_a_picture_depends_on_its_own_key_only(mini_data):
    alone = picture(Draw(0, mini.SPLITS.index("imagenet/val"), 7), 7)
    assert np.array_equal(alone, np.asarray(Image.open(mini_data / "imagenet" / "val" / CLASSES[7] / "00007.png")))


def test_manifest_hash_is_that_of_the_files(mini_data):
    digest = hashlib.sha256()
    for index in range(COUNTS["test"]["imagenet/val"]):
        pixels = np.asarray(Image.open(mini_data / "imagenet" / "val" / CLASSES[index % 10] / f"{index:05d}.png"))
        digest.update(hashlib.sha256(pixels.tobytes()).digest())
    assert digest.hexdigest() == GOLDEN["imagenet/val"]


@pytest.mark.parametrize("seed", [0, 2**31, 2**40])
def test_draw_is_uniform_and_within_bounds(seed):
    values = Draw(seed, 0, 0).array(-3, 5, 20000)
    assert values.dtype == np.int64 and values.min() == -3 and values.max() == 4
    assert np.bincount(values + 3).min() > 20000 / 8 * 0.9
    assert not np.array_equal(Draw(seed, 0, 1).array(0, 100, 50), Draw(seed, 1, 0).array(0, 100, 50))


def test_directions_are_sines_and_cosines():
    angles = 2 * np.pi * np.arange(256) / 256
    assert np.abs(np.array(DIRECTIONS) / 2**14 - np.stack([np.cos(angles), np.sin(angles)], axis=1)).max() < 1e-4


def test_rendering_uses_integers_only():
    for outline in OUTLINES:
        for texture in TEXTURES:
            mask, colours = render(random_thing(Draw(1, 2, 3), outline, texture, 9000, 7000, 5000), 64)
            assert mask.dtype == bool and colours.dtype == np.int64
            assert 100 < mask.sum() == len(colours)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(OUTLINES)), st.integers(0, 128 * 256), st.integers(0, 128 * 256))
def test_window_cuts_nothing_off(key, outline, x, y):
    thing = random_thing(Draw(key, 0, 0), outline, "plain", x, y, 20 * 256)
    shifted = type(thing)(**{**thing.__dict__, "x": x + 64 * 256, "y": y + 64 * 256})
    assert np.array_equal(render(shifted, 256)[0][64:192, 64:192], render(thing, 128)[0])
    assert (
        render(shifted, 256)[0].sum() == render(type(thing)(**{**shifted.__dict__, "x": x + 128 * 256}), 384)[0].sum()
    )


def test_a_class_is_an_outline_and_a_texture():
    outlines, textures = zip(*mini_scenes.PARTS, strict=True)
    assert len(set(CLASSES)) == len(set(mini_scenes.PARTS)) == 10
    assert all(outlines.count(name) == 2 for name in set(outlines))
    assert all(textures.count(name) == 2 for name in set(textures))


def test_colours_say_nothing_about_the_class():
    means = np.array([[picture(Draw(5, 0, 10 * n + k), k).mean(axis=(0, 1)) for n in range(12)] for k in range(10)])
    between, within = means.mean(axis=1).std(axis=0), means.std(axis=1).mean(axis=0)
    assert (between < within).all(), "the classes' mean colours differ by more than those of one class"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 9))
def test_scene_masks_and_semantic_mask_tell_the_same_story(key, label):
    one = scene(Draw(key, 1, 2), label)
    assert label in one.labels and 2 <= len(one.labels) <= 6
    assert one.masks.sum(axis=0).max() <= 1, "visible masks overlap"
    rebuilt = np.zeros_like(one.semantic)
    for k, mask in zip(one.labels, one.masks, strict=True):
        assert mask.sum() >= MIN_VISIBLE_PIXELS
        rebuilt[mask] = k + 2
    rest = ~one.masks.any(axis=0)
    assert set(np.unique(one.semantic[rest])) <= {UNLABELLED, BACKGROUND}
    assert np.array_equal(rebuilt[~rest], one.semantic[~rest])


def test_scenes_overlap_hold_distractors_and_vary_in_scale():
    scenes = [scene(Draw(11, 0, index), index % 10) for index in range(40)]
    assert {len(one.labels) for one in scenes} == {2, 3, 4, 5, 6}
    areas = np.concatenate([one.masks.sum(axis=(1, 2)) for one in scenes])
    assert areas.min() < 200 and areas.max() > 1500
    assert np.mean([(one.semantic == UNLABELLED).any() for one in scenes]) > 0.9
    shares = np.mean([(one.semantic == BACKGROUND).mean() for one in scenes])
    assert 0.4 < shares < 0.9


def test_what_is_painted_is_what_the_masks_say(monkeypatch):
    """Each thing is painted in one colour of its own: then the picture shows exactly the masks."""
    number = iter(range(1, 10**6))

    def flat(thing, size):
        mask, colours = render(thing, size)
        return mask, np.full_like(colours, next(number))

    monkeypatch.setattr(mini_scenes, "render", flat)
    monkeypatch.setattr(mini_scenes, "background", lambda draw, size: np.zeros((size, size, 3), dtype=np.int64))
    monkeypatch.setattr(mini_scenes, "develop", lambda draw, canvas: canvas)
    for index in range(20):
        one = scene(Draw(2, 0, index), 0)
        assert np.array_equal(one.pixels[..., 0] == 0, one.semantic == BACKGROUND)
        for mask in one.masks:
            (value,) = np.unique(one.pixels[mask])
            assert np.array_equal(one.pixels[..., 0] == value, mask)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_run_lengths_decode_to_the_mask(height, width, data):
    from pycocotools import mask as coco_mask

    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = np.array(bits).reshape(height, width)
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": run_lengths(mask)}, height, width)
    assert np.array_equal(coco_mask.decode(rle).astype(bool), mask)


def test_every_class_is_in_every_split_and_labelled_splits_are_balanced(mini_data):
    for split in ("pretrain", "train", "val"):
        found = {p.name: len(list(p.glob("*.png"))) for p in (mini_data / "imagenet" / split).iterdir()}
        assert set(found) == set(CLASSES) and len(set(found.values())) == 1
        assert sum(found.values()) == COUNTS["test"][f"imagenet/{split}"]
    for split in ("training", "validation"):
        masks = [np.asarray(Image.open(p)) for p in (mini_data / "ade20k" / "annotations" / split).glob("*.png")]
        assert all(m.dtype == np.uint8 and m.shape == (128, 128) for m in masks)
        assert set(np.unique(masks)) == set(range(12))
    for split in ("train2017", "val2017"):
        data = json.loads((mini_data / "coco" / "annotations" / f"instances_{split}.json").read_text())
        assert {a["category_id"] for a in data["annotations"]} == set(range(1, 11))
        assert [c["name"] for c in data["categories"]] == list(CLASSES)


def test_full_counts_are_those_of_the_contract():
    full = COUNTS["full"]
    assert (full["imagenet/pretrain"], full["imagenet/train"], full["imagenet/val"]) == (8000, 300, 500)
    assert [full[s] for s in mini.SPLITS[3:]] == [160, 100, 160, 100]


def test_a_complete_benchmark_is_left_alone(mini_data, tmp_path):
    root = tmp_path / "mini"
    shutil.copytree(mini_data, root)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    assert write_mini(root, seed=0, scale="test")["sha256"] == GOLDEN
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


@pytest.mark.parametrize("damage", ["other seed", "picture gone", "no manifest", "broken manifest", "a file"])
def test_anything_else_in_its_place_is_refused_and_kept(mini_data, tmp_path, damage):
    root, seed = tmp_path / "mini", 0
    shutil.copytree(mini_data, root)
    if damage == "other seed":
        seed = 1
    elif damage == "picture gone":
        (root / "coco" / "val2017" / "000000000001.png").unlink()
    elif damage == "no manifest":
        (root / "manifest.json").unlink()
    elif damage == "broken manifest":
        (root / "manifest.json").write_text("[]")
    else:
        shutil.rmtree(root)
        root.write_text("mine")
    with pytest.raises(DataError, match="remove"):
        write_mini(root, seed=seed, scale="test")
    assert root.exists() and [p.name for p in tmp_path.iterdir()] == ["mini"]


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch):
    def stop(job):
        raise KeyboardInterrupt

    monkeypatch.setattr(mini, "_write_chunk", stop)
    with pytest.raises(KeyboardInterrupt):
        write_mini(tmp_path / "data" / "mini", scale="test")
    assert list((tmp_path / "data").iterdir()) == []


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="`big` is unknown; expected one of full, test"):
        write_mini(tmp_path / "mini", scale="big")
    with pytest.raises(ConfigError, match="negative"):
        write_mini(tmp_path / "mini", seed=-1)

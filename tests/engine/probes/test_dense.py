"""Dense probes: what they compute against loops, and a whole run against an independent computation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image
from scipy.optimize import minimize

from mixedae.benchmark.store.outcomes import describe_outcomes
from mixedae.engine.probes.dense import DenseKNNLoop
from mixedae.engine.probes.memory import available_memory, check_memory
from mixedae.engine.probes.patch_fits import held_out, mean_iou, nearest_pixels, standardisation
from mixedae.engine.probes.patches import IGNORED
from mixedae.errors import ConfigError, DataError
from tests.configs.recipe import CONFIGS


@settings(max_examples=25, deadline=None)
@given(k=st.integers(1, 9), cosine=st.booleans(), seed=st.integers(0, 99))
def test_neighbours_vote_for_each_pixel(k: int, cosine: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    bank, queries = torch.randn(17, 4, generator=generator), torch.randn(5, 4, generator=generator)
    pixels = torch.randint(0, 3, (17, 6), generator=generator, dtype=torch.uint8)
    offered = torch.nn.functional.normalize(bank, dim=1) if cosine else bank
    found = nearest_pixels(offered, pixels, queries, k, cosine)
    for i, query in enumerate(queries.double().numpy()):
        known = bank.double().numpy()
        if cosine:
            far = [1 - query @ row / np.linalg.norm(query) / np.linalg.norm(row) for row in known]
        else:
            far = [np.linalg.norm(query - row) for row in known]
        near = np.argsort(far)[:k]
        for place in range(6):
            counts = np.bincount(pixels[near, place].numpy(), minlength=3)
            assert found[i, place] == counts.argmax()


@settings(max_examples=25, deadline=None)
@given(classes=st.integers(2, 6), seed=st.integers(0, 99))
def test_mean_iou_is_the_mean_over_classes_that_either_has(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = (rng.integers(0, classes - 1 + (seed % 2), 40) for _ in range(2))
    truth[rng.random(40) < 0.2] = IGNORED
    values = []
    for c in range(classes):
        kept = truth != IGNORED
        ours, theirs = predicted[kept] == c, truth[kept] == c
        if (ours | theirs).any():
            values.append(100 * (ours & theirs).sum() / (ours | theirs).sum())
    assert mean_iou(torch.from_numpy(predicted), torch.from_numpy(truth), classes) == pytest.approx(np.mean(values))


def test_features_are_standardised_as_scikit_learn_does() -> None:
    features = torch.randn(50, 3) * torch.tensor([1.0, 5.0, 0.0]) + 2
    mean, scale = standardisation(features)
    assert scale[2] == 1
    torch.testing.assert_close(mean, features.mean(0))
    torch.testing.assert_close(scale[:2], torch.from_numpy(features[:, :2].numpy().std(0)))


def test_a_tenth_of_the_pictures_is_held_out() -> None:
    pictures = torch.arange(40).repeat_interleave(3)
    train, val = held_out(pictures, seed=0)
    assert len(pictures[val].unique()) == 4 and len(val) == 12
    assert not set(pictures[train].tolist()) & set(pictures[val].tolist())
    assert [len(side) for side in held_out(torch.tensor([5, 5, 9]), 0)] in ([2, 1], [1, 2])
    with pytest.raises(DataError, match="two at least"):
        held_out(torch.tensor([3, 3]), 0)


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    check_memory(1000, 768, 4, None)
    check_memory(1000, 768, 4, 20_000_000)
    with pytest.raises(ConfigError, match=r"patches=4,000,000 .* 49.2 GB, and 8.0 GB are free; 651,041 patches"):
        check_memory(4_000_000, 768, 4, 8_000_000_000)
    available = available_memory()
    assert available is None or available > 10_000_000


@pytest.fixture
def leaf(mini_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The clothes leaf on the mini benchmark's scenes."""
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)
    mini = Config.fromfile(CONFIGS / "mini/segmentation/mixedae-vit-mini_upernet_1xb4-20e_mini-128x128.py")

    def load(*overlays: str, **changes) -> Config:
        cfg = Config.fromfile(CONFIGS / "mini/segmentation/dense_clothes-128x128.py")
        for overlay in overlays:
            cfg.merge_from_dict(cfg[overlay].to_dict())
        for split in ("train", "val"):
            own = dict(data_root=str(mini_data / "ade20k"), metainfo=dict(classes=mini.classes), img_suffix=".png")
            cfg.merge_from_dict({f"{split}_dataloader": dict(batch_size=2, dataset=own)})
        cfg.merge_from_dict(
            {
                "model.backbone.init_cfg.checkpoint": "random",
                "work_dir": str(tmp_path / "run"),
                "train_cfg.patches": 300,
                **changes,
            }
        )
        cfg.experiment_name = "_".join(("dense", *overlays, tmp_path.name))
        return cfg

    return load


def scenes(folder: Path, part: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures and masks, 255 where there is no label."""
    found = []
    for path in sorted((folder / "ade20k/images" / part).iterdir()):
        mask = np.asarray(Image.open(folder / "ade20k/annotations" / part / path.name)).astype(int) - 1
        found.append((np.asarray(Image.open(path).convert("RGB")), np.where(mask < 0, 255, mask)))
    return found


@torch.no_grad()
def by_hand(model, pictures: list) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 256, D) and pixels (N, 256, 64) of pictures of 128 x 128, with NumPy's own patches."""
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    features, pixels = [], []
    for picture, mask in pictures:
        x = torch.from_numpy((picture - mean) / std).float().permute(2, 0, 1)[None]
        features.append(model.backbone.eval()(x)[-1][0].flatten(1).T.numpy())
        pixels.append(mask.reshape(16, 8, 16, 8).transpose(0, 2, 1, 3).reshape(256, 64))
    return np.stack(features).astype(np.float64), np.stack(pixels)


def majority(pixels: np.ndarray) -> np.ndarray:
    return np.array([np.bincount(row, minlength=256).argmax() for row in pixels.reshape(-1, 64)])


def miou_of(predicted: np.ndarray, truth: np.ndarray, classes: int = 11) -> float:
    kept = truth != 255
    ours, theirs = predicted[kept], truth[kept]
    values = []
    for c in range(classes):
        union = ((ours == c) | (theirs == c)).sum()
        if union:
            values.append(100 * ((ours == c) & (theirs == c)).sum() / union)
    return float(np.mean(values))


@pytest.mark.train
def test_a_run_equals_an_independent_computation(leaf, mini_data: Path, tmp_path: Path) -> None:
    """All patches, one strength; scipy's BFGS without our scaling, NumPy's distances. To 0.1 mIoU, as a value that a
    reader would compute from the same features."""
    everything = {"train_cfg.patches": 100_000}
    runner = Runner.from_cfg(leaf(**everything, **{"train_cfg.l2": (30.0,)}))
    runner.train()
    metrics = json.loads((tmp_path / "run/run_record.json").read_text())["metrics"]
    train, val = (by_hand(runner.model, scenes(mini_data, part)) for part in ("training", "validation"))
    labels = majority(train[1])
    x = train[0].reshape(-1, train[0].shape[-1])[labels != 255]
    labels, pixels = labels[labels != 255], train[1].reshape(-1, 64)[labels != 255]
    centre, scale = x.mean(0), x.std(0)
    x, queries = (x - centre) / scale, (val[0].reshape(-1, x.shape[1]) - centre) / scale
    truth = val[1].reshape(-1, 64)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(-1, 11)
        logits = x @ weight[:-1] + weight[-1]
        logits -= logits.max(1, keepdims=True)
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        loss = -np.log(shares[np.arange(len(x)), labels]).sum() + 15.0 * (weight[:-1] ** 2).sum()
        residual = shares
        residual[np.arange(len(x)), labels] -= 1
        gradient = np.concatenate((x.T @ residual + 30.0 * weight[:-1], residual.sum(0, keepdims=True)))
        return loss / len(x), gradient.ravel() / len(x)

    start = np.zeros((x.shape[1] + 1, 11))
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 400}).x.reshape(-1, 11)
    by_logistic = np.repeat((queries @ found[:-1] + found[-1]).argmax(1)[:, None], 64, 1)
    assert metrics["mIoU"] == pytest.approx(miou_of(by_logistic, truth), abs=0.1)
    assert "dense_logistic/held_out" not in metrics and metrics["dense_logistic/l2"] == 30

    grid = {"train_cfg.ks": (3,), "train_cfg.cosine": (True,)}
    Runner.from_cfg(leaf("knn", **everything, **grid)).train()
    metrics = json.loads((tmp_path / "run/run_record.json").read_text())["metrics"]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, queries)]
    near = np.argsort(-(unit[1] @ unit[0].T), axis=1)[:, :3]
    pixels = np.where(pixels == 255, labels[:, None], pixels)
    votes = np.stack(
        [np.bincount(column, minlength=256).argmax() for column in pixels[near].transpose(0, 2, 1).reshape(-1, 3)]
    )
    assert metrics["mIoU"] == pytest.approx(miou_of(votes.reshape(-1, 64), truth), abs=0.1)

    # Paired tests read what mmseg's metric was made of.
    outcomes = describe_outcomes(tmp_path / "run", metrics)
    assert outcomes is not None and outcomes.metrics == ("mIoU",)


@pytest.mark.train
def test_the_grid_is_chosen_on_held_out_pictures_and_missing_classes_are_named(leaf, tmp_path: Path, capfd) -> None:
    for overlays in ((), ("knn",)):
        Runner.from_cfg(leaf(*overlays, **{"train_cfg.patches": 40})).train()
        record = json.loads((tmp_path / "run/run_record.json").read_text())
        name = "dense_knn" if overlays else "dense_logistic"
        assert {f"{name}/held_out", "mIoU"} <= set(record["metrics"])
    assert "classes without a training patch among those drawn are never predicted" in capfd.readouterr().out


@pytest.mark.train
def test_the_size_of_the_masks_moves_the_number(leaf, tmp_path: Path, mini_data: Path) -> None:
    """The encoder sees 64 x 64; masks are scored there or at 128 x 128: two numbers of the same classifier."""
    found = []
    for overlays in ((), ("own_size",)):
        cfg = leaf(*overlays, **{"train_cfg.l2": (30.0,)})
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            for step in loader.dataset.pipeline:
                if step["type"] == "Resize":
                    step["scale"] = (64, 64)
        Runner.from_cfg(cfg).train()
        found.append(json.loads((tmp_path / "run/run_record.json").read_text())["metrics"]["mIoU"])
    assert found[0] != found[1] and abs(found[0] - found[1]) < 10


def test_bad_arguments_are_named(leaf) -> None:
    with pytest.raises(ConfigError, match="patches=3 found"):
        Runner.from_cfg(leaf(**{"train_cfg.patches": 3})).train()
    with pytest.raises(ConfigError, match=r"ks=\(1, 500\)"):
        Runner.from_cfg(leaf("knn", **{"train_cfg.ks": (1, 500)})).train()
    with pytest.raises(ConfigError, match="l2="):
        Runner.from_cfg(leaf(**{"train_cfg.l2": (0.0,)})).train()
    assert DenseKNNLoop.name == "dense_knn"


@pytest.mark.train
def test_masks_with_pixels_that_do_not_count(leaf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the pixels is ignored, patch by patch in part: neither probe predicts it, and the grid is chosen."""
    from mmseg.datasets.transforms import LoadAnnotations

    original = LoadAnnotations._load_seg_map

    def holed(self, results: dict) -> None:
        original(self, results)
        mask = results["gt_seg_map"] = results["gt_seg_map"].copy()
        mask[::3] = 255

    monkeypatch.setattr(LoadAnnotations, "_load_seg_map", holed)
    for overlays in ((), ("knn",)):
        Runner.from_cfg(leaf(*overlays)).train()
        metrics = json.loads((tmp_path / "run/run_record.json").read_text())["metrics"]
        name = "dense_knn" if overlays else "dense_logistic"
        assert metrics[f"{name}/held_out"] > 0 and metrics["aAcc"] > 50

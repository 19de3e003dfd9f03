"""Paired statistics: against scipy, statsmodels and pycocotools, and against brute force over copied images."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import stats

from mixedae.benchmark.store.outcomes import Outcomes, describe_outcomes, read_outcomes
from mixedae.benchmark.table.paired import compare_images, holm, mcnemar, resamples
from mixedae.engine.hooks.outcomes import matches, write_outcomes
from mixedae.errors import ResultsError


def correct(bits: np.ndarray) -> Outcomes:
    return Outcomes("correct", {"correct": bits, "label": np.zeros(len(bits), np.int32)})


def areas(generator: np.random.Generator, images: int, classes: int) -> Outcomes:
    union = generator.integers(0, 50, (images, classes)).astype(np.int32)
    return Outcomes("areas", {"intersect": (union * generator.random(union.shape)).astype(np.int32), "union": union})


def scene(generator: np.random.Generator, images: int, crowds: bool = True) -> tuple[dict, list[dict]]:
    """A detection problem with three categories: objects, and detections of some of them and of nothing."""
    objects, found = [], []
    for image in range(images):
        for _ in range(generator.integers(0, 4)):
            x, y, w, h = generator.integers(1, 40, 4).tolist()
            category = int(generator.integers(1, 4))
            crowd = int(crowds and generator.random() < 0.1)
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": image,
                    "category_id": category,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": crowd,
                }
            )
            for _ in range(generator.integers(0, 3)):
                shift = generator.integers(-6, 7, 4)
                box = (np.maximum(np.array([x, y, w, h]) + shift, 1)).tolist()
                score = float(np.round(generator.random(), 1))  # many ties
                found.append({"image_id": image, "category_id": category, "bbox": box, "score": score})
        if generator.random() < 0.5:
            box = generator.integers(1, 40, 4).tolist()
            found.append({"image_id": image, "category_id": 3, "bbox": box, "score": float(generator.random())})
    truth = {
        "info": {},
        "images": [{"id": image, "width": 99, "height": 99} for image in range(images)],
        "annotations": objects,
        "categories": [{"id": c, "name": str(c)} for c in (1, 2, 3)],
    }
    return truth, found


def evaluate(truth: dict, found: list[dict]) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def copies(truth: dict, found: list[dict], weights: np.ndarray) -> tuple[dict, list[dict]]:
    """The problem with image i there ``weights[i]`` times, the copies of an image side by side."""
    images, objects, detections = [], [], []
    for image, count in enumerate(weights.astype(int)):
        for _ in range(count):
            new = len(images)
            images.append({**truth["images"][image], "id": new})
            for item in truth["annotations"]:
                if item["image_id"] == image:
                    objects.append({**item, "id": len(objects) + 1, "image_id": new})
            detections += [{**item, "image_id": new} for item in found if item["image_id"] == image]
    return {**truth, "images": images, "annotations": objects}, detections


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_ap_with_all_weights_one_is_pycocotools(seed: int) -> None:
    truth, found = scene(np.random.default_rng(seed), images=6)  # with crowds, and many tied scores
    if not found or not truth["annotations"]:
        return
    evaluation = evaluate(truth, found)
    value = Outcomes("detections", matches(evaluation)).value(np.ones((1, 6)))[0]
    if evaluation.stats[0] == -1:
        assert np.isnan(value)
    else:
        assert value == pytest.approx(evaluation.stats[0], abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_ap_with_whole_weights_is_pycocotools_on_copied_images(seed: int) -> None:
    """Where no two scores tie: among tied ones the copies' detections would interleave."""
    generator = np.random.default_rng(seed)
    truth, found = scene(generator, images=6)
    for item, score in zip(found, generator.permutation(len(found)), strict=True):
        item["score"] = (1 + float(score)) / 1000
    weights = generator.integers(0, 3, 6)
    copied = copies(truth, found, weights)
    if not copied[1] or not truth["annotations"]:
        return
    value = Outcomes("detections", matches(evaluate(truth, found))).value(weights[None].astype(float))[0]
    expected = evaluate(*copied).stats[0]
    assert np.isnan(value) if expected == -1 else value == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_miou_and_accuracy_are_those_of_copied_images(seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.integers(0, 4, (3, 12)).astype(np.float64) + np.eye(3, 12)
    segmented, classified = areas(generator, 12, 4), correct(generator.random(12) < 0.6)
    for weight, miou, accuracy in zip(weights, segmented.value(weights), classified.value(weights), strict=True):
        index = np.repeat(np.arange(12), weight.astype(int))
        intersect, union = (segmented.arrays[name][index].sum(axis=0) for name in ("intersect", "union"))
        with np.errstate(invalid="ignore"):
            assert miou == pytest.approx(100 * np.nanmean(intersect / np.where(union, union, np.nan)))
        assert accuracy == pytest.approx(100 * classified.arrays["correct"][index].mean())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_mcnemar_is_the_sign_test_on_discordant_images(seed: int, images: int) -> None:
    generator = np.random.default_rng(seed)
    ours, baseline = generator.random(images) < 0.7, generator.random(images) < 0.6
    wins, losses = int((ours & ~baseline).sum()), int((~ours & baseline).sum())
    expected = min(1.0, 2 * stats.binom.cdf(min(wins, losses), wins + losses, 0.5)) if wins + losses else 1.0
    assert mcnemar(ours, baseline) == pytest.approx(expected)
    assert mcnemar(ours, baseline) == mcnemar(baseline, ours)


def test_mcnemar_is_statsmodels() -> None:
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    generator = np.random.default_rng(0)
    ours, baseline = generator.random(300) < 0.7, generator.random(300) < 0.6
    table = [[(ours & baseline).sum(), (ours & ~baseline).sum()], [(~ours & baseline).sum(), (~ours & ~baseline).sum()]]
    assert mcnemar(ours, baseline) == pytest.approx(contingency.mcnemar(table, exact=True).pvalue)


def test_interval_is_scipys_bootstrap() -> None:
    generator = np.random.default_rng(1)
    ours, baseline = generator.random(400) < 0.70, generator.random(400) < 0.62
    test = compare_images({0: correct(ours)}, {0: correct(baseline)})
    difference = 100.0 * ours - 100.0 * baseline
    expected = stats.bootstrap(
        (difference,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert (test.low, test.high) == (pytest.approx(expected.low, abs=0.5), pytest.approx(expected.high, abs=0.5))
    assert test.method == "McNemar" and test.p == mcnemar(ours, baseline)
    assert test.tied == (test.low <= 0 <= test.high)


def test_interval_covers_as_often_as_it_says() -> None:
    """Two classifiers that differ by 10 points: the 95 % interval holds 10 in 90 to 99 of 100 draws of 200 images."""
    generator, held = np.random.default_rng(3), 0
    for _ in range(100):
        shared = generator.random(200)
        ours, baseline = shared < 0.7, (shared < 0.55) | (generator.random(200) < 1 / 9)  # 0.55 + 0.45 / 9 = 0.6
        test = compare_images({0: correct(ours)}, {0: correct(baseline)}, replicates=300)
        held += test.low <= 10 <= test.high
    assert 88 <= held <= 100


def test_a_model_against_itself_is_tied_and_seeds_are_averaged() -> None:
    generator = np.random.default_rng(4)
    same = areas(generator, 20, 3)
    test = compare_images({0: same}, {0: same})
    assert (test.low, test.high, test.p, test.tied) == (0.0, 0.0, 1.0, True)
    up, down = correct(np.array([True] * 30 + [False] * 10)), correct(np.array([True] * 10 + [False] * 30))
    test = compare_images({0: up, 1: down}, {0: down, 1: up})  # +50 with one seed, -50 with the other
    assert test.tied and test.method == "paired bootstrap" and test.seeds == 2
    assert test.mcnemar[0] == test.mcnemar[1] < 0.001


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_what_its_procedure_rejects(p_values: list[float]) -> None:
    """Brute force: test the smallest at level/m, the next at level/(m - 1), ... and stop at the first that fails."""
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
            if p_values[index] * (len(p_values) - rank) > level:
                break
            rejected.add(index)
        assert {index for index, p in enumerate(adjusted) if p <= level} == rejected


def test_resamples_are_the_same_for_everyone_and_draw_n_images() -> None:
    first, second = np.concatenate(list(resamples(30, 250))), np.concatenate(list(resamples(30, 250)))
    assert (first == second).all() and first.shape == (250, 30) and (first.sum(axis=1) == 30).all()


def test_file_reads_back_and_must_add_up(tmp_path: Path) -> None:
    bits = np.array([True, False, True, True])
    write_outcomes(tmp_path / "outcomes.npz", {"accuracy/top1": ("correct", correct(bits).arrays)}, "abc")
    header, found = read_outcomes(tmp_path / "outcomes.npz")
    assert header["items_sha256"] == "abc" and (found["accuracy/top1"].arrays["correct"] == bits).all()
    described = describe_outcomes(tmp_path, {"accuracy/top1": 75.0})
    assert described is not None and described.metrics == ("accuracy/top1",)
    with pytest.raises(ResultsError, match=r"give `accuracy/top1` 75.0000; the run recorded 80"):
        describe_outcomes(tmp_path, {"accuracy/top1": 80.0})
    assert [path.name for path in tmp_path.iterdir()] == ["outcomes.npz"]
    (tmp_path / "outcomes.npz").write_bytes(b"PK nonsense")
    with pytest.raises(ResultsError, match="damaged"):
        read_outcomes(tmp_path / "outcomes.npz")
    (tmp_path / "outcomes.npz").unlink()
    assert describe_outcomes(tmp_path, {}) is None

"""OutcomesHook on the real metrics: what it writes adds up to what the library printed."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mixedae.benchmark.store.outcomes import describe_outcomes, read_outcomes
from mixedae.engine import OutcomesHook


class Pictures:
    """Stands in for a dataset: only names are asked for."""

    def __init__(self, root: str, names: list[str]) -> None:
        self.data_root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def get_data_info(self, index: int) -> dict[str, str]:
        return {"img_path": f"{self.data_root}/{self.names[index]}"}


def validate(folder: Path, metric: Any, results: list, size: int, root: str = "/data", times: int = 1) -> dict:
    """What mmengine's ValLoop does with a metric and the hook."""
    evaluator = SimpleNamespace(metrics=[metric])
    dataset = Pictures(root, [f"{index}.png" for index in range(size)])
    runner: Any = SimpleNamespace(
        work_dir=str(folder),
        val_loop=SimpleNamespace(evaluator=evaluator),
        val_dataloader=SimpleNamespace(dataset=dataset),
    )
    hook = OutcomesHook()
    for _ in range(times):
        hook.before_val(runner)
        metric.results = list(results)
        metrics = metric.evaluate(size)
        hook.after_val_epoch(runner, metrics)
    return metrics


def test_accuracy(tmp_path: Path) -> None:
    from mmpretrain.evaluation import Accuracy

    generator = torch.Generator().manual_seed(0)
    results = [
        {"pred_score": torch.rand(5, generator=generator), "gt_label": torch.randint(5, (1,), generator=generator)}
        for _ in range(40)
    ]
    padded = [*results, results[0], results[0]]  # what a second process adds to fill its share
    metrics = validate(tmp_path, Accuracy(topk=(1,)), padded, size=40, times=2)
    described = describe_outcomes(tmp_path, metrics)
    assert described is not None and described.metrics == ("accuracy/top1",)
    _, found = read_outcomes(tmp_path / "outcomes.npz")
    correct = found["accuracy/top1"].arrays["correct"]
    assert len(correct) == 40 and 100 * correct.mean() == pytest.approx(metrics["accuracy/top1"])
    expected = [bool(result["pred_score"].argmax() == result["gt_label"][0]) for result in results]
    assert correct.tolist() == expected


def test_mean_per_class_and_voc07(tmp_path: Path) -> None:
    """Both metrics' outcomes add up to what was printed, a class without a picture and padding included."""
    from mmpretrain.evaluation import SingleLabelMetric

    from mixedae.engine import VOC07Metric

    generator = torch.Generator().manual_seed(2)
    scores = torch.rand(40, 5, generator=generator)
    labels = torch.randint(4, (40,), generator=generator)  # class 4 has no picture
    results = [{"pred_score": s, "gt_label": label[None]} for s, label in zip(scores, labels, strict=True)]
    metrics = validate(tmp_path, SingleLabelMetric(items=("recall",), average="macro"), [*results, results[0]], size=40)
    assert describe_outcomes(tmp_path, metrics) is not None
    _, found = read_outcomes(tmp_path / "outcomes.npz")
    value = found["single-label/recall"].value(np.ones((1, 40)))[0]
    assert found["single-label/recall"].n == 40 and value == pytest.approx(metrics["single-label/recall"], abs=1e-4)

    positive = torch.rand(40, 5, generator=generator) < 0.4
    metrics = validate(tmp_path, VOC07Metric(), [*zip(scores, positive, strict=True)], size=40)
    assert describe_outcomes(tmp_path, metrics) is not None
    _, found = read_outcomes(tmp_path / "outcomes.npz")
    assert found["voc07/mAP_11"].value(np.ones((1, 40)))[0] == pytest.approx(metrics["voc07/mAP_11"], abs=1e-6)


def test_images_are_known_by_their_names_below_the_root(tmp_path: Path) -> None:
    from mmpretrain.evaluation import Accuracy

    results = [{"pred_score": torch.eye(2)[i % 2], "gt_label": torch.tensor([0])} for i in range(4)]
    hashes = []
    for root, size in (("/here", 4), ("/there/data", 4), ("/here", 3)):
        validate(tmp_path, Accuracy(), results, size, root)
        hashes.append(read_outcomes(tmp_path / "outcomes.npz")[0]["items_sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_miou(tmp_path: Path) -> None:
    from mmseg.evaluation import IoUMetric

    metric = IoUMetric()
    metric.dataset_meta = {"classes": ("a", "b", "c")}
    generator = torch.Generator().manual_seed(1)
    for _ in range(12):
        label = torch.randint(0, 3, (1, 8, 8), generator=generator)
        label[0, 0, 0] = 255  # ignored
        predicted = torch.where(torch.rand(label.shape, generator=generator) < 0.6, label.clamp(max=2), 0)
        metric.process({}, [{"pred_sem_seg": {"data": predicted}, "gt_sem_seg": {"data": label}}])
    metrics = validate(tmp_path, metric, metric.results, size=12)
    assert describe_outcomes(tmp_path, metrics) is not None
    _, found = read_outcomes(tmp_path / "outcomes.npz")
    assert found["mIoU"].arrays["union"].shape == (12, 3)
    assert found["mIoU"].value(np.ones((1, 12)))[0] == pytest.approx(metrics["mIoU"], abs=0.006)


@pytest.mark.train
def test_ap(tmp_path: Path) -> None:
    from mmdet.evaluation import CocoMetric
    from mmdet.evaluation.metrics import coco_metric

    generator = np.random.default_rng(2)
    objects, results = [], []
    for image in range(10):
        boxes = generator.integers(1, 40, (3, 4))
        for box in boxes:
            x, y, w, h = box.tolist()
            category = int(generator.integers(1, 3))
            item = {"id": len(objects) + 1, "image_id": image, "category_id": category, "bbox": [x, y, w, h]}
            objects.append(item | {"area": w * h, "iscrowd": 0})
        shifted = boxes + generator.integers(-3, 4, boxes.shape)
        corners = np.concatenate([shifted[:, :2], shifted[:, :2] + np.maximum(shifted[:, 2:], 1)], axis=1)
        labels = np.array([item["category_id"] - 1 for item in objects[-3:]])
        found = {"img_id": image, "bboxes": corners.astype(np.float32), "scores": generator.random(3), "labels": labels}
        results.append(({}, found))
    truth = {
        "info": {},
        "images": [{"id": image, "width": 99, "height": 99, "file_name": f"{image}.png"} for image in range(10)],
        "annotations": objects,
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    metric = CocoMetric(ann_file=str(tmp_path / "truth.json"), metric="bbox")
    metric.dataset_meta = {"classes": ("a", "b")}
    original = coco_metric.COCOeval
    metrics = validate(tmp_path, metric, results, size=10)
    assert coco_metric.COCOeval is original and metrics["coco/bbox_mAP"] > 0.05
    described = describe_outcomes(tmp_path, metrics)  # within rounding to three digits
    assert described is not None and described.metrics == ("coco/bbox_mAP",)

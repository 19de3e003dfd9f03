"""What a test predicts, as files: JSON, masks as PNG, and pictures with the predictions drawn on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image, ImageDraw, ImageFont

from mixedae.engine.atomic import plain, write_json
from mixedae.registry import HOOKS

SMALLEST_SIDE = 384
"""Smaller pictures are enlarged before anything is drawn: labels would cover them."""


@HOOKS.register_module()
class PredictionHook(Hook):
    """Writes predictions while a model is tested.

    ``<out_dir>/predictions.json`` is a list, one entry a picture: ``image``, and ``label``, ``score``, ``truth``
    (classification); ``mask``, a PNG of class indices in ``<out_dir>/masks`` (segmentation); ``instances`` with
    ``bbox`` (x, y, width, height), ``score``, ``label`` and a run-length ``segmentation`` (detection).

    Args:
        out_dir: where files go.
        save_predictions: write the JSON and the masks.
        num_pictures: draw the first that many pictures into ``<out_dir>/pictures``: truth on the left, where the test
            pipeline loads it, prediction on the right.
        score_threshold: boxes with less are not drawn.
    """

    priority = "LOW"

    def __init__(
        self, out_dir: str, save_predictions: bool = True, num_pictures: int = 0, score_threshold: float = 0.3
    ) -> None:
        self.out_dir, self.save_predictions = Path(out_dir), save_predictions
        self.num_pictures, self.score_threshold = num_pictures, score_threshold
        self._entries: list[dict[str, Any]] = []
        self._drawn = 0

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Keep and draw one batch's predictions.

        Args:
            runner: the runner.
            batch_idx: unused.
            data_batch: unused.
            outputs: data samples of mmpretrain, mmseg or mmdet.
        """
        for sample in outputs or ():
            if self.save_predictions:
                self._entries.append(self._entry(sample))
            if self._drawn < self.num_pictures:
                self._draw(runner, sample)
                self._drawn += 1

    def after_test(self, runner: Runner) -> None:
        """Write the JSON.

        Args:
            runner: the runner.
        """
        if self.save_predictions:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            write_json(self.out_dir / "predictions.json", self._entries)

    def _entry(self, sample: Any) -> dict[str, Any]:
        entry: dict[str, Any] = {"image": str(sample.img_path)}
        if "pred_sem_seg" in sample:
            mask = sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)
            path = self.out_dir / "masks" / f"{Path(sample.img_path).stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
            return {**entry, "mask": str(path.relative_to(self.out_dir))}
        if "pred_instances" in sample:
            found = sample.pred_instances.cpu().numpy()
            return {**entry, "instances": [_instance(found, i) for i in range(len(found))]}
        label = int(sample.pred_label.reshape(-1)[0])
        truth = int(sample.gt_label.reshape(-1)[0]) if "gt_label" in sample else None
        return {**entry, "label": label, "score": float(sample.pred_score[label]), "truth": truth}

    def _draw(self, runner: Runner, sample: Any) -> None:
        with Image.open(sample.img_path) as file:
            image = np.asarray(file.convert("RGB"))
        path = self.out_dir / "pictures" / f"{self._drawn:04d}_{Path(sample.img_path).stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        visualizer: Any = runner.visualizer
        visualizer.dataset_meta = runner.test_dataloader.dataset.metainfo
        sample = sample.cpu()
        if "pred_sem_seg" in sample:
            panels = [("gt_sem_seg", dict(draw_pred=False)), ("pred_sem_seg", dict(draw_gt=False))]
        elif "pred_instances" in sample:
            panels = [("gt_instances", dict(draw_pred=False)), ("pred_instances", dict(draw_gt=False))]
        else:
            visualizer.visualize_cls(_enlarged(image), sample, classes=visualizer.dataset_meta["classes"])
            Image.fromarray(visualizer.get_image()).save(path)
            return
        drawn = []
        for part, options in panels:
            if part in sample and ("sem_seg" in part or len(sample.get(part))):
                extra = {"with_labels": False} if "sem_seg" in part else {"pred_score_thr": self.score_threshold}
                visualizer.add_datasample("picture", image, sample, show=False, **options, **extra)
                drawn.append(_enlarged(visualizer.get_image()))
        if drawn:
            gap = np.full((drawn[0].shape[0], 8, 3), 255, np.uint8)
            picture = np.hstack([panel for shown in drawn for panel in (gap, shown)][1:])
            if "pred_sem_seg" in sample:
                maps = [sample.get(part).data.numpy() for part, _ in panels if part in sample]
                picture = np.vstack((picture, _legend(maps, visualizer.dataset_meta, picture.shape[1])))
            Image.fromarray(picture).save(path)


def _instance(found: Any, i: int) -> dict[str, Any]:
    x, y, right, bottom = (float(v) for v in found.bboxes[i])
    entry = {"bbox": [x, y, right - x, bottom - y], "score": float(found.scores[i]), "label": int(found.labels[i])}
    if "masks" in found:
        from pycocotools import mask

        runs = mask.encode(np.asfortranarray(found.masks[i].astype(np.uint8)))
        entry["segmentation"] = {"size": plain(runs["size"]), "counts": runs["counts"].decode()}
    return entry


def _legend(maps: Sequence[np.ndarray], meta: dict[str, Any], width: int) -> np.ndarray:
    """A strip with the colour and name of every class on the maps, and what stands on which side."""
    there = sorted({int(label) for found in maps for label in np.unique(found)} & set(range(len(meta["classes"]))))
    font = ImageFont.load_default(16)
    places, x, y = [], 8, 8
    for text in ("left: truth, right: prediction" if len(maps) > 1 else "prediction", *there):
        name = text if isinstance(text, str) else meta["classes"][text]
        length = int(font.getlength(name)) + 44
        if x + length > width:
            x, y = 8, y + 26
        places.append((x, y, text, name))
        x += length
    strip = Image.new("RGB", (width, y + 30), "white")
    draw = ImageDraw.Draw(strip)
    for x, y, label, name in places:
        if not isinstance(label, str):
            draw.rectangle((x, y + 2, x + 16, y + 18), fill=tuple(meta["palette"][label]))
            x += 22
        draw.text((x, y), name, fill="black", font=font)
    return np.asarray(strip)


def _enlarged(image: np.ndarray) -> np.ndarray:
    factor = max(1, -(-SMALLEST_SIDE // min(image.shape[:2])))
    return np.asarray(
        Image.fromarray(image).resize((image.shape[1] * factor, image.shape[0] * factor), Image.Resampling.NEAREST)
    )

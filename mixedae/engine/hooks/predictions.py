"""What a test predicts, as files: JSON, masks as PNG, and pictures with the predictions drawn on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import collect_results, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from mixedae.datasets.reading import read_rgb
from mixedae.engine.hooks.pictures import colours, draw
from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError
from mixedae.files import plain, write_json
from mixedae.registry import HOOKS


@HOOKS.register_module()
class PredictionHook(Hook):
    """Writes predictions while a model is tested.

    ``<out_dir>/predictions.json`` is a list, one entry a picture: ``image``, and ``label``, ``class``, ``score``,
    ``truth`` (classification; of several labels a picture ``labels``, every class's ``scores`` and ``truth`` are
    lists); ``mask``, a PNG of class indices in ``<out_dir>/masks``, of 16 bits if there are more than 256, named as the
    picture is below its folder (segmentation); ``instances`` with ``bbox`` (x, y, width, height), ``score``, ``label``,
    ``class`` and a run-length ``segmentation`` (detection).

    Args:
        out_dir: where files go.
        save_predictions: write the JSON and the masks.
        num_pictures: draw the first that many pictures into ``<out_dir>/pictures``, see
            :func:`mixedae.engine.hooks.pictures.draw`.
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
        self._several_labels = False
        self._classes: tuple[str, ...] = ()
        self._root: Path | None = None
        self._taken: dict[Path, str] = {}

    def before_test(self, runner: Runner) -> None:
        """See whether a picture has one label or several, which its own prediction does not tell.

        Args:
            runner: the runner.
        """
        from mmpretrain.models.heads import MultiLabelClsHead

        model = unwrapped(runner.model)
        self._several_labels = isinstance(getattr(model, "head", None), MultiLabelClsHead)
        self._classes = tuple((getattr(runner.test_dataloader.dataset, "metainfo", None) or {}).get("classes") or ())
        folder = (getattr(runner.test_dataloader.dataset, "data_prefix", None) or {}).get("img_path")
        self._root = Path(folder).absolute() if folder else None

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Keep and draw one batch's predictions.

        Args:
            runner: the runner.
            batch_idx: unused.
            data_batch: unused.
            outputs: data samples of mmpretrain, mmseg or mmdet.

        Raises:
            ConfigError: pictures that are no files.
        """
        for sample in outputs or ():
            if "img_path" not in sample:
                raise ConfigError(
                    "these pictures have no files (CIFAR?): predictions are listed and drawn by file name"
                )
            if self.save_predictions:
                self._entries.append(self._entry(sample))
            if self._drawn < self.num_pictures and is_main_process():
                self._draw(runner, sample)
                self._drawn += 1

    def after_test(self, runner: Runner) -> None:
        """Write the JSON.

        Args:
            runner: the runner.
        """
        if self.save_predictions:
            entries = collect_results(self._entries, len(runner.test_dataloader.dataset), "cpu")  # type: ignore[arg-type]
            if entries is not None:  # None but on the main process
                self.out_dir.mkdir(parents=True, exist_ok=True)
                write_json(self.out_dir / "predictions.json", entries)

    def _entry(self, sample: Any) -> dict[str, Any]:
        entry: dict[str, Any] = {"image": str(sample.img_path)}
        if "pred_sem_seg" in sample:
            mask = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
            path = self.out_dir / "masks" / self._place(sample.img_path)
            path = (
                path.with_suffix(".png") if self._is_new(path, sample.img_path) else path.with_name(f"{path.name}.png")
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8 if mask.max(initial=0) < 256 else np.uint16)).save(path)
            return {**entry, "mask": str(path.relative_to(self.out_dir))}
        if "pred_instances" in sample:
            found = sample.pred_instances.cpu().numpy()
            return {**entry, "instances": [self._instance(found, i) for i in range(len(found))]}
        labels, scores = sample.pred_label.tolist(), sample.pred_score.tolist()
        truths = sample.gt_label.tolist() if "gt_label" in sample else None
        if self._several_labels:
            return {**entry, "labels": labels, "scores": scores, "truth": truths}
        named = {"class": self._classes[labels[0]]} if labels[0] < len(self._classes) else {}
        return {**entry, "label": labels[0], **named, "score": scores[labels[0]], "truth": truths and truths[0]}

    def _instance(self, found: Any, i: int) -> dict[str, Any]:
        entry = _instance(found, i)
        return {**entry, "class": self._classes[entry["label"]]} if entry["label"] < len(self._classes) else entry

    def _is_new(self, path: Path, picture: str) -> bool:
        """Whether no other picture has this name but for the suffix, as a.jpg and a.png have."""
        return self._taken.setdefault(path.with_suffix(""), picture) == picture

    def _place(self, path: str) -> Path:
        """Where a picture lies below the data's folder, so that no two pictures share a name."""
        absolute = Path(path).absolute()
        if self._root is not None and absolute.is_relative_to(self._root):
            return absolute.relative_to(self._root)
        return Path(*absolute.parts[1:])

    def _draw(self, runner: Runner, sample: Any) -> None:
        dataset: Any = runner.test_dataloader.dataset
        classes = dataset.metainfo["classes"]
        # not dataset.metainfo's: without a palette mmseg makes one up, whose colours are hard to tell apart
        metainfo = runner.cfg.test_dataloader.dataset.get("metainfo") or {}
        palette = {**getattr(dataset, "METAINFO", {}), **metainfo}.get("palette") or ()
        if len(palette) < len(classes):
            palette = colours(len(classes))
        annotated = "pred_sem_seg" in sample or "pred_instances" in sample
        image = read_rgb(sample.img_path, upright=not annotated)
        path = self.out_dir / "pictures" / f"{self._drawn:04d}_{Path(sample.img_path).stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(sample.cpu(), image, classes, palette, self.score_threshold).save(path)


def _instance(found: Any, i: int) -> dict[str, Any]:
    x, y, right, bottom = (float(v) for v in found.bboxes[i])
    entry = {"bbox": [x, y, right - x, bottom - y], "score": float(found.scores[i]), "label": int(found.labels[i])}
    if "masks" in found:
        from pycocotools import mask

        runs = mask.encode(np.asfortranarray(found.masks[i].astype(np.uint8)))
        entry["segmentation"] = {"size": plain(runs["size"]), "counts": runs["counts"].decode()}
    return entry

"""Classifiers of frozen patches in the place of a train loop: nothing is trained by gradient descent on pictures.

The protocol is CAPI's: features are standardised by the training patches, the grid is tried on a tenth of the training
pictures, the best point is fitted to all of them and the validation pictures are scored once, by mmseg's metric. At
which size masks are scored, the pipeline says: a mask that is loaded before ``Resize`` is scored at the size that the
encoder sees (CAPI), one that is loaded after it at its own.

References:
    CAPI, arXiv 2502.08769; facebookresearch/capi ``eval_segmentation.py`` and ``data.py`` (98b4fa1).
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.runner import BaseLoop, Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixedae.engine.console import NOTICE
from mixedae.engine.probes.logistic import TOLERANCE, LogisticRegression, fit
from mixedae.engine.probes.memory import available_memory, check_memory
from mixedae.engine.probes.patch_fits import HELD_OUT, held_out, mean_iou, nearest_pixels, standardisation
from mixedae.engine.probes.patches import Patches, encode, sample_patches, to_mask
from mixedae.engine.probes.record import leave_on_record
from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError, DataError
from mixedae.registry import LOOPS

Point = dict[str, float]


class DenseProbeLoop(BaseLoop):
    """What the dense probes share.

    Metrics are the validation evaluator's, plus ``<name>/held_out`` and the chosen point of the grid. Hooks see a
    validation, so that the run leaves the usual record and outcomes.

    Args:
        runner: the runner.
        dataloader: of the training pictures, in order and with the test pipeline.
        patches: how many labelled patches are drawn from all training pictures; memory grows with it.
        seed: of the draw and of what is held out.

    Raises:
        ConfigError: fewer patches than ten, or more than fit into memory.
    """

    name: str
    epoch = iter = 0
    max_epochs = max_iters = 1

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, patches: int, seed: int = 0) -> None:
        super().__init__(runner, dataloader)
        if patches < HELD_OUT:
            raise ConfigError(f"{type(self).__name__}: patches={patches} found; expected {HELD_OUT} at least")
        self.patches, self.seed = patches, seed
        backbone: Any = unwrapped(runner.model).backbone
        width = backbone.embed_dims * len(backbone.out_indices)
        check_memory(patches, width, self.copies, available_memory())
        self.centre, self.scale = torch.zeros(width), torch.ones(width)

    copies: int
    """How many times the features are in memory, in float32, at most."""

    def points(self) -> list[Point]:
        """The grid; of equals the first is taken."""
        raise NotImplementedError

    def fitted(self, train: Patches, point: Point) -> Any:
        """A classifier of standardised patches."""
        raise NotImplementedError

    def predict(self, classifier: Any, features: Tensor) -> Tensor:
        """Labels uint8 (P, side * side) of standardised patches (P, D)."""
        raise NotImplementedError

    def run(self) -> nn.Module:
        """Choose, fit to everything, test.

        Returns:
            The model, unchanged.

        Raises:
            DataError: no patch has a label.
        """
        runner = self.runner
        runner.call_hook("before_train")
        classes: Sequence[str] = self.dataloader.dataset.metainfo["classes"]  # type: ignore[attr-defined]
        raw = sample_patches(runner.model, self.dataloader, self.patches, self.seed)
        if not len(raw):
            raise DataError(f"no patch of {len(self.dataloader.dataset)} training pictures has a label")  # type: ignore[arg-type]
        self._say(raw, classes)
        self.centre, self.scale = standardisation(raw.features)
        device = next(runner.model.parameters()).device
        drawn = replace(raw, features=self._standard(raw.features)).to(device)
        del raw
        points = self.points()
        extra: dict[str, float] = {}
        chosen = points[0]
        if len(points) > 1:
            chosen, extra[f"{self.name}/held_out"] = self._choose(drawn, points, len(classes))
        extra.update({f"{self.name}/{key}": value for key, value in chosen.items()})
        classifier = self.fitted(drawn, chosen)
        leave_on_record(runner, self.name, lambda: {**self._evaluate(classifier), **extra})
        return runner.model

    def _say(self, drawn: Patches, classes: Sequence[str]) -> None:
        counts = drawn.labels.bincount(minlength=len(classes)).tolist()
        self.runner.logger.info(f"{self.name}: {len(drawn):,} labelled patches of {self.patches:,} asked for")
        if missing := [name for name, count in zip(classes, counts, strict=False) if not count]:
            self.runner.logger.warning(
                f"{self.name}: classes without a training patch among those drawn are never predicted: "
                f"{', '.join(missing)}",
                extra=NOTICE,
            )

    def _standard(self, features: Tensor) -> Tensor:
        return (features - self.centre.to(features)) / self.scale.to(features)

    def _choose(self, drawn: Patches, points: Sequence[Point], classes: int) -> tuple[Point, float]:
        """The point that is best on held-out pictures, and its mIoU."""
        known, asked = (drawn[side] for side in held_out(drawn.pictures, self.seed))
        chosen, best = points[0], -1.0
        for point in points:
            predicted = self.predict(self.fitted(known, point), asked.features)
            value = mean_iou(predicted, asked.pixels, classes)
            said = ", ".join(f"{key} {number:.4g}" for key, number in point.items())
            self.runner.logger.info(f"{self.name}: {said}: held out {value:.3f} mIoU")
            if value > best:
                chosen, best = point, value
        return chosen, best

    def _evaluate(self, classifier: Any) -> dict[str, float]:
        runner = self.runner
        module = unwrapped(runner.model)
        was_training = module.training
        module.eval()
        loader, evaluator = runner.val_dataloader, runner.val_loop.evaluator
        for batch in loader:
            tokens, samples, size, side = encode(runner.model, batch)
            found = []
            for features, sample in zip(tokens, samples, strict=True):
                truth = sample.gt_sem_seg.data[0]
                pixels = self.predict(classifier, self._standard(features)).cpu()
                mask = to_mask(pixels, size, side, tuple(truth.shape))  # type: ignore[arg-type]
                found.append(
                    SegDataSample(
                        pred_sem_seg=PixelData(data=mask.long()[None]),
                        gt_sem_seg=PixelData(data=truth.cpu()[None]),
                        metainfo=sample.metainfo,
                    )
                )
            evaluator.process(data_samples=found, data_batch=batch)
        module.train(was_training)
        return evaluator.evaluate(len(loader.dataset))


@LOOPS.register_module()
class DenseKNNLoop(DenseProbeLoop):
    """Each pixel of a patch gets the label that most of the nearest training patches have there.

    A pixel of a training patch that does not count votes for its patch's label. In CAPI's code it votes for the ignored
    label, which is then predicted, and averaged as a class of its own.

    Args:
        runner: see :class:`DenseProbeLoop`.
        dataloader: see there.
        patches: see there.
        ks: numbers of neighbours.
        cosine: distances to try: by the angle (True), Euclidean (False).
        seed: see there.
    """

    name, copies = "dense_knn", 4

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        patches: int,
        ks: Sequence[int] = (1, 3, 10, 30),
        cosine: Sequence[bool] = (True, False),
        seed: int = 0,
    ) -> None:
        super().__init__(runner, dataloader, patches, seed)
        if not ks or min(ks) < 1 or max(ks) > patches or not cosine:
            raise ConfigError(f"ks={tuple(ks)}, cosine={tuple(cosine)} found for {patches} patches; give some of each")
        self.ks, self.cosine = tuple(ks), tuple(cosine)

    def points(self) -> list[Point]:
        """Neighbours x distances."""
        return [{"k": k, "cosine": float(cosine)} for k, cosine in itertools.product(self.ks, self.cosine)]

    def fitted(self, train: Patches, point: Point) -> tuple[Tensor, Tensor, Point]:
        """The bank, of unit length for the angle."""
        bank = nn.functional.normalize(train.features, dim=1) if point["cosine"] else train.features
        return bank, train.votes, point

    def predict(self, classifier: tuple[Tensor, Tensor, Point], features: Tensor) -> Tensor:
        """See :meth:`DenseProbeLoop.predict`."""
        bank, pixels, point = classifier
        return nearest_pixels(bank, pixels, features, int(point["k"]), bool(point["cosine"]))


@LOOPS.register_module()
class DenseLogisticLoop(DenseProbeLoop):
    """Logistic regression by L-BFGS on patches; a patch's label holds for all its pixels.

    Args:
        runner: see :class:`DenseProbeLoop`.
        dataloader: see there.
        patches: see there.
        l2: strengths of the penalty, strongest first; 1 / C of scikit-learn.
        seed: see there.
    """

    name, copies = "dense_logistic", 8

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        patches: int,
        l2: Sequence[float] = tuple(np.logspace(6, -5, 8).tolist()),
        seed: int = 0,
    ) -> None:
        super().__init__(runner, dataloader, patches, seed)
        if not l2 or min(l2) <= 0:
            raise ConfigError(f"l2={tuple(l2)} found; expected at least one strength above 0")
        self.l2 = tuple(l2)
        self.classes = len(self.dataloader.dataset.metainfo["classes"])  # type: ignore[attr-defined]
        self._last: LogisticRegression | None = None

    def points(self) -> list[Point]:
        """Strengths."""
        return [{"l2": l2} for l2 in self.l2]

    def fitted(self, train: Patches, point: Point) -> tuple[LogisticRegression, int]:
        """The optimum, found from the last one."""
        found = fit(train.features, train.labels, point["l2"], self.classes, self._last)
        if found.gradient > TOLERANCE:
            self.runner.logger.warning(
                f"{self.name}: l2 {point['l2']:.4g}: after {found.iterations} iterations the gradient is "
                f"{found.gradient:.2g}, not {TOLERANCE:g}"
            )
        self._last = found
        return found, train.pixels.shape[1]

    def predict(self, classifier: tuple[LogisticRegression, int], features: Tensor) -> Tensor:
        """See :meth:`DenseProbeLoop.predict`."""
        model, pixels = classifier
        labels = model.logits(features).argmax(dim=1).to(torch.uint8)
        return labels[:, None].expand(-1, pixels)

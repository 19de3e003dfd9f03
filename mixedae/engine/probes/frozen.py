"""Classifiers on frozen features in the place of a train loop: chosen on held-out pictures, tested once.

The protocol is the small sets': one hyper-parameter is chosen by the set's own metric on held-out training pictures,
then all training pictures are used and the test pictures scored once. Features are computed once
(:mod:`mixedae.engine.probes.features`).

References:
    Linear: arXiv 1805.08974, section A, as linusericsson/ssl-transfer ``linear.py`` has it: 45 strengths from 1e-6 to
    1e5, the best on the held-out pictures, the weakest of equals. k-NN: arXiv 1805.01978, section 3.4.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.runner import BaseLoop, Runner
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixedae.datasets.held_out import held_out_indices
from mixedae.datasets.small_set import labels_of
from mixedae.engine.probes.features import FOLDER, POOLS, cached_features
from mixedae.engine.probes.knn import KS, TEMPERATURE, check_ks, knn_votes, measure
from mixedae.engine.probes.logistic import TOLERANCE, fit
from mixedae.engine.probes.record import leave_on_record
from mixedae.errors import ConfigError
from mixedae.registry import LOOPS

L2 = tuple(np.logspace(5, -6, 45).tolist())
"""Strongest first, so that each fit starts near its optimum."""


class FrozenLoop(BaseLoop):
    """What the classifiers share.

    Metrics are the validation evaluator's, plus ``<name>/<parameter>``, the choice, and ``<name>/held_out``, the metric
    by which it was made. Hooks see a validation, so that the run leaves the usual record and outcomes.

    Args:
        runner: the runner.
        dataloader: of the training pictures, in order and with the test pipeline.
        candidates: values of the hyper-parameter; a single one needs no choice. Of equals the last is taken.
        cache: folder of the feature cache.
        pool: of a ViT's tokens, see :data:`mixedae.engine.probes.features.POOLS`. ``cls`` and ``both`` need
            ``model.backbone.out_type=raw``.

    Raises:
        ConfigError: no candidate, an unknown pool, or an evaluator that gives several metrics: none is the one to
            choose by.
    """

    name: str
    parameter: str
    epoch = iter = 0
    max_epochs = max_iters = 1

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        candidates: Sequence[float],
        cache: str = FOLDER,
        pool: str = "mean",
    ) -> None:
        super().__init__(runner, dataloader)
        if pool not in (known := [name for name in POOLS if name != "tokens"]):
            raise ConfigError(f"{type(self).__name__}: pool={pool!r} found; expected {', '.join(known)}")
        if not candidates:
            raise ConfigError(f"{type(self).__name__} has no candidates for {self.parameter}; give at least one")
        self.candidates, self.cache, self.pool = tuple(candidates), cache, pool

    def scores(
        self, features: Tensor, targets: Tensor, classes: int, queries: Tensor, candidates: Sequence[float]
    ) -> Iterator[Tensor]:
        """Scores of the query pictures for each candidate in turn.

        Args:
            features: (N, D) of the training pictures.
            targets: int64 (N,), or bool (N, C) with several labels.
            classes: C.
            queries: (M, D).
            candidates: values of the hyper-parameter.

        Yields:
            (M, C); for one label a picture above zero, see :meth:`LinearProbeLoop.scores`.
        """
        raise NotImplementedError

    def run(self) -> nn.Module:
        """Choose, train on everything, test.

        Returns:
            The model, unchanged.
        """
        runner = self.runner
        runner.call_hook("before_train")
        features, queries, infos, test_infos = self.encoded()
        classes = int(runner.cfg.model.head.num_classes)
        several = isinstance(infos[0]["gt_label"], Sequence)
        device = next(runner.model.parameters()).device
        targets = targets_of(infos, classes, several).to(device)
        features, queries = features.to(device), queries.to(device)
        chosen, extra = self.candidates[0], {}
        if len(self.candidates) > 1:
            chosen, extra[f"{self.name}/held_out"] = self._choose(features, targets, classes, infos)
        extra[f"{self.name}/{self.parameter}"] = chosen
        (scores,) = self.scores(features, targets, classes, queries, [chosen])
        leave_on_record(runner, self.name, lambda: {**self._evaluate(scores, test_infos), **extra})
        return runner.model

    def encoded(self) -> tuple[Tensor, Tensor, list[dict[str, Any]], list[dict[str, Any]]]:
        """Features of the training and of the validation pictures, (N, D) and (M, D), and what is known of each."""
        runner = self.runner
        dataset, test_set = self.dataloader.dataset, runner.val_dataloader.dataset
        infos, test_infos = (
            [d.get_data_info(i) for i in range(len(d))]
            for d in (dataset, test_set)  # type: ignore[arg-type]
        )
        features, queries = (
            cached_features(runner, loader, runner.cfg[f"{split}_dataloader"], self.cache, self.pool)
            for split, loader in (("train", self.dataloader), ("val", runner.val_dataloader))
        )
        return features, queries, infos, test_infos

    def _choose(
        self, features: Tensor, targets: Tensor, classes: int, infos: Sequence[dict[str, Any]]
    ) -> tuple[float, float]:
        """The candidate that is best on held-out training pictures, and its metric."""
        dataset: Any = self.dataloader.dataset
        own = getattr(dataset, "held_out", None)
        sides = own() if own else held_out_indices([labels_of(info) for info in infos])
        train, val = (torch.tensor(side, device=features.device) for side in sides)
        chosen, best = self.candidates[0], -float("inf")
        offered = self.scores(features[train], targets[train], classes, features[val], self.candidates)
        for candidate, scores in zip(self.candidates, offered, strict=True):
            metrics = self._evaluate(scores, [infos[i] for i in sides[1]])
            if len(metrics) > 1:
                raise ConfigError(
                    f"{type(self).__name__} chooses {self.parameter} by the evaluator's metric, but there are "
                    f"{len(metrics)} ({', '.join(metrics)}); leave one, such as Accuracy's topk=(1,)"
                )
            (value,) = metrics.values()
            self.runner.logger.info(f"{self.name}: {self.parameter} {candidate:.4g}, held out {value:.3f}")
            if value >= best:
                chosen, best = candidate, value
        return chosen, best

    def _evaluate(self, scores: Tensor, infos: Sequence[dict[str, Any]]) -> dict[str, float]:
        """The evaluator's metrics; every process hands in its share, padded as a sampler does."""
        rank, processes = get_dist_info()
        scores = scores.cpu().float()
        share = [i % len(infos) for i in range(rank, -(-len(infos) // processes) * processes, processes)]
        samples = [DataSample().set_gt_label(labels_tensor(infos[i])).set_pred_score(scores[i]) for i in share]
        evaluator = self.runner.val_loop.evaluator
        evaluator.process(data_samples=samples, data_batch=None)
        return evaluator.evaluate(len(infos))


def labels_tensor(info: dict[str, Any]) -> Tensor:
    """The classes of a picture as int64 (n,); n is 0 for a picture of several labels that has none."""
    return torch.tensor(labels_of(info), dtype=torch.int64)


def targets_of(infos: Sequence[dict[str, Any]], classes: int, several: bool) -> Tensor:
    """Labels as :func:`mixedae.engine.probes.logistic.log_loss` takes them.

    Args:
        infos: annotations of the pictures.
        classes: C.
        several: whether a picture may have any number of labels.

    Returns:
        int64 (N,), or bool (N, C).
    """
    if not several:
        return torch.tensor([labels_of(info)[0] for info in infos])
    targets = torch.zeros(len(infos), classes, dtype=torch.bool)
    for row, info in zip(targets, infos, strict=True):
        row[labels_of(info)] = True
    return targets


@LOOPS.register_module()
class LinearProbeLoop(FrozenLoop):
    """Logistic regression by L-BFGS; the strength of its L2 penalty is chosen.

    Args:
        runner: see :class:`FrozenLoop`.
        dataloader: see there.
        l2: strengths, strongest first; 1 / C of scikit-learn.
        cache: see there.
        pool: see there.
    """

    name, parameter = "linear", "l2"

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        l2: Sequence[float] = L2,
        cache: str = FOLDER,
        pool: str = "mean",
    ) -> None:
        super().__init__(runner, dataloader, l2, cache, pool)

    def scores(
        self, features: Tensor, targets: Tensor, classes: int, queries: Tensor, candidates: Sequence[float]
    ) -> Iterator[Tensor]:
        """Probabilities of the classes, or log-odds for several labels; see :meth:`FrozenLoop.scores`.

        mmpretrain's accuracies count a score of zero or less as no prediction, so that logits would not do: a picture
        whose best log-odds are negative was counted as wrong.
        """
        model = None
        for l2 in candidates:
            model = fit(features, targets, l2, classes, model)
            if model.gradient > TOLERANCE:
                self.runner.logger.warning(
                    f"linear: l2 {l2:.4g}: after {model.iterations} iterations the gradient is {model.gradient:.2g}, "
                    f"not {TOLERANCE:g}"
                )
            logits = model.logits(queries)
            yield logits if targets.ndim == 2 else logits.softmax(dim=1)


@LOOPS.register_module()
class KNNProbeLoop(FrozenLoop):
    """The weighted vote of the nearest training pictures; how many of them is chosen.

    Args:
        runner: see :class:`FrozenLoop`.
        dataloader: see there.
        ks: numbers of neighbours.
        temperature: of the votes; several only without a choice.
        cache: see :class:`FrozenLoop`.
        choose: False is DINO's protocol for ImageNet: no k is chosen, the metrics are ``knn/top1_k<k>`` for each, at
            the first temperature. The features of millions of pictures are then neither kept on disk nor sent to every
            process. With several temperatures ``knn/best`` is the highest accuracy of all, as efficient probing
            reports it: chosen on the pictures that it is measured on, and so too high.
        pool: see :class:`FrozenLoop`.
    """

    name, parameter = "knn", "k"

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        ks: Sequence[int] = KS,
        temperature: float | Sequence[float] = TEMPERATURE,
        cache: str = FOLDER,
        choose: bool = True,
        pool: str = "mean",
    ) -> None:
        super().__init__(runner, dataloader, ks, cache, pool)
        self.temperatures = tuple(temperature) if isinstance(temperature, Sequence) else (temperature,)
        if not self.temperatures or min(self.temperatures) <= 0 or (choose and len(self.temperatures) > 1):
            raise ConfigError(
                f"KNNProbeLoop: temperature={temperature} and choose={choose} found; expected one above 0, or several "
                "with choose=False"
            )
        self.ks, self.choose = tuple(ks), choose
        check_ks(self.ks, len(self.dataloader.dataset))

    def run(self) -> nn.Module:
        """Choose, then test once (:meth:`FrozenLoop.run`); or measure every k.

        Returns:
            The model, unchanged.
        """
        if self.choose:
            return super().run()
        runner = self.runner
        runner.call_hook("before_train")
        metrics = measure(runner.model, self.dataloader, runner.val_dataloader, self.ks, self.temperatures, self.pool)
        runner.call_hook("after_val_epoch", metrics=metrics)
        runner.call_hook("after_train")
        return runner.model

    def scores(
        self, features: Tensor, targets: Tensor, classes: int, queries: Tensor, candidates: Sequence[float]
    ) -> Iterator[Tensor]:
        """Votes; see :meth:`FrozenLoop.scores`."""
        ks = [int(k) for k in candidates]
        votes = [*knn_votes(features, targets, queries, classes, ks, self.temperatures[0])]
        yield from (torch.cat(parts) for parts in zip(*votes, strict=True))

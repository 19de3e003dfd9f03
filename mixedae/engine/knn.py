"""k-NN classification on frozen features: a hook that watches pre-training, and a loop that only measures.

References:
    Instance discrimination, arXiv 1805.01978, section 3.4 (votes weighted by exp(cosine / temperature)); DINO,
    facebookresearch/dino ``eval_knn.py`` (k of 10, 20, 100, 200; temperature 0.07).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import broadcast_object_list, collect_results, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixedae.engine.quiet import NOTICE
from mixedae.errors import ConfigError
from mixedae.registry import HOOKS, LOOPS

KS = (10, 20, 100, 200)
TEMPERATURE = 0.07


def knn_accuracies(
    bank: Tensor,
    labels: Tensor,
    queries: Tensor,
    truth: Tensor,
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
    chunk: int = 256,
) -> dict[str, float]:
    """Top-1 accuracy of the weighted vote of each query's k nearest neighbours by cosine similarity.

    Args:
        bank: features (N, D) of labelled pictures; need not be normalised.
        labels: int64 (N,).
        queries: features (M, D).
        truth: int64 (M,).
        ks: how many neighbours vote; more than N are N.
        temperature: a neighbour votes with exp(cosine / temperature).
        chunk: queries that are compared at a time.

    Returns:
        ``knn/top1_k<k>`` for each k, in per cent.
    """
    bank, num_classes = F.normalize(bank.float(), dim=1), int(labels.max()) + 1
    right = dict.fromkeys(ks, 0)
    for part, answer in zip(queries.float().split(chunk), truth.split(chunk), strict=True):
        cosine = F.normalize(part, dim=1) @ bank.T
        near, index = cosine.topk(min(max(ks), len(bank)), dim=1)
        weights = ((near - near[:, :1]) / temperature).exp()  # the largest is 1: nothing overflows
        for k in ks:
            votes = torch.zeros(len(part), num_classes, device=bank.device)
            votes.scatter_add_(1, labels[index[:, :k]], weights[:, :k])
            right[k] += int((votes.argmax(1) == answer).sum())
    return {f"knn/top1_k{k}": 100.0 * right[k] / len(truth) for k in ks}


@torch.no_grad()
def features_of(model: nn.Module, loader: DataLoader) -> tuple[Tensor, Tensor]:
    """One feature a picture: the mean patch token, or what else the backbone's ``out_type`` gives.

    Args:
        model: with ``backbone`` and ``data_preprocessor``, wrapped or not; its mode is restored.
        loader: pictures with labels, in order; every process may have its share.

    Returns:
        Features (N, D) and labels (N,) on the CPU, in the dataset's order; empty on all but the main process.
    """
    module: Any = model.module if is_model_wrapper(model) else model
    was_training = module.training
    module.eval()
    found: list[tuple[Tensor, int]] = []
    for batch in loader:
        data = module.data_preprocessor(batch, False)
        tokens = module.backbone(data["inputs"])[-1]
        if tokens.ndim == 3:
            tokens = tokens[:, module.backbone.num_extra_tokens :].mean(1)
        labels = [int(sample.gt_label) for sample in data["data_samples"]]
        found += zip(tokens.float().cpu(), labels, strict=True)
    module.train(was_training)
    everything = collect_results(found, len(loader.dataset), "cpu")  # type: ignore[arg-type]
    if not everything:
        return torch.empty(0), torch.empty(0, dtype=torch.int64)
    return torch.stack([feature for feature, _ in everything]), torch.tensor([label for _, label in everything])


def measure(
    model: nn.Module, bank: DataLoader, queries: DataLoader, ks: Sequence[int], temperature: float
) -> dict[str, float]:
    """k-NN accuracy of a model's features; the same numbers on all processes.

    Args:
        model: see :func:`features_of`.
        bank: labelled pictures that vote.
        queries: pictures to classify.
        ks: see :func:`knn_accuracies`.
        temperature: see there.

    Returns:
        Metrics, in per cent.
    """
    features, labels = features_of(model, bank)
    asked, truth = features_of(model, queries)
    metrics: list[Any] = [None]
    if is_main_process():
        device = next(model.parameters()).device
        features, labels, asked, truth = (t.to(device) for t in (features, labels, asked, truth))
        metrics[0] = knn_accuracies(features, labels, asked, truth, ks, temperature)
    broadcast_object_list(metrics)
    return metrics[0]


@HOOKS.register_module()
class KNNHook(Hook):
    """k-NN accuracy of the encoder while it is pre-trained; a figure to watch, which no weight depends on.

    The metrics go to the log and to ``vis_data``; pre-training itself sees none of these labels.

    Args:
        train_dataloader: config of the labelled pictures that vote, with the test pipeline.
        val_dataloader: config of the pictures to classify.
        interval: epochs between two measurements; the last epoch is always measured.
        ks: numbers of neighbours.
        temperature: of the votes.
    """

    priority = "LOW"

    def __init__(
        self,
        train_dataloader: dict,
        val_dataloader: dict,
        interval: int = 10,
        ks: Sequence[int] = KS,
        temperature: float = TEMPERATURE,
    ) -> None:
        if interval < 1:
            raise ConfigError(f"KNNHook.interval={interval} found; expected at least 1 epoch")
        self.configs = (train_dataloader, val_dataloader)
        self.interval, self.ks, self.temperature = interval, tuple(ks), temperature
        self._loaders: list[DataLoader] = []

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure, when it is time.

        Args:
            runner: the runner.
        """
        if not (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            return
        if not self._loaders:
            fixed = {"sampler": {"type": "DefaultSampler", "shuffle": False}, "collate_fn": {"type": "default_collate"}}
            self._loaders = [runner.build_dataloader({**fixed, **config}) for config in self.configs]
        bank, queries = self._loaders
        metrics = measure(runner.model, bank, queries, self.ks, self.temperature)
        runner.message_hub.update_scalars({name: {"value": value} for name, value in metrics.items()})
        runner.visualizer.add_scalars(metrics, step=runner.epoch + 1)
        listed = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
        runner.logger.info(f"epoch {runner.epoch + 1}: {listed}", extra=NOTICE)


@LOOPS.register_module()
class KNNLoop(BaseLoop):
    """In the place of a train loop: the training pictures vote on the validation pictures, nothing is trained.

    Metrics are reported as a validation's are, so that the run leaves the usual record.

    Args:
        runner: the runner.
        dataloader: of the training pictures, with the test pipeline.
        ks: numbers of neighbours.
        temperature: of the votes.
    """

    epoch = iter = 0
    max_epochs = max_iters = 1

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        ks: Sequence[int] = KS,
        temperature: float = TEMPERATURE,
    ) -> None:
        super().__init__(runner, dataloader)
        self.ks, self.temperature = tuple(ks), temperature

    def run(self) -> nn.Module:
        """Measure.

        Returns:
            The model, unchanged.
        """
        runner = self.runner
        runner.call_hook("before_train")
        metrics = measure(runner.model, self.dataloader, runner.val_dataloader, self.ks, self.temperature)
        runner.call_hook("after_val_epoch", metrics=metrics)
        runner.call_hook("after_train")
        return runner.model

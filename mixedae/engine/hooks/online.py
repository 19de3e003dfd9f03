"""The quality of the encoder while it is pre-trained, on a few hundred fixed pictures. It only watches."""

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mixedae.engine.console import NOTICE
from mixedae.engine.hooks.collapse import signs_of
from mixedae.engine.probes.features import features_of
from mixedae.engine.probes.knn import TEMPERATURE, check_ks, knn_accuracies, labels_of
from mixedae.engine.probes.ridge import fit_ridge
from mixedae.errors import ConfigError
from mixedae.ops.self_distillation import effective_rank
from mixedae.records import online_scalar
from mixedae.registry import HOOKS


class Sample(Dataset):
    """A fixed part of a set of pictures, drawn once.

    Args:
        dataset: of mmpretrain, or around one.
        pictures: how many at most.
        seed: of the draw.
    """

    def __init__(self, dataset: Any, pictures: int, seed: int = 0) -> None:
        self.dataset = dataset
        draw = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
        self.indices = sorted(draw[:pictures].tolist())

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def get_data_info(self, index: int) -> dict[str, Any]:
        """What is known of a picture.

        Args:
            index: in the sample.
        """
        return self.dataset.get_data_info(self.indices[index])


@HOOKS.register_module()
class OnlineProbeHook(Hook):
    """k-NN accuracy, a linear probe in closed form and RankMe of the encoder that is handed on, every n epochs.

    Pictures are labelled, fixed, whole and unmixed; pre-training sees neither them nor their labels through this hook,
    and no weight depends on it. After the first epoch it measures, and chooses n such that it takes at most ``share``
    of the time; n is logged. The last epoch is always measured. The figures go to the log, to the message hub and to
    the scalars as ``online/knn`` (per cent), ``online/linear`` (per cent) and ``online/rankme``. A collapse is told.

    The probes are :func:`mixedae.engine.probes.knn.knn_accuracies` and
    :func:`mixedae.engine.probes.ridge.fit_ridge` on the mean of the patches; RankMe (arXiv 2210.02885) is that of the
    asked pictures' features about their mean. On so few pictures a figure has a standard error of two points or more:
    they show a course, and are no results.

    Args:
        val_dataloader: config of the pictures that are asked for, with the test pipeline.
        train_dataloader: config of the labelled pictures that vote and that the linear probe is fitted to. Without it
            labels are not read and RankMe is measured alone.
        pictures: how many of each set, drawn once.
        share: of the time of training.
        k: neighbours.
    """

    priority = "LOW"

    def __init__(
        self,
        val_dataloader: dict,
        train_dataloader: dict | None = None,
        pictures: int = 500,
        share: float = 0.02,
        k: int = 20,
    ) -> None:
        if pictures < 2 or not 0 < share <= 1 or k < 1:
            raise ConfigError(
                f"OnlineProbeHook: pictures={pictures}, share={share}, k={k} found; expected two pictures at least, a "
                "share above 0 and at most 1, and one neighbour at least"
            )
        self.configs = [val_dataloader, *([train_dataloader] if train_dataloader else [])]
        self.pictures, self.share, self.k = pictures, share, k
        self.interval: int | None = None
        self._loaders: list[DataLoader] = []
        self._began = 0.0
        self._told = False

    def before_train(self, runner: Runner) -> None:
        """Find the pictures, so that what is missing is told before training.

        Args:
            runner: the runner.
        """
        fixed = {"sampler": {"type": "DefaultSampler", "shuffle": False}, "collate_fn": {"type": "default_collate"}}
        self._loaders = []
        for config in self.configs:
            # With a seed of their own; without one a sampler would draw it from the generator of training.
            dataset: Any = runner.build_dataloader({**fixed, **config}, seed=0).dataset
            sampled = {**fixed, **config, "dataset": Sample(dataset, self.pictures)}
            self._loaders.append(runner.build_dataloader(sampled, seed=0))
        if len(self._loaders) > 1:
            check_ks((self.k,), len(self._loaders[1].dataset))  # type: ignore[arg-type]

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock.

        Args:
            runner: unused.
        """
        self._began = time.perf_counter()

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure, when it is time.

        Args:
            runner: the runner.
        """
        done = runner.epoch + 1
        due = self.interval is None or done % self.interval == 0
        if not due and not self.is_last_train_epoch(runner):
            return
        began = time.perf_counter()
        metrics = self.measure(runner)
        if self.interval is None:
            self._choose(runner, began - self._began, time.perf_counter() - began)
        runner.message_hub.update_scalars({name: {"value": value} for name, value in metrics.items()})
        runner.visualizer.add_scalars({**metrics, "epoch": done}, step=done)
        listed = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
        runner.logger.info(f"epoch {done}: {listed}", extra=NOTICE)
        signs = signs_of(metrics[online_scalar("rankme")], {})
        if signs and not self._told:
            self._told = True
            runner.logger.warning(f"epoch {done}: the run has collapsed: {'; '.join(signs)}", extra=NOTICE)

    def _choose(self, runner: Runner, epoch: float, probe: float) -> None:
        """Choose n on the main process, for all."""
        chosen: list[Any] = [interval_for(epoch, probe, self.share)]
        broadcast_object_list(chosen)
        self.interval = chosen[0]
        runner.logger.info(
            f"online probe: it takes {probe:.1f} s and an epoch {epoch:.1f} s, so it runs every {self.interval} epochs "
            f"(at most {100 * self.share:g} % of the time) and after the last",
            extra=NOTICE,
        )

    def measure(self, runner: Runner) -> dict[str, float]:
        """The figures, the same on all processes.

        Args:
            runner: whose model is measured.
        """
        with torch.random.fork_rng(devices=[]):  # a loader draws a seed whenever it starts
            features = [features_of(runner.model, loader) for loader in self._loaders]
        metrics: list[Any] = [None]
        if is_main_process():
            labels = [labels_of(loader.dataset) for loader in self._loaders] if len(self._loaders) > 1 else []
            metrics[0] = figures(features, labels, self.k)
        broadcast_object_list(metrics)
        return metrics[0]


def figures(features: Sequence[Tensor], labels: Sequence[Tensor], k: int) -> dict[str, float]:
    """What is measured.

    Args:
        features: (M, D) of the pictures that are asked for, and (N, D) of those that vote, if labels are known.
        labels: int64 (M,) and (N,), or nothing.
        k: neighbours.
    """
    asked = features[0]
    found = {online_scalar("rankme"): effective_rank(asked - asked.mean(dim=0))}
    if labels:
        truth, known = labels
        bank = features[1]
        (accuracy,) = knn_accuracies(bank, known, asked, truth, (k,), TEMPERATURE).values()
        classes = int(max(truth.max(), known.max())) + 1
        guessed = fit_ridge(bank, known, classes).scores(asked).argmax(dim=1)
        found[online_scalar("knn")] = accuracy
        found[online_scalar("linear")] = 100 * (guessed == truth).double().mean().item()
    return found


def interval_for(epoch: float, probe: float, share: float) -> int:
    """The smallest number of epochs of which a probe is at most a share.

    Args:
        epoch: seconds of training.
        probe: seconds of one measurement.
        share: of the time of training.
    """
    return max(1, math.ceil(probe / (share * max(epoch, 1e-9))))

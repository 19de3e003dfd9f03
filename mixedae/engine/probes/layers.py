"""Every layer of an encoder, probed in one pass: k-NN and a linear probe in closed form."""

from collections.abc import Iterator, Sequence

import torch
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixedae.engine.probes.features import FOLDER
from mixedae.engine.probes.frozen import FrozenLoop, targets_of
from mixedae.engine.probes.knn import TEMPERATURE, check_ks, knn_accuracies
from mixedae.engine.probes.record import leave_on_record
from mixedae.engine.probes.ridge import fit_ridge
from mixedae.errors import ConfigError
from mixedae.records import probe_scalar
from mixedae.registry import LOOPS


@LOOPS.register_module()
class LayerProbeLoop(FrozenLoop):
    """k-NN and ridge regression on each layer that the backbone gives (``out_indices``); nothing is chosen by hand.

    Pictures are encoded once. Metrics are ``layers/knn_<i>`` and ``layers/linear_<i>`` in per cent, layers from 1; the
    report draws them. The penalty of ridge regression is chosen for each layer by leaving one training picture out.

    Args:
        runner: see :class:`FrozenLoop`.
        dataloader: see there.
        k: neighbours.
        cache: see there.
        pool: see there.

    Raises:
        ConfigError: fewer training pictures than neighbours, or one layer only.
    """

    name, parameter = "layers", "k"

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        k: int = 20,
        cache: str = FOLDER,
        pool: str = "mean",
    ) -> None:
        super().__init__(runner, dataloader, (k,), cache, pool)
        self.k = k
        check_ks((k,), len(self.dataloader.dataset))  # type: ignore[arg-type]

    def run(self) -> nn.Module:
        """Encode once, probe each layer.

        Returns:
            The model, unchanged.
        """
        runner = self.runner
        runner.call_hook("before_train")
        features, queries, infos, test_infos = self.encoded()
        classes = int(runner.cfg.model.head.num_classes)
        known, truth = (targets_of(part, classes, several=False) for part in (infos, test_infos))
        layers = [int(index) % runner.model.backbone.num_layers + 1 for index in runner.model.backbone.out_indices]
        if len(layers) < 2:
            raise ConfigError("LayerProbeLoop found one layer; give several by model.backbone.out_indices")
        metrics: dict[str, float] = {}
        for layer, bank, asked in by_layer(layers, features, queries):
            (accuracy,) = knn_accuracies(bank, known, asked, truth, (self.k,), TEMPERATURE).values()
            guessed = fit_ridge(bank, known, classes).scores(asked).argmax(dim=1)
            metrics[probe_scalar("knn", layer)] = accuracy
            metrics[probe_scalar("linear", layer)] = 100 * (guessed == truth).double().mean().item()
        leave_on_record(runner, self.name, lambda: metrics)
        return runner.model


def by_layer(layers: Sequence[int], *features: Tensor) -> Iterator[tuple]:
    """Layers that stand side by side, one after the other.

    Args:
        layers: their numbers.
        *features: (N, L * D) each.

    Yields:
        The number and each one's (N, D).
    """
    parts = [torch.chunk(one, len(layers), dim=1) for one in features]
    yield from zip(layers, *parts, strict=True)

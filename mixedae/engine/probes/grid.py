"""What trains a grid of probes: a learning rate and decay for each, and the choice of one on held-out pictures."""

from typing import Any

import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mixedae.engine.console import NOTICE
from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError
from mixedae.registry import HOOKS, OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ProbeGridConstructor(DefaultOptimWrapperConstructor):
    """Parameter groups of ``mixedae.AttentiveProbeHead``: each probe its learning rate and decay; biases do not decay.

    A group's rate is the optimizer's ``lr`` times the probe's; schedulers multiply all alike. The optimizer's ``lr`` is
    batch / 256 where the grid is for 256 pictures.

    Args:
        optim_wrapper_cfg: of the optimizer wrapper; needs ``optimizer`` with an ``lr``.
        paramwise_cfg: nothing; the grid is the head's.

    Raises:
        ConfigError: there is something in ``paramwise_cfg``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg:
            raise ConfigError(f"paramwise_cfg={dict(paramwise_cfg)} found; the grid stands in model.head: leave it out")
        super().__init__(optim_wrapper_cfg, {"grid": "the head's"})  # mmengine passes over add_params without one

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Put every trainable parameter into a group.

        Args:
            params: list to extend, in place.
            module: the whole model.
            **kwargs: unused; mmengine's signature.

        Raises:
            ConfigError: something else than probes would train.
        """
        head: Any = module.head
        if not hasattr(head, "grid"):
            raise ConfigError(
                f"ProbeGridConstructor found a {type(head).__name__}; expected mixedae.AttentiveProbeHead"
            )
        others = [n for n, p in module.named_parameters() if p.requires_grad and not n.startswith("head.probes.")]
        if others:
            raise ConfigError(
                f"{others[0]} and {len(others) - 1} more parameters would train beside the probes; freeze the backbone "
                "(model.backbone.trainable_blocks=0)"
            )
        for index, ((rate, decay), probe) in enumerate(zip(head.grid, head.probes, strict=True)):
            for decayed in (True, False):
                chosen = {n: p for n, p in probe.named_parameters() if n.endswith("bias") != decayed}
                if chosen:
                    params.append(
                        {
                            "params": [*chosen.values()],
                            "param_names": [f"head.probes.{index}.{name}" for name in chosen],
                            "lr": self.base_lr * rate,
                            "lr_scale": rate,
                            "weight_decay": decay if decayed else 0.0,
                        }
                    )
        MMLogger.get_current_instance().info(
            f"{len(head.grid)} probes, side by side, in {len(params)} parameter groups"
        )


@HOOKS.register_module()
class ChooseProbeHook(Hook):
    """Chooses the probe that is best on held-out training pictures, whenever a validation follows.

    It acts before the checkpoint is written, so that this holds the choice. The validation's metrics get
    ``attentive/lr`` and ``attentive/weight_decay``, the point of the grid, and ``attentive/held_out``, its accuracy. A
    point at the edge of the grid is told.

    Args:
        dataloader: config of the held-out pictures, with the test pipeline.
    """

    priority = "NORMAL"

    def __init__(self, dataloader: dict) -> None:
        self.config = dataloader
        self._loader: DataLoader | None = None
        self._found: dict[str, float] = {}

    def before_train(self, runner: Runner) -> None:
        """Find the pictures, so that what is missing is told before training.

        Args:
            runner: the runner.
        """
        fixed = {"sampler": {"type": "DefaultSampler", "shuffle": False}, "collate_fn": {"type": "default_collate"}}
        self._loader = runner.build_dataloader({**fixed, **self.config}, seed=0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Choose, if the epoch is validated.

        Args:
            runner: the runner.
        """
        interval = getattr(runner.train_loop, "val_interval", 1)
        if not (self.every_n_epochs(runner, interval) or self.is_last_train_epoch(runner)):
            return
        head: Any = unwrapped(runner.model).head
        with torch.random.fork_rng(devices=[]):
            right = self.count(runner)
        rates = [100 * count / len(self._loader.dataset) for count in right]  # type: ignore[union-attr, arg-type]
        best = max(range(len(rates)), key=rates.__getitem__)
        head.chosen.fill_(best)
        rate, decay = head.grid[best]
        self._found = {"attentive/lr": rate, "attentive/weight_decay": decay, "attentive/held_out": rates[best]}
        for (one, other), value in zip(head.grid, rates, strict=True):
            runner.logger.info(f"attentive: lr {one:g}, weight decay {other:g}: held out {value:.2f}")
        for name, value, place in (("learning rate", rate, 0), ("weight decay", decay, 1)):
            values = sorted({point[place] for point in head.grid})
            if len(values) > 2 and value in (values[0], values[-1]):
                runner.logger.info(
                    f"attentive: the best {name}, {value:g}, is at the edge of the grid {values}", extra=NOTICE
                )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add the choice to the metrics.

        Args:
            runner: unused.
            metrics: of the validation, which are changed.
        """
        if metrics is not None:
            metrics.update(self._found)

    @torch.no_grad()
    def count(self, runner: Runner) -> list[int]:
        """How many held-out pictures each probe gets right, over all processes; padding counts once.

        Args:
            runner: whose model is measured.
        """
        assert self._loader is not None
        module = unwrapped(runner.model)
        was_training = module.training
        module.eval()
        rank, processes = get_dist_info()
        total, seen = len(self._loader.dataset), 0  # type: ignore[arg-type]
        right = torch.zeros(len(module.head.grid), dtype=torch.int64, device=next(module.parameters()).device)
        for batch in self._loader:
            data = module.data_preprocessor(batch, False)
            truth = torch.cat([sample.gt_label for sample in data["data_samples"]])
            places = (torch.arange(len(truth), device=truth.device) + seen) * processes + rank
            seen += len(truth)
            scores = torch.stack(module.head.every(module.backbone(data["inputs"])))
            right += ((scores.argmax(dim=-1) == truth) & (places < total)).sum(dim=1)
        module.train(was_training)
        all_reduce(right)
        return right.tolist()

"""DINO: a student predicts, from every crop of a picture, what its own running average says of two large crops.

References:
    DINO, arXiv 2104.14294, section 3 and algorithm 1; facebookresearch/dino ``main_dino.py``.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
import torch.distributed as dist
from mmengine.model import ModuleDict
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from torch import Tensor, nn

from mixedae.errors import ConfigError, ImageSizeError
from mixedae.nodes import crop_sizes, image_size, patch_side, walk
from mixedae.ops.self_distillation import centred_softmax, cosine, entropy, moved_centre, view_loss
from mixedae.registry import MODELS


def mean_over_processes(rows: Tensor) -> Tensor:
    """Mean over the first dimension, and over all processes.

    Args:
        rows: (B, K), B the same in each process.
    """
    mean = rows.mean(dim=0)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(mean)
        mean = mean / dist.get_world_size()
    return mean


@MODELS.register_module()
class DINO(BaseSelfSupervisor):
    """Self-distillation with no labels.

    ``backbone`` and ``head`` are the teacher's, which the official code evaluates and transfers take; ``student`` holds
    what is trained. ``mixedae.MethodStepsHook`` in ``custom_hooks`` tells the method where the run is.

    Args:
        backbone: a ``mixedae.MixedAEViT`` with ``out_type='raw'``.
        head: a ``mixedae.DistillationHead``.
        drop_path_rate: stochastic depth of the student; the teacher has none.
        global_views: how many of the first views are global; the teacher sees these only.
        momentum: of the teacher at the first step; it rises to 1 by a cosine.
        centre_momentum: m of Eq. (4).
        student_temperature: tau_s.
        teacher_temperature: tau_t after the warm-up.
        warmup_temperature: tau_t at the first epoch.
        warmup_epochs: epochs in which tau_t rises linearly.
        frozen_epochs: first epochs in which the prototypes are not trained.
        **kwargs: see ``mmpretrain.BaseSelfSupervisor``.

    Raises:
        ConfigError: a backbone that does not give all tokens, or fewer than two global views.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        drop_path_rate: float = 0.1,
        global_views: int = 2,
        momentum: float = 0.996,
        centre_momentum: float = 0.9,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        warmup_temperature: float = 0.04,
        warmup_epochs: int = 0,
        frozen_epochs: int = 1,
        **kwargs: Any,
    ) -> None:
        if backbone.get("out_type") != "raw":
            raise ConfigError(
                f"backbone.out_type={backbone.get('out_type')!r} found; {type(self).__name__} needs 'raw'"
            )
        if global_views < 2:
            raise ConfigError(f"global_views={global_views} found; the views of a picture are compared: at least 2")
        super().__init__(backbone=backbone, head=head, **kwargs)
        student = {**backbone, "drop_path_rate": drop_path_rate}
        self.student = ModuleDict({"backbone": MODELS.build(student), "head": MODELS.build(head)})
        for module in (self.backbone, self.head):
            module.requires_grad_(False)
        self.global_views, self.momentum, self.centre_momentum = global_views, momentum, centre_momentum
        self.student_temperature = student_temperature
        self.temperatures = (warmup_temperature, teacher_temperature, warmup_epochs)
        self.frozen_epochs = frozen_epochs
        self.epoch = 0
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(head["out_dim"]))

    @classmethod
    def check_config(cls, model: Any, loader: Any) -> None:
        """Check that the pipeline gives several views, whose sizes are whole patches.

        Args:
            model: of the config.
            loader: ``train_dataloader``.

        Raises:
            ConfigError: too few views, or no hook that tells the steps.
            ImageSizeError: a crop that patches do not divide, or global crops of another size than the encoder's.
        """
        sizes, patch = crop_sizes(loader), patch_side(model["backbone"])
        views = [
            sum(v) if isinstance(v, list | tuple) else v for _, node in walk(loader) if (v := node.get("num_views"))
        ]
        wanted = model.get("global_views", 2)
        if sum(views) < wanted:
            raise ConfigError(
                f"the training pipeline gives {sum(views) or 1} view(s) of a picture, {cls.__name__} compares at least "
                f"{wanted}: put the crops into a MultiView step"
            )
        for height, width in sizes:
            if height % patch or width % patch:
                raise ImageSizeError(
                    f"a crop of {height} x {width} is not divided into patches of {patch}; the nearest sizes are "
                    f"{height // patch * patch} and {-(-height // patch) * patch}"
                )
        if sizes and sizes[0] != image_size(model["backbone"]):
            raise ImageSizeError(
                f"the first crops are {sizes[0][0]} x {sizes[0][1]}, model.backbone.img_size is "
                f"{image_size(model['backbone'])}; global views have the encoder's size; make the two agree"
            )

    def init_weights(self) -> None:
        """Initialise; the teacher starts as the student."""
        super().init_weights()
        for part in ("backbone", "head"):
            self.get_submodule(part).load_state_dict(self.student[part].state_dict())

    def teacher_temperature(self) -> float:
        """tau_t of this epoch."""
        start, end, epochs = self.temperatures
        return end if self.epoch >= epochs else start + (end - start) * self.epoch / max(epochs - 1, 1)

    def before_step(self, step: int, steps: int, epoch: int) -> None:
        """Note where the run is.

        Args:
            step: optimizer steps that are done.
            steps: of the run.
            epoch: that are done.
        """
        self.epoch = epoch

    def not_trained(self) -> Sequence[nn.Parameter]:
        """Parameters whose gradients the next step leaves out: the prototypes of the first epochs."""
        return [self.student["head"].prototypes] if self.epoch < self.frozen_epochs else []

    @torch.no_grad()
    def after_step(self, step: int, steps: int) -> None:
        """Move the teacher, theta_t = l theta_t + (1 - l) theta_s, l by a cosine from ``momentum`` to 1.

        Args:
            step: optimizer steps that were done before this one.
            steps: of the run.
        """
        keep = cosine(self.momentum, 1.0, step, steps)
        for part in ("backbone", "head"):
            for ours, theirs in zip(
                self.get_submodule(part).parameters(), self.student[part].parameters(), strict=True
            ):
                ours.mul_(keep).add_(theirs.detach(), alpha=1 - keep)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The teacher's tokens.

        Args:
            inputs: (B, C, H, W).
        """
        return self.backbone(inputs)

    def cls_logits(self, views: Sequence[Tensor]) -> list[Tensor]:
        """The student's logits of [CLS] for each view; views of one size go through the encoder together.

        Args:
            views: (B, C, H, W) each.

        Returns:
            (B, K) each.
        """
        tokens = [
            self.student["backbone"](torch.cat(same))[0][:, 0]
            for _, group in groupby(views, key=lambda view: view.shape[-2:])
            for same in [list(group)]
        ]
        return list(self.student["head"](torch.cat(tokens)).chunk(len(views)))

    def loss(self, inputs: Sequence[Tensor], data_samples: list | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Eq. (3), and what tells of a collapse.

        Args:
            inputs: views of B pictures, (B, C, H, W) each, the global ones first.
            data_samples: unused.

        Returns:
            ``loss_cls``, and the entropies of :meth:`watched`.

        Raises:
            ConfigError: fewer views than ``global_views``.
        """
        views = check_views(inputs, self.global_views)
        with torch.no_grad():
            logits = self.head(self.backbone(torch.cat(views[: self.global_views]))[0][:, 0])
        targets = centred_softmax(logits, self.centre, self.teacher_temperature())
        loss = view_loss(targets.chunk(self.global_views), self.cls_logits(views), self.student_temperature)
        self.centre.copy_(moved_centre(self.centre, mean_over_processes(logits), self.centre_momentum))
        return {"loss_cls": loss, **self.watched(targets)}

    @staticmethod
    def watched(targets: Tensor) -> Mapping[str, Tensor]:
        """Numbers for the log: a collapse onto one prototype or onto all alike shows in them.

        Args:
            targets: (V*B, K).

        Returns:
            ``teacher_entropy``, of one picture on average, and ``teacher_spread``, of the mean distribution; both
            divided by log K. Entropy 1: all prototypes alike. Spread 0: one prototype for all pictures.
        """
        most = math.log(targets.shape[-1])
        return {
            "teacher_entropy": entropy(targets).mean() / most,
            "teacher_spread": entropy(targets.mean(dim=0)) / most,
        }


def check_views(inputs: Any, wanted: int) -> list[Tensor]:
    """Views of a batch.

    Args:
        inputs: of the model.
        wanted: least number.

    Raises:
        ConfigError: one tensor, or fewer.
    """
    if isinstance(inputs, Tensor) or len(inputs) < wanted:
        found = 1 if isinstance(inputs, Tensor) else len(inputs)
        raise ConfigError(f"{found} view(s) of each picture found; expected {wanted} at least: a MultiView step")
    return list(inputs)

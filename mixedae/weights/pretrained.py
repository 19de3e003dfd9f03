"""The initialisers that configs name: ``init_cfg=dict(type='mixedae.PretrainedViT', checkpoint=...)``."""

from collections.abc import Sequence

from mmengine.logging import MMLogger
from mmengine.model import update_init_info
from torch import nn

from mixedae.errors import ConfigError, WeightsError
from mixedae.registry import WEIGHT_INITIALIZERS
from mixedae.weights.loading import load_backbone

OPTION = "model.backbone.init_cfg.checkpoint"


@WEIGHT_INITIALIZERS.register_module()
class PretrainedViT:
    """Strict loading of a pre-trained ViT, see :func:`mixedae.weights.load_backbone`.

    It must run after every other initialisation; ``MixedAEViT.init_weights`` ensures that. In distributed training
    every process reads the file and raises its own errors.

    Args:
        checkpoint: a file, or ``random`` for the baseline without pre-training; None is an error at run time, so that
            no transfer runs from random weights by oversight.
        prefix: where the checkpoint keeps its backbone, if it is of a whole model.
        allow_missing: patterns of tensors that may be new, beyond the recipe's usual ones.
        map_location: the device to read to.
        channels: ``same``, or ``average`` for a model that takes other channels than the checkpoint's.
        part: ``ema``, ``teacher``, ``student`` or another name in a file that holds several sets of weights.

    Raises:
        ConfigError: another word for the channels.
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        prefix: str = "backbone.",
        allow_missing: Sequence[str] = (),
        map_location: str = "cpu",
        channels: str = "same",
        part: str = "",
    ) -> None:
        if channels not in ("same", "average"):
            raise ConfigError(f"init_cfg.channels={channels!r} found; expected 'same' or 'average'")
        self.checkpoint, self.prefix = checkpoint, prefix or ""
        self.allow_missing, self.map_location = tuple(allow_missing), map_location
        self.channels, self.part = channels, part

    @staticmethod
    def not_given() -> WeightsError:
        """The error that says how to give a checkpoint."""
        return WeightsError(
            f"no pre-trained weights were given: pass --cfg-options {OPTION}=FILE, or {OPTION}=random for the baseline "
            "without pre-training"
        )

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``, log the report and keep it as ``module.load_report``.

        Args:
            module: a backbone.

        Raises:
            WeightsError: no checkpoint was given, or it does not fit.
        """
        logger = MMLogger.get_current_instance()
        if not self.checkpoint:
            raise self.not_given()
        if self.checkpoint == "random":
            logger.info("backbone weights: random initialisation, as asked for", extra={"notice": True})
            return
        options = (self.allow_missing, self.prefix, self.map_location, self.channels, self.part)
        report = load_backbone(module, self.checkpoint, *options)
        module.load_report = report  # type: ignore[assignment]  # nn.Module types its attributes as tensors and modules
        logger.info(str(report), extra={"notice": True})  # a notice is shown on a quiet console too
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=f"{type(self).__name__}: loaded from {self.checkpoint}")


@WEIGHT_INITIALIZERS.register_module()
class PretrainedResNet(PretrainedViT):
    """The same for a ResNet: checkpoints of MoCo, SimCLR, BYOL and SwAV, torchvision's and mmpretrain's."""

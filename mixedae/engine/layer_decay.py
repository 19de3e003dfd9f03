"""Learning rate and weight decay of each parameter, for mmpretrain, mmseg and mmdet alike.

No constructor of the three libraries serves a plain ViT in all of them: mmpretrain's asks the whole model for its
depths, mmseg's and mmdet's know their own backbones by class name, and ViTDet's decays nothing at all for
mmpretrain's parameter names, without a word. Here the backbone is asked, and a decay that decays nothing is an error.

References:
    BEiT's layer decay in MAE's form, facebookresearch/mae ``util/lr_decay.py``; timm's ``add_weight_decay`` (0.3.2),
    which official MAE pre-trains with; the code behind the published ADE20K and COCO numbers (BEiT, iBOT, implus).
"""

from collections.abc import Sequence
from typing import Any

from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mixedae.errors import ConfigError, LayerDecayError
from mixedae.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mixedae.wording import nearest

AMP_ONLY = frozenset({"loss_scale", "dtype", "use_fsdp"})
DEFAULTS: dict[str, Any] = {
    "layer_decay_rate": 1.0,
    "no_decay": ("cls_token", "pos_embed"),
    "decay_biases": False,
}
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
"""Exactly these types, as detectron2 has them: its channel norms (LN2d here) are none of them."""


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LearningRateDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    r"""Layer-wise learning rate decay and the weight-decay rules of MAE and of the dense transfers.

    A parameter of layer depth d of D has the learning rate lr * rate\ :sup:`D-1-d`: patch embedding, [CLS] and
    positions have d = 0, block i has d = i + 1, and what follows the blocks (final norms, necks, heads) has scale 1.
    With 12 blocks and 0.65 that is 0.65\ :sup:`13` = 0.0037 for positions and 0.65 for the last block.

    Tensors of at most one dimension and biases are never decayed. Which others are not depends on the recipe:

    - MAE's fine-tuning: [CLS] and position embeddings, ``no_decay=('cls_token', 'pos_embed')``, the default.
    - Official MAE's pre-training: none, ``no_decay=()``: [CLS] and [MASK] tokens are decayed (positions are fixed).
    - The published ADE20K and COCO code: none either, ``no_decay=()``. It means to spare positions, but compares the
      bare name with ``backbone.pos_embed``; the numbers that recipes are checked against come from that code.
    - ViTDet: positions and the norms of PyTorch, ``no_decay=('pos_embed',), decay_biases=True``. Biases and the
      pyramid's and heads' channel norms are decayed (detectron2 ``solver/build.py``, ``weight_decay_norm=0``).

    Schedulers: mmengine multiplies every group's own learning rate, except that ``eta_min`` is the same absolute
    value for all groups. MAE's ``min_lr * lr_scale`` is ``eta_min_ratio = min_lr / lr``.

    A recipe in mixed precision becomes a plain one by ``optim_wrapper.type=OptimWrapper`` alone: what is left of
    AmpOptimWrapper's own settings is ignored, with a line in the log.

    Args:
        optim_wrapper_cfg: of the optimizer wrapper, OptimWrapper or AmpOptimWrapper; needs ``optimizer``.
        paramwise_cfg: ``layer_decay_rate`` (default 1: no decay), ``no_decay``, suffixes of parameter names,
            and ``decay_biases``, see above.

    Raises:
        ConfigError: unknown or impossible value in ``paramwise_cfg``.
        LayerDecayError: when called with a model whose backbone does not tell its depth, or where nothing would decay.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        given = dict(paramwise_cfg or {})
        for key in given.keys() - DEFAULTS.keys():
            raise ConfigError(f"paramwise_cfg has the unknown key `{key}`; {nearest(key, DEFAULTS)}")
        super().__init__(optim_wrapper_cfg, {**DEFAULTS, **given})
        if self.optim_wrapper_cfg.get("type", "OptimWrapper") == "OptimWrapper":
            for key in AMP_ONLY & self.optim_wrapper_cfg.keys():
                MMLogger.get_current_instance().info(f"optim_wrapper.{key} has no use without mixed precision")
                del self.optim_wrapper_cfg[key]
        for key in [key for key in AMP_ONLY & self.optim_wrapper_cfg.keys() if self.optim_wrapper_cfg[key] is None]:
            del self.optim_wrapper_cfg[key]  # a child config's "not given"; AmpOptimWrapper would refuse None
        rate, no_decay = self.paramwise_cfg["layer_decay_rate"], self.paramwise_cfg["no_decay"]
        if not 0 < rate <= 1:
            raise ConfigError(f"layer_decay_rate={rate} found; expected 0 < rate <= 1 (1: no layer decay)")
        if isinstance(no_decay, str) or not isinstance(no_decay, Sequence):
            raise ConfigError(f"no_decay={no_decay!r} found; expected a sequence of name suffixes")
        if self.base_lr is None:
            raise ConfigError("optim_wrapper.optimizer has no lr; give it one")

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Put every trainable parameter of the model into exactly one group of ``params``.

        Groups have ``lr``, ``weight_decay``, and for the record ``lr_scale``, ``name`` and ``param_names``.

        Args:
            params: list to extend, in place.
            module: the whole model.
            **kwargs: unused; mmengine's signature.
        """
        rate: float = self.paramwise_cfg["layer_decay_rate"]
        no_decay = tuple(self.paramwise_cfg["no_decay"])
        base_wd: float = self.base_wd or 0.0
        in_norms = _parameters_of_norms(module) if self.paramwise_cfg["decay_biases"] else None
        groups: dict[tuple[float, float], dict] = {}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            scale = rate ** layers_above(module, name) if rate < 1 else 1.0
            is_1d = parameter.ndim <= 1 or name.endswith(".bias")
            spared = (is_1d if in_norms is None else name in in_norms) or _ends_with(name, no_decay)
            key = (scale, 0.0 if spared else base_wd)
            group = groups.setdefault(key, {"params": [], "param_names": []})
            group["params"].append(parameter)
            group["param_names"].append(name)
        if rate < 1 and all(scale == 1 for scale, *_ in groups):
            raise LayerDecayError(
                f"layer_decay_rate={rate} would decay nothing: no trainable parameter lies below the last layer of "
                f"{type(module).__name__}'s backbone; unfreeze the backbone or set layer_decay_rate=1"
            )
        for (scale, decay), group in sorted(groups.items(), key=lambda item: item[0]):
            group.update(lr=self.base_lr * scale, lr_scale=scale, weight_decay=decay)
            group["name"] = f"lr x {scale:.4g}, weight decay {decay:g}"
            params.append(group)
        self._log(params)

    def _log(self, params: list[dict]) -> None:
        logger = MMLogger.get_current_instance()
        for group in params:
            names = ", ".join(group["param_names"])
            logger.debug(f"parameter group ({group['name']}): {names}")
        scales = [group["lr_scale"] for group in params]
        logger.info(
            f"{sum(len(group['params']) for group in params)} parameters in {len(params)} groups, learning rate scales "
            f"{min(scales):.4g} to {max(scales):.4g}, weight decay spares "
            + ("norms" if self.paramwise_cfg["decay_biases"] else "1-D, bias")
            + "".join(f", {suffix}" for suffix in self.paramwise_cfg["no_decay"])
        )


def layers_above(model: nn.Module, name: str) -> int:
    """How many layers lie above a parameter: the exponent of the layer decay.

    Args:
        model: with a ``backbone`` that has mmpretrain's ``get_layer_depth``, or a bare backbone.
        name: the parameter's name in the model.

    Returns:
        0 for what is not backbone or follows its blocks.

    Raises:
        LayerDecayError: the backbone does not tell its depth.
    """
    has_backbone = isinstance(getattr(model, "backbone", None), nn.Module)
    backbone: Any
    backbone, prefix = (model.backbone, "backbone.") if has_backbone else (model, "")
    if not hasattr(backbone, "get_layer_depth"):
        raise LayerDecayError(
            f"layer decay needs a backbone with get_layer_depth(name, prefix), as mmpretrain's ViT has; found "
            f"{type(backbone).__name__} in {type(model).__name__}; use such a backbone or set layer_decay_rate=1"
        )
    depth, num_depths = backbone.get_layer_depth(name, prefix)
    return int(num_depths - 1 - depth)


def _parameters_of_norms(model: nn.Module) -> set[str]:
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if type(module) in NORMS
        for name, _ in module.named_parameters(recurse=False)
    }


def _ends_with(name: str, suffixes: tuple[str, ...]) -> bool:
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in suffixes)

"""Strict loading of pre-trained ViTs and ResNets, with a report of what happened to every tensor.

mmengine loads with ``strict=False``: a checkpoint of another model or of other shapes leaves the weights random, with
one warning. Here every tensor of the backbone must be found, except those on an allow-list that belongs to the recipe.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mixedae.errors import WeightsError
from mixedae.models.spatial_attention import resize_bias_table
from mixedae.weights.ahead import take_weights
from mixedae.weights.facts import compare_facts
from mixedae.weights.fingerprints import fingerprint
from mixedae.weights.formats import RESNET_MARK, to_backbone, to_resnet
from mixedae.weights.report import LoadReport, listed

ALLOW_MISSING = ("ln2.*", "*.gamma1.*", "*.gamma2.*", "*gamma_[12]", "*relative_position_bias_table", "*.rel_pos_[hw]")
"""What no pre-training has and a transfer may add: MAE's new norm of averaged patch tokens (fc_norm; ``ln2`` in
mmpretrain), LayerScale, and the zero-initialised relative positions of the ADE20K and ViTDet recipes."""

ALLOW_MISSING_RESNET = ("*.num_batches_tracked",)
"""Converted files lack these counts, which BatchNorm with a momentum does not use."""

ALLOW_UNUSED = ("ln1.*", "ln2.*")
"""What a checkpoint may hold although the model has no place for it: final norms that the transfer does not use."""


def load_backbone(
    model: nn.Module,
    path: str | Path,
    allow_missing: Sequence[str] = (),
    prefix: str = "backbone.",
    map_location: str | torch.device = "cpu",
    channels: str = "same",
    part: str = "",
) -> LoadReport:
    """Load pre-trained weights into a ViT or ResNet, all of them or none.

    Position embeddings of another grid are interpolated (bicubic, mmpretrain's ``resize_pos_embed``), and so are tables
    of relative positions (bicubic with aligned corners, as for other inputs than the table's). Files do not say their
    grid: a square number of positions is taken as a square grid, any other number must be the model's own.

    Args:
        model: mmpretrain's ``VisionTransformer`` or ``ResNet`` or a subclass; if it has a ``backbone``, that is
            taken.
        path: see :func:`mixedae.weights.read_state_dict`.
        allow_missing: patterns (fnmatch) of tensors that may be new, beyond ``ALLOW_MISSING``.
        prefix: where the checkpoint keeps its backbone, if it is of a whole model.
        map_location: the device to read to; the weights end up where the model is.
        channels: ``average``: a patch embedding for other channels gives each of the model's their mean, scaled so that
            a grey picture in all of them looks as before. ``same``: it is refused.
        part: of a file that holds several sets of weights, see :func:`mixedae.weights.reading.read_weights`.

    Returns:
        The report.

    Raises:
        WeightsError: a file that cannot be read, another model, depth, width or patch size, another number of heads or
            another activation than the file says, a tensor that only the model or only the file has, or weights that
            are not finite. The model is then unchanged.
    """
    backbone: Any = getattr(model, "backbone", model)
    weights = take_weights(path, map_location, part)
    content = weights.tensors
    target = backbone.state_dict()
    is_resnet = RESNET_MARK in target
    try:
        source, format_name = (to_resnet if is_resnet else to_backbone)(content, prefix)
    except WeightsError as error:
        raise WeightsError(f"checkpoint {path}: {error}") from None
    notes = () if is_resnet else compare_facts(backbone, weights.facts, format_name, path)
    new = dict(source)
    resized: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    if "pos_embed" in source and "pos_embed" in target:
        embed = _fit_pos_embed(source["pos_embed"], "cls_token" in source, backbone, path)
        if embed is not source["pos_embed"]:
            resized["pos_embed"] = (tuple(source["pos_embed"].shape), tuple(embed.shape))
            new["pos_embed"] = embed
    for name, table in _fit_tables(source, backbone).items():
        resized[name], new[name] = (tuple(source[name].shape), tuple(table.shape)), table
    name = "patch_embed.projection.weight"
    if name in source and name in target and source[name].shape[1] != target[name].shape[1]:
        had, has = source[name].shape[1], target[name].shape[1]
        if channels != "average":
            raise WeightsError(
                f"checkpoint {path} is for pictures of {had} channels, the model takes {has}; give its own "
                "model.backbone.in_channels, or let them be averaged (init_cfg.channels=average)"
            )
        new[name] = source[name].mean(1, keepdim=True).repeat(1, has, 1, 1) * (had / has)
        resized[name] = (tuple(source[name].shape), tuple(new[name].shape))
    may_be_new: tuple[str, ...] = ALLOW_MISSING_RESNET if is_resnet else ALLOW_MISSING
    without_use: tuple[str, ...] = () if is_resnet else ALLOW_UNUSED
    if not getattr(backbone, "with_cls_token", True):
        without_use = (*without_use, "cls_token")

    missing = [name for name in target if name not in new]
    allowed = tuple(name for name in missing if _matches(name, (*may_be_new, *allow_missing)))
    extra = [name for name in new if name not in target]
    unused = tuple(name for name in extra if _matches(name, without_use))
    common = [name for name in target if name in new]
    problems = {
        "missing": [name for name in missing if name not in allowed],
        "unexpected": [name for name in extra if name not in unused],
        "of another shape": [
            f"{name} {tuple(new[name].shape)} for {tuple(target[name].shape)}"
            for name in common
            if new[name].shape != target[name].shape
        ],
        "not finite": [name for name in common if not torch.isfinite(new[name]).all()],
    }
    if any(problems.values()):
        tokens = new.get("register_tokens")
        registers = tokens.shape[1] if tokens is not None and tokens.ndim == 3 else 0
        raise WeightsError(
            f"checkpoint {path} ({format_name}) does not fit the model. {listed(problems)}. The file has "
            f"{outline(new)}, the model has {outline(target)}; give a checkpoint with the model's layers, width and "
            f"patch size{_hint(extra, registers)}"
        )
    new = {name: new[name].to(target[name].dtype) for name in common}
    backbone.load_state_dict(new, strict=False)
    matched = tuple(name for name in common if name not in resized)
    kept = source.taken()
    report = LoadReport(
        path=str(path),
        format=format_name + weights.note,
        matched=matched,
        resized=resized,
        allowed_missing=allowed,
        unexpected=unused,
        dropped=tuple(name for name in content if name not in kept),
        fingerprint=fingerprint(new, matched),
        checkpoint_fingerprint=fingerprint(source),
        notes=notes,
    )
    if fingerprint(backbone, matched) != report.fingerprint:
        raise WeightsError(
            f"checkpoint {path}: the model's tensors differ from the file's after loading; this is a bug"
        )
    return report


def _fit_pos_embed(embed: Tensor, has_cls: bool, backbone: Any, path: str | Path) -> Tensor:
    """The checkpoint's position embeddings (1, [1 +] N, D) on the model's grid; the same object if they fit."""
    extra = int(has_cls)
    if has_cls and backbone.num_extra_tokens == 0:
        embed, extra = embed[:, 1:], 0
    shape, grid = backbone.pos_embed.shape, tuple(backbone.patch_embed.init_out_size)
    if embed.ndim != 3 or embed.shape[-1] != shape[-1] or extra != backbone.num_extra_tokens:
        return embed  # the check of shapes tells
    side = math.isqrt(embed.shape[1] - extra)
    is_square = side * side == embed.shape[1] - extra
    if embed.shape == shape and (grid == (side, side) or not is_square):
        return embed
    if not is_square:
        raise WeightsError(
            f"checkpoint {path}: pos_embed has {embed.shape[1] - extra} positions, no square grid, and the model has "
            f"{shape[1] - extra}; expected a square grid, or exactly the model's"
        )
    return resize_pos_embed(embed, (side, side), grid, backbone.interpolate_mode, extra)


def _fit_tables(source: Mapping[str, Tensor], backbone: Any) -> dict[str, Tensor]:
    """Tables of relative positions that are for another square grid than the model's, on the model's."""
    fitted = {}
    for i, layer in enumerate(backbone.layers if hasattr(backbone, "layers") else ()):
        name = f"layers.{i}.attn.relative_position_bias_table"
        own = getattr(layer.attn, "relative_position_bias_table", None)
        if name not in source or own is None or source[name].shape == own.shape:
            continue
        table, prefix = source[name], layer.attn.num_prefix
        side = math.isqrt(len(table) - 3)
        if side * side + 3 != len(table) or side % 2 == 0 or table.shape[1] != own.shape[1]:
            continue  # the check of shapes tells
        half = (side + 1) // 2
        fitted[name] = resize_bias_table(table, (half, half), layer.attn.grid)[: len(own) if not prefix else None]
    return fitted


def _hint(extra: Sequence[str], registers: int) -> str:
    """What a model lacks, where the file's further tensors show it."""
    wanted = {
        "register_tokens": "register tokens: model.backbone.registers=" + str(registers),
        "pre_norm": "a norm before its first layer (CLIP): model.backbone.pre_norm=True "
        "model.backbone.norm_cfg.eps=1e-5 model.backbone.layer_cfgs.act_cfg.type=mmpretrain.QuickGELU",
        "gamma": "LayerScale: model.backbone.layer_scale_init_value=1",
        "relative_position_bias_table": "relative positions: model.backbone.relative_position=table",
        "rel_pos_h": "relative positions of each axis: model.backbone.relative_position=decomposed",
    }
    words = [text for mark, text in wanted.items() if any(mark in name for name in extra)]
    return f"; the file has {' and '.join(words)}" if words else ""


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def outline(tensors: Mapping[str, Tensor]) -> str:
    """Size of a backbone in words, from its tensors in mmpretrain's names: layers, width, patch; a ResNet's blocks."""
    if RESNET_MARK in tensors:
        blocks = {".".join(name.split(".")[:2]) for name in tensors if name.startswith("layer")}
        stages = [sum(block.startswith(f"layer{i}.") for block in blocks) for i in (1, 2, 3, 4)]
        return f"stages of {'-'.join(map(str, stages))} blocks, stem of width {len(tensors.get('conv1.weight', ()))}"
    layers = {name.split(".")[1] for name in tensors if name.startswith("layers.")}
    projection = tensors.get("patch_embed.projection.weight")
    if projection is None or projection.ndim != 4:
        return f"{len(layers)} layers"
    width, _, *patch = projection.shape
    return f"{len(layers)} layers, width {width}, patches of {'x'.join(map(str, patch))}"

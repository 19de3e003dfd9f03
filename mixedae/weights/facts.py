"""What tensors do not say: number of heads, the norms' eps, the activation; from the config that came with a file.

A wrong number of heads gives wrong features without an error, so a model's own is compared with the file's wherever a
file says it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixedae.errors import WeightsError

HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1536: 24}
"""Number of heads of the usual ViTs (Ti, S, B, L, H, g, G) by width, which a state dict does not tell."""

MOCO_V3_HEADS = {384: 12}
"""MoCo v3's ViT-S has twice as many (facebookresearch/moco-v3 ``vits.py``: vit_small)."""

EPS, CLIP_EPS = 1e-6, 1e-5
"""Of LayerNorms: mmpretrain's and timm's ViTs, and CLIP's, which are those with a norm before the first layer."""

BESIDE = re.compile(r"(model|pytorch_model).*")
"""Files of Hugging Face's hub, whose ``config.json`` stands beside them."""


@dataclass(frozen=True)
class Facts:
    """Of a model, as its file or the config beside it says; None is unknown.

    Attributes:
        heads: of each layer.
        eps: of the LayerNorms.
        activation: of the MLPs: ``gelu``, ``quick_gelu``, or another name.
        source: where this was found; empty if nowhere.
        run: settings of the run of this project that wrote the file, values by dotted names; else empty.
    """

    heads: int | None = None
    eps: float | None = None
    activation: str | None = None
    source: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)


def facts_of(path: Path, content: Any) -> Facts:
    """Find what is said about a checkpoint's model.

    Args:
        path: of the checkpoint; ``config.json`` is looked for beside files that are called as on Hugging Face's hub.
        content: of the checkpoint, as read.
    """
    beside = path.parent / "config.json"
    if BESIDE.fullmatch(path.name) and beside.is_file():
        try:
            said = json.loads(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = None
        if isinstance(said, Mapping):
            return _of_config(said, str(beside))
    meta = content.get("meta") if isinstance(content, Mapping) else None
    try:
        run = json.loads(meta["mixedae_run"]) if isinstance(meta, Mapping) else None
    except (KeyError, TypeError, ValueError):
        run = None
    if not isinstance(run, Mapping) or not isinstance(meta, Mapping):
        return Facts()
    return _of_run({**run, "recipe": re.sub(r"_\d{8}_\d{6}$", "", str(meta.get("experiment_name", "")))})


def _of_config(said: Mapping[str, Any], source: str) -> Facts:
    """Hugging Face's config, of a vision model or of one with a vision part; or timm's."""
    vision = said.get("vision_config")
    here: Mapping[str, Any] = vision if isinstance(vision, Mapping) else said
    if isinstance(timms := said.get("model_args"), Mapping):
        return Facts(_whole(timms.get("num_heads")), None, None, source)
    activation = here.get("hidden_act")
    eps = here.get("layer_norm_eps")
    return Facts(
        _whole(here.get("num_attention_heads")),
        float(eps) if isinstance(eps, int | float) else None,
        activation if isinstance(activation, str) else None,
        source,
    )


def _of_run(run: Mapping[str, Any]) -> Facts:
    """A run of this project, whose checkpoints keep its settings under dotted names."""
    at = "model.backbone"
    if f"{at}.type" not in run:
        return Facts(run=run)
    heads = _whole(run.get(f"{at}.arch.num_heads"))
    quick = str(run.get(f"{at}.layer_cfgs.act_cfg.type", "")).endswith("QuickGELU")
    eps = float(run.get(f"{at}.norm_cfg.eps", EPS))
    return Facts(heads, eps, "quick_gelu" if quick else "gelu", "its run", run)


def usual_heads(width: int, format_name: str) -> int | None:
    """Number of heads of the usual ViT of a width.

    Args:
        width: D.
        format_name: of the file, with the prefix where the ViT was found.
    """
    if "base_encoder." in format_name and width in MOCO_V3_HEADS:
        return MOCO_V3_HEADS[width]
    return HEADS.get(width)


def compare_facts(backbone: Any, facts: Facts, format_name: str, path: str | Path) -> tuple[str, ...]:
    """Hold what the file says and tensors do not against a model.

    Args:
        backbone: a ``mmpretrain.VisionTransformer``.
        facts: of the file.
        format_name: of the file.
        path: of the file, for messages.

    Returns:
        In words what was compared, or could not be.

    Raises:
        WeightsError: heads or activation differ.
    """
    layer = backbone.layers[0]
    heads, eps = layer.attn.num_heads, layer.ln1.eps
    mlp = getattr(layer.ffn, "layers", None)  # a gated MLP has none
    activation = "quick_gelu" if mlp is not None and type(mlp[0][1]).__name__ == "QuickGELU" else "gelu"
    is_clip = hasattr(backbone.pre_norm, "weight")
    differ = [
        f"{key} {theirs}, the model has {ours} ({advice})"
        for key, theirs, ours, advice in (
            ("heads", facts.heads, heads, f"model.backbone.arch.num_heads={facts.heads}"),
            ("activation", facts.activation, activation, "model.backbone.layer_cfgs.act_cfg.type"),
        )
        if theirs is not None and theirs != ours
    ]
    if differ:
        raise WeightsError(f"checkpoint {path}: {facts.source} says {'; '.join(differ)}; make the model's the same")
    notes = []
    usual = usual_heads(backbone.embed_dims, format_name)
    if facts.heads:
        notes.append(f"{heads} heads, as {facts.source} says")
    elif usual not in (None, heads):
        notes.append(
            f"{heads} heads in the model, {usual} in the usual ViT of this width; the file does not say: check"
        )
    wanted = facts.eps or (CLIP_EPS if is_clip else None)
    if wanted and wanted != eps:
        notes.append(f"the norms' eps is {eps:g} in the model, {wanted:g} in {facts.source or 'CLIP'}")
    if is_clip and not facts.activation:
        notes.append(f"activation {activation} in the model; the file does not say (OpenAI's CLIP: quick_gelu)")
    return tuple(notes)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None

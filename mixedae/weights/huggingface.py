"""A ViT in Hugging Face's names with the config that transformers builds it from; nothing of transformers is imported.

A plain ViT becomes ``ViTModel``; with LayerScale or register tokens ``Dinov2Model``; with relative positions, or a norm
of the averaged patch tokens, ``BeitModel``; with a norm before the first layer ``CLIPVisionModel``; a whole MAE
``ViTMAEForPreTraining``.

References:
    transformers 4 ``models/{vit,dinov2,dinov2_with_registers,beit,clip,vit_mae}/configuration_*.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixedae.errors import WeightsError
from mixedae.weights.anatomy import Anatomy
from mixedae.weights.facts import Facts
from mixedae.weights.formats import clip, decoder, huggingface
from mixedae.weights.formats.names import translated

OURS = "layers.{}.attn.qkv."
VIT = {"layernorm_before", "layernorm_after", "intermediate", "output", "lambda_1", "lambda_2"}
DINOV2 = {"norm1", "norm2", "mlp", "layer_scale1", "layer_scale2"}


@dataclass(frozen=True)
class HuggingFaceModel:
    """What a folder of transformers' holds.

    Attributes:
        config: ``config.json``.
        tensors: ``model.safetensors``.
        notes: in words, what was left out without changing the features.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def to_huggingface(
    tensors: Mapping[str, Tensor], this: Anatomy, classifier: Mapping[str, Tensor] | None = None
) -> HuggingFaceModel:
    """A backbone, alone or with its linear classifier.

    Args:
        tensors: of the backbone, by mmpretrain's names.
        this: what it is.
        classifier: ``weight`` (C, D) and ``bias`` (C,), on [CLS] or, with ``this.averages``, on the mean patch token.

    Raises:
        WeightsError: no model of transformers can hold it.
    """
    if not this.with_cls:
        raise WeightsError("this ViT has no [CLS] token, which every ViT of transformers has; export --to timm")
    if this.relative == "decomposed":
        raise WeightsError("ViTDet's decomposed relative positions have no place in transformers' plain ViTs")
    family = _family(this)
    if this.registers and family != "dinov2_with_registers":
        raise WeightsError("register tokens stand beside what only another model of transformers has; export --to timm")
    if classifier and family.startswith(("dinov2", "clip")):
        raise WeightsError(
            f"transformers' classifier of {family} reads other features than this one; export --backbone-only"
        )
    if family == "clip_vision_model":
        return HuggingFaceModel(_config(this, family), _clip(tensors, this.layers))
    names = VIT if family in ("vit", "beit") else DINOV2
    named = _named(tensors, huggingface.NAMES, _known(names), "encoder.layer.{}.attention.attention.{}.{}", this.layers)
    if not this.averages:
        named = {name: value for name, value in named.items() if not name.startswith("pooler.")}
    notes: list[str] = []
    if family == "beit":
        named, notes = _as_beit(named, tensors, this)
    if family.startswith("dinov2"):
        named["embeddings.mask_token"] = named["embeddings.cls_token"].new_zeros(1, this.width)
    config = _config(this, family)
    if this.relative == "table" and not tensors["pos_embed"].any():  # what BEiT lacks was filled in with zeros
        named.pop("embeddings.position_embeddings")
        config["use_absolute_position_embeddings"] = False
    if classifier:
        named = {f"{family}.{name}": value for name, value in named.items()}
        named |= {f"classifier.{name}": value for name, value in classifier.items()}
        config["architectures"] = [{"vit": "ViTForImageClassification", "beit": "BeitForImageClassification"}[family]]
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(len(classifier["weight"]))}
        config["label2id"] = {label: int(i) for i, label in config["id2label"].items()}
    return HuggingFaceModel(config, named, tuple(notes))


def to_vit_mae(
    tensors: Mapping[str, Tensor], this: Anatomy, decoding: Mapping[str, Tensor], facts: Facts
) -> HuggingFaceModel:
    """A whole MAE, encoder and decoder.

    Args:
        tensors: of the encoder, by mmpretrain's names.
        this: what the encoder is.
        decoding: the decoder's tensors by mmpretrain's names, see :func:`mixedae.weights.formats.find_decoder`.
        facts: of the file; a run of this project says the decoder's heads, the mask ratio and the kind of target.

    Raises:
        WeightsError: the encoder is more than a plain ViT, or the decoder's number of heads is not known.
    """
    if not this.with_cls or _family(this) != "vit":
        raise WeightsError("ViTMAE of transformers is a plain ViT with [CLS]; export the encoder alone, --to hf")
    width = decoding["decoder_embed.weight"].shape[0]
    layers = len({name.split(".")[1] for name in decoding if name.startswith("decoder_blocks.")})
    heads = facts.run.get("model.neck.decoder_num_heads", 16)
    notes = [] if "model.neck.decoder_num_heads" in facts.run else [f"{heads} heads of the decoder assumed"]
    if width % heads:
        raise WeightsError(f"a decoder {width} wide, whose number of heads is not known")
    reverse = [(ours, theirs) for ours, theirs in decoder.HUGGING_FACE]
    named = _named(tensors, huggingface.NAMES, _known(VIT), "encoder.layer.{}.attention.attention.{}.{}", this.layers)
    named = {f"vit.{name}": value for name, value in named.items()}
    for name, value in decoding.items():
        if new := translated(name, reverse):
            named[new] = value
    at = "decoder.decoder_layers.{}.attention.attention.{}.{}"
    named |= _split(decoding, "decoder_blocks.{}.attn.qkv.", at, layers)
    config = _config(this, "vit_mae") | {
        "decoder_hidden_size": width,
        "decoder_num_hidden_layers": layers,
        "decoder_num_attention_heads": heads,
        "decoder_intermediate_size": len(decoding["decoder_blocks.0.ffn.layers.0.0.weight"]),
        "mask_ratio": facts.run.get("model.mask_ratio", 0.75),
        "norm_pix_loss": bool(facts.run.get("model.head.norm_pix", True)),
    }
    return HuggingFaceModel(config, named, tuple(notes))


def _family(this: Anatomy) -> str:
    if this.pre_norm:
        return "clip_vision_model"
    if this.relative == "table" or this.averages:
        return "beit"
    if this.registers:
        return "dinov2_with_registers"
    return "dinov2" if this.layer_scale else "vit"


def _config(this: Anatomy, family: str) -> dict[str, Any]:
    classes = {
        "vit": "ViTModel", "beit": "BeitModel", "dinov2": "Dinov2Model", "vit_mae": "ViTMAEForPreTraining",
        "dinov2_with_registers": "Dinov2WithRegistersModel", "clip_vision_model": "CLIPVisionModel",
    }  # fmt: skip
    config: dict[str, Any] = {
        "architectures": [classes[family]],
        "model_type": family,
        "hidden_size": this.width,
        "num_hidden_layers": this.layers,
        "num_attention_heads": this.heads,
        "intermediate_size": this.hidden,
        "hidden_act": this.activation,
        "layer_norm_eps": this.eps,
        "image_size": this.image[0],
        "patch_size": this.patch,
        "num_channels": this.channels,
        "qkv_bias": True,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "torch_dtype": "float32",
    }
    if family.startswith("dinov2"):
        ratio = this.hidden / this.width
        config |= {"mlp_ratio": int(ratio) if ratio.is_integer() else ratio, "num_register_tokens": this.registers}
    if family == "beit":
        config |= {
            "use_absolute_position_embeddings": True,
            "use_relative_position_bias": this.relative == "table",
            "use_shared_relative_position_bias": False,
            "use_mean_pooling": this.averages,
            "use_mask_token": False,
            "layer_scale_init_value": 1.0 if this.layer_scale else 0.0,
            "drop_path_rate": 0.0,
        }
    return config


def _known(parts: set[str]) -> set[str]:
    """Hugging Face's names that one family has, of those that :data:`huggingface.NAMES` holds for all."""
    return {
        theirs
        for theirs, _ in huggingface.NAMES
        if not theirs.startswith("encoder.layer.*.") or theirs.split(".")[3] in parts or ".attention.output." in theirs
    }


def _named(
    tensors: Mapping[str, Tensor], names: tuple[tuple[str, str], ...], known: set[str], part: str, layers: int
) -> dict[str, Tensor]:
    table = [(ours, theirs) for theirs, ours in names if theirs in known]
    named = {new: value for name, value in tensors.items() if (new := translated(name, table))}
    return named | _split(tensors, OURS, part, layers)


def _split(tensors: Mapping[str, Tensor], joined: str, part: str, layers: int) -> dict[str, Tensor]:
    """Query, key and value apart."""
    return {
        part.format(i, which, kind): third
        for i in range(layers)
        for kind in ("weight", "bias")
        for which, third in zip(("query", "key", "value"), tensors[joined.format(i) + kind].chunk(3), strict=True)
    }


def _as_beit(
    named: dict[str, Tensor], tensors: Mapping[str, Tensor], this: Anatomy
) -> tuple[dict[str, Tensor], list[str]]:
    """BEiT's keys have no bias: it adds one number to all scores of a query, which the softmax does not see."""
    keys = [name for name in named if name.endswith(".key.bias")]
    lost = any(bool(torch.any(named.pop(name) != 0)) for name in keys)
    for i in range(this.layers if this.relative == "table" else 0):
        table = f"layers.{i}.attn.relative_position_bias_table"
        named[huggingface.TABLE.format(i)] = tensors[table]
    return named, ["the keys' bias, which the softmax does not see, is left out"] if lost else []


def _clip(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    table = [(ours, theirs) for theirs, ours in clip.NAMES if not theirs.startswith(("transformer.", "conv1", "ln_"))]
    named = {new: value for name, value in tensors.items() if (new := translated(name, table))}
    named["embeddings.class_embedding"] = tensors["cls_token"].flatten()
    named["embeddings.position_embedding.weight"] = tensors["pos_embed"][0]
    for name, value in _split(tensors, OURS, "encoder.layers.{}.self_attn.{}.{}", layers).items():
        layer, which, kind = name.rsplit(".", 2)
        named[f"{layer}.{which[0]}_proj.{kind}"] = value
    return {f"vision_model.{name}": value for name, value in named.items()}

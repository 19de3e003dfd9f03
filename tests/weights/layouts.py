"""Every layout of checkpoints that people come with: written small, read, and what happened in one table.

``python -m tests.weights.layouts`` prints it.
"""

import argparse
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from mixedae.errors import MixedAEError
from mixedae.models import MixedAEViT
from mixedae.weights import anatomy_of, load_backbone, read_weights, to_backbone
from tests.weights.huggingface_models import stored
from tests.weights.vits import ARCH, fb_mae_state, mm_vit, timm_vit

State = dict[str, Tensor]


def at(prefix: str, state: State) -> State:
    """Behind a prefix."""
    return {prefix + name: value for name, value in state.items()}


def vit(**options: object) -> State:
    """A small ViT of timm."""
    return dict(timm_vit(**options).state_dict())


def beit(shared: bool) -> State:
    """BEiT's q and v biases, gammas and tables of relative positions."""
    state: State = {}
    for name, value in vit().items():
        if name.endswith("attn.qkv.bias"):
            state |= {name.replace("qkv", "q").replace(".bias", "_bias"): value[:32]}
            state |= {name.replace("qkv", "v").replace(".bias", "_bias"): value[64:]}
        elif name != "pos_embed":
            state[name] = value
    for i in range(3):
        state |= {f"blocks.{i}.gamma_{j}": torch.ones(32) for j in (1, 2)}
        if not shared:
            state[f"blocks.{i}.attn.relative_position_bias_table"] = torch.ones(52, 4)
    return state | ({"rel_pos_bias.relative_position_bias_table": torch.ones(52, 4)} if shared else {})


def mae_pytorch() -> State:
    """Without [CLS] and positions."""
    keep = {n: t for n, t in beit(shared=True).items() if n != "cls_token" and "rel_pos" not in n and "gamma" not in n}
    return at("encoder.", keep) | {"encoder_to_decoder.weight": torch.ones(8, 32)}


def vitdet() -> State:
    """detectron2's: decomposed relative positions, no [CLS] in the model but in the positions."""
    state = vit(class_token=False, global_pool="avg", fc_norm=False)
    state["pos_embed"] = torch.cat((state["pos_embed"][:, :1], state["pos_embed"]), 1)
    for i in range(3):
        state |= {f"blocks.{i}.attn.rel_pos_{axis}": torch.ones(7, 8) for axis in "hw"}
    return at("backbone.net.", state) | {"backbone.simfp_2.0.weight": torch.ones(2)}


def distilled() -> State:
    """DeiT's distillation token has a position."""
    state = vit()
    state["pos_embed"] = torch.cat((state["pos_embed"][:, :1], state["pos_embed"]), 1)
    return state | {"dist_token": torch.ones(1, 1, 32), "head_dist.weight": torch.ones(5, 32)}


def teacher_and_student() -> dict[str, object]:
    """DINO's and iBOT's whole file."""
    student = at("module.backbone.", vit()) | {"module.backbone.masked_embed": torch.ones(1, 32)}
    return {"student": student, "teacher": at("backbone.", vit()), "args": argparse.Namespace(arch="vit_small")}


def open_clip() -> State:
    """OpenAI's names; of a few tensors, enough to be recognised."""
    found: State = {}
    for name, value in vit(pre_norm=True, num_classes=0).items():
        new = re.sub(r"^norm\.", "ln_post.", name).replace("blocks.", "transformer.resblocks.").replace("norm", "ln_")
        for old, theirs in (("ln__pre", "ln_pre"), ("attn.qkv.", "attn.in_proj_"), ("attn.proj", "attn.out_proj"),
                            ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"), ("patch_embed.proj", "conv1"),
                            ("cls_token", "class_embedding"), ("pos_embed", "positional_embedding")):  # fmt: skip
            new = new.replace(old, theirs)
        found[new] = value.flatten() if name == "cls_token" else value[0] if name == "pos_embed" else value
    return at("visual.", found)


SWIN = {"layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(9, 3)}
LAYOUTS: dict[str, Callable[[], object]] = {
    "this project, mmpretrain": lambda: {"state_dict": at("backbone.", dict(mm_vit().state_dict()))},
    "facebookresearch/mae, pre-trained": lambda: {"model": fb_mae_state()},
    "facebookresearch/mae, fine-tuned": lambda: {"model": fb_mae_state(finetuned=True)},
    "timm": vit,
    "timm, no_embed_class": lambda: vit(no_embed_class=True),
    "timm, qkv_bias=False": lambda: vit(qkv_bias=False),
    "timm, LayerScale": lambda: vit(init_values=1.0),
    "timm, no [CLS]": lambda: vit(class_token=False, global_pool="avg", fc_norm=False),
    "timm, register tokens": lambda: vit(reg_tokens=4, no_embed_class=True),
    "torch.compile (_orig_mod.)": lambda: at("_orig_mod.", vit()),
    "averaged weights beside": lambda: {"state_dict": vit(), "state_dict_ema": vit()},
    "DINO, iBOT, whole": teacher_and_student,
    "MoCo v3 as released": lambda: {"state_dict": at("module.base_encoder.", vit())},
    "DeiT distilled": lambda: {"model": distilled()},
    "DeiT III": lambda: {
        "model": {re.sub(r"ls(\d)\.gamma", r"gamma_\1", n): t for n, t in vit(init_values=1.0).items()}
    },
    "BEiT, pre-trained": lambda: {"model": beit(shared=True)},
    "BEiT, fine-tuned": lambda: {"model": beit(shared=False)},
    "MAE-pytorch": lambda: {"model": mae_pytorch()},
    "detectron2's ViTDet": lambda: {"model": vitdet()},
    "CLIP, OpenAI's names": open_clip,
    "Swin Transformer": lambda: SWIN,
    "a ResNet, for a ViT": lambda: {"conv1.weight": torch.ones(2), "layer1.0.conv1.weight": torch.ones(2)},
}
HUGGING_FACE = {
    "Hugging Face ViT": "vit", "Hugging Face DeiT": "deit", "Hugging Face ViTMAE": "vit_mae",
    "Hugging Face BEiT": "beit", "Hugging Face BEiT, shared table": "beit_shared", "Hugging Face DINOv2": "dinov2",
    "Hugging Face DINOv2 with registers": "dinov2_registers", "Hugging Face CLIP": "clip",
}  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """The file of a layout."""
    if name in HUGGING_FACE:
        return stored(HUGGING_FACE[name]).write(folder)
    path = folder / "x.pth"
    torch.save(LAYOUTS[name](), path)
    return path


def built(path: Path) -> nn.Module:
    """The ViT that a file is of, with random weights."""
    weights = read_weights(path)
    backbone, name = to_backbone(weights.tensors)
    width = backbone["patch_embed.projection.weight"].shape[0]
    heads = None if weights.facts.heads else {32: ARCH["num_heads"]}.get(width)
    options = anatomy_of(backbone, name, weights.facts, heads).options()
    return MixedAEViT(**options, out_type="raw")


def what_happens(name: str) -> tuple[str, str]:
    """``read`` with the report's format and arguments of the model, or ``refused`` with the sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(name, Path(folder))
        try:
            model = built(path)
            report = load_backbone(model, path, allow_missing=("ln1.*",))
        except MixedAEError as error:
            return "refused", str(error).replace(folder, "")
        left = f"; {len(report.dropped)} not backbone" if report.dropped else ""
        return "read", f"{report.format}; {len(report.matched)} tensors{left}"


def main() -> None:
    """Print the table."""
    for name in (*LAYOUTS, *HUGGING_FACE):
        kind, text = what_happens(name)
        print(f"| {name} | {kind} | {text} |", flush=True)


if __name__ == "__main__":
    main()

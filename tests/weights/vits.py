"""Small ViTs of three families with random weights, and the forward pass of facebookresearch/mae written out."""

import timm
import torch
import torch.nn.functional as F
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

ARCH = {"embed_dims": 32, "num_layers": 3, "num_heads": 4, "feedforward_channels": 128}


def mm_vit(seed: int = 0, **kwargs) -> VisionTransformer:
    torch.manual_seed(seed)
    vit = VisionTransformer(**{"arch": ARCH, "img_size": 32, "patch_size": 8, "out_type": "raw", **kwargs})
    return randomise(vit)


def timm_vit(seed: int = 0, **kwargs) -> nn.Module:
    torch.manual_seed(seed)
    options = {"depth": 3, "embed_dim": 32, "num_heads": 4, "img_size": 32, "patch_size": 8, "num_classes": 5, **kwargs}
    return randomise(timm.create_model("vit_tiny_patch16_224", pretrained=False, **options))


def randomise(module: nn.Module) -> nn.Module:
    """Draw every parameter, norms and biases too: a tensor that is forgotten changes the output."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, mean=0.1, std=0.2)
    module.eval()  # mmpretrain's returns None
    return module


def fb_mae_state(seed: int = 0, finetuned: bool = False, depth: int = 3, width: int = 32, patch: int = 8) -> dict:
    """A state dict with the names and shapes of facebookresearch/mae's models (their papers' and README's)."""
    torch.manual_seed(seed)
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 17, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    block = {
        "norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,),
        "attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width), "attn.proj.bias": (width,),
        "mlp.fc1.weight": (4 * width, width), "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width), "mlp.fc2.bias": (width,),
    }  # fmt: skip
    shapes |= {f"blocks.{i}.{name}": shape for i in range(depth) for name, shape in block.items()}
    if finetuned:
        shapes |= {"fc_norm.weight": (width,), "fc_norm.bias": (width,), "head.weight": (5, width), "head.bias": (5,)}
    else:
        shapes |= {"norm.weight": (width,), "norm.bias": (width,), "mask_token": (1, 1, 16)}
        shapes |= {"decoder_embed.weight": (16, width), "decoder_embed.bias": (16,), "decoder_pos_embed": (1, 17, 16)}
        shapes |= {"decoder_blocks.0.attn.qkv.weight": (48, 16), "decoder_norm.weight": (16,)}
        shapes |= {"decoder_pred.weight": (192, 16), "decoder_pred.bias": (192,)}
    return {name: 0.1 + 0.2 * torch.randn(shape) for name, shape in shapes.items()}


def fb_forward(state: dict, images: Tensor, heads: int = 4) -> Tensor:
    """All tokens after the final norm (or, fine-tuned, fc_norm of the mean patch token), from the state dict alone."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    patch = state["patch_embed.proj.weight"].shape[-1]
    x = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=patch)
    x = (
        torch.cat((state["cls_token"].expand(len(images), -1, -1), x.flatten(2).transpose(1, 2)), 1)
        + state["pos_embed"]
    )
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    for i in range(depth):
        b, n, d = x.shape
        q, k, v = (
            linear(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv").view(b, n, 3, heads, d // heads).unbind(2)
        )
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * (d // heads) ** -0.5
        out = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).reshape(b, n, d)
        x = x + linear(out, f"blocks.{i}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1")), f"blocks.{i}.mlp.fc2")
    return norm(x[:, 1:].mean(1), "fc_norm") if "fc_norm.weight" in state else norm(x, "norm")

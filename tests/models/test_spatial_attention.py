"""Relative positions and windows against their definitions, and against mmseg's MAE on the same weights."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models import VisionTransformer
from torch import Tensor

from mixedae.errors import ConfigError
from mixedae.models import MixedAEViT
from mixedae.models.spatial_attention import from_windows, offset_index, to_windows

from .conftest import ARCH

OPTIONS = dict(arch=ARCH, img_size=(24, 16), patch_size=4, out_type="featmap", out_indices=(0, 2), final_norm=False)
KINDS: dict[str, dict[str, Any]] = {
    "table": dict(relative_position="table"),
    "decomposed": dict(relative_position="decomposed", with_cls_token=False),
    "windows": dict(relative_position="decomposed", with_cls_token=False, window_size=3, global_layers=(1,)),
    "windows with tables": dict(relative_position="table", with_cls_token=False, window_size=4, global_layers=(2,)),
}


def vit(seed: int = 0, **options: Any) -> MixedAEViT:
    torch.manual_seed(seed)
    model = MixedAEViT(**{**OPTIONS, **options})
    model.init_weights()
    return model.eval()


def randomise(model: MixedAEViT, *parts: str) -> MixedAEViT:
    for name, parameter in model.named_parameters():
        if any(part in name for part in parts or ("",)):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("kind", ["table", "decomposed"])
@pytest.mark.parametrize("size", [(24, 16), (20, 36), (22, 13)])
def test_before_training_relative_positions_change_nothing(kind: str, size: tuple[int, int]) -> None:
    """Any size and aspect ratio, sides that patches do not divide included."""
    ours = vit(**KINDS[kind], layer_scale_init_value=1.0)
    plain = vit(with_cls_token=KINDS[kind].get("with_cls_token", True))
    assert not plain.load_state_dict(ours.state_dict(), strict=False).missing_keys
    images = torch.randn(2, 3, *size)
    for a, b in zip(ours(images), plain(images), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        assert a.shape[-2:] == (-(-size[0] // 4), -(-size[1] // 4))


def brute_force(attn: torch.nn.Module, x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Attention of one head, query and key at a time; positions looked up by their offset."""
    prefix, heads = attn.num_prefix, attn.num_heads
    places = [None] * prefix + [(r, c) for r in range(grid[0]) for c in range(grid[1])]
    q, k, v = attn.qkv(x).unflatten(-1, (3, heads, -1)).unbind(2)
    out = torch.empty_like(q)
    for head in range(heads):
        scores = torch.empty(len(x), len(places), len(places))
        for i, a in enumerate(places):
            for j, b in enumerate(places):
                score = (q[:, i, head] * k[:, j, head]).sum(-1) * attn.head_dims**-0.5
                if hasattr(attn, "rel_pos_h"):
                    at_row = attn.rel_pos_h[a[0] - b[0] + attn.grid[0] - 1]
                    at_column = attn.rel_pos_w[a[1] - b[1] + attn.grid[1] - 1]
                    score = score + q[:, i, head] @ at_row + q[:, i, head] @ at_column
                elif hasattr(attn, "relative_position_bias_table"):
                    table = attn.relative_position_bias_table
                    rows, columns = attn.grid
                    if a is None or b is None:
                        row = len(table) - {(True, False): 3, (False, True): 2, (True, True): 1}[a is None, b is None]
                    else:
                        row = (a[0] - b[0] + rows - 1) * (2 * columns - 1) + a[1] - b[1] + columns - 1
                    score = score + table[row, head]
                scores[:, i, j] = score
        out[:, :, head] = scores.softmax(-1) @ v[:, :, head]
    return attn.proj(out.flatten(2))


@pytest.mark.parametrize("kind", ["table", "decomposed"])
def test_scores_are_the_definitions(kind: str) -> None:
    attn = randomise(vit(**KINDS[kind])).layers[1].attn
    x = torch.randn(2, attn.num_prefix + 24, 32)
    torch.testing.assert_close(attn(x, (6, 4)), brute_force(attn, x, (6, 4)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["windows", "windows with tables"])
def test_windows_are_attention_in_each_window(kind: str) -> None:
    """Padding with zeros after the norm takes part as keys, as in ViTDet's code."""
    model = randomise(vit(**KINDS[kind]))
    attn, grid = model.layers[0].attn, (5, 7)
    x = torch.randn(2, 35, 32)
    size = attn.window_size
    image = F.pad(x.view(2, *grid, 32), (0, 0, 0, -grid[1] % size, 0, -grid[0] % size))
    expected = torch.empty_like(image)
    for top in range(0, image.shape[1], size):
        for left in range(0, image.shape[2], size):
            part = image[:, top : top + size, left : left + size]
            out = brute_force(attn, part.reshape(2, -1, 32), (size, size))
            expected[:, top : top + size, left : left + size] = out.view_as(part)
    expected = expected[:, : grid[0], : grid[1]].reshape(2, 35, 32)
    torch.testing.assert_close(attn(x, grid), expected, atol=1e-5, rtol=1e-5)
    is_global = [i in KINDS[kind]["global_layers"] for i in range(3)]
    assert [layer.attn.window_size == 0 for layer in model.layers] == is_global


@pytest.mark.parametrize("grid", [(6, 6), (5, 7), (1, 3)])
def test_windows_round_trip(grid: tuple[int, int]) -> None:
    x = torch.randn(3, grid[0] * grid[1], 4)
    assert torch.equal(from_windows(to_windows(x, grid, 3), grid, 3), x)


def test_offsets_are_beits() -> None:
    """The index that mmseg's BEiT attention builds."""
    from mmseg.models.backbones.beit import BEiTAttention

    theirs = BEiTAttention(embed_dims=8, num_heads=2, window_size=(3, 5))
    assert torch.equal(offset_index(3, 5, 1, torch.device("cpu")), theirs.relative_position_index)


@pytest.mark.parametrize("kind", ["table", "decomposed"])
def test_other_grids_interpolate_relative_positions(kind: str) -> None:
    """A position that grows linearly with the offset still does; offset zero stays where it was."""
    model = vit(**KINDS[kind])
    attn = model.layers[0].attn
    if kind == "table":
        ramp = torch.arange(-5.0, 6)[:, None] * 10 + torch.arange(-3.0, 4)
        attn.relative_position_bias_table.data[:77] = ramp.reshape(-1, 1)
        bias = attn.bias((11, 7))[:, 1:, 1:]
        assert torch.allclose(bias.diagonal(dim1=1, dim2=2), torch.zeros(()), atol=1e-4)
        assert torch.allclose(bias[:, 76, 0], torch.tensor(53.0), atol=1e-3)  # the largest offset: ends on ends
    else:
        randomise(model, "rel_pos")
        x = torch.randn(1, 77, 32)
        assert attn(x, (11, 7)).isfinite().all()


def test_a_layer_of_mmsegs_mae_gives_the_same() -> None:
    """Table, LayerScale and positions of the published ADE20K recipe, on the same weights."""
    from mmseg.models.backbones import MAE

    torch.manual_seed(0)
    theirs = MAE(
        img_size=(24, 24), patch_size=4, embed_dims=32, num_layers=3, num_heads=4, mlp_ratio=2, init_values=0.7,
        norm_cfg=dict(type="LN", eps=1e-6), out_indices=[0, 2],
    )  # fmt: skip
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = vit(img_size=24, relative_position="table", layer_scale_init_value=0.7)
    names = {".gamma_1": ".attn.gamma1.weight", ".gamma_2": ".ffn.gamma2.weight"}
    state = {}
    for name, value in theirs.state_dict().items():
        for old, new in names.items():
            name = name.replace(old, new)
        if not name.endswith("relative_position_index"):
            state[name] = value
    ours.load_state_dict(state, strict=True)
    theirs.eval()
    images = torch.randn(2, 3, 24, 24)
    for a, b in zip(ours(images), theirs(images), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_checkpointing_changes_nothing_but_memory(kind: str | None) -> None:
    options = KINDS.get(kind or "", {})
    grads = []
    for with_cp in (False, True):
        model = randomise(vit(**options, with_cp=with_cp))
        model.train()
        torch.manual_seed(1)
        model(torch.randn(2, 3, 24, 16))[-1].square().mean().backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], atol=1e-6, rtol=1e-4, msg=name)


def test_fewer_activations_are_kept() -> None:
    """What the forward pass saves for the backward pass, in bytes."""
    saved = []
    for with_cp in (False, True):
        model, kept = vit(with_cp=with_cp), []
        model.train()
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t.nbytes) or t, lambda t: t):
            model(torch.randn(2, 3, 24, 16))
        saved.append(sum(kept))
    assert saved[1] < saved[0] / 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(relative_position="beit"), "expected one of none, table, decomposed"),
        (dict(window_size=3), "set with_cls_token=False"),
        (dict(relative_position="decomposed"), "set with_cls_token=False"),
        (dict(with_cls_token=False, window_size=3, global_layers=(3,)), "the model has 0 to 2"),
        (dict(trainable_blocks=1.5), "expected 0, 0.5"),
        (dict(trainable_blocks=4), "1 to 3"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        vit(**options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", list(KINDS))
def test_cuda_gives_the_cpus_features(kind: str) -> None:
    model = randomise(vit(**KINDS[kind]), "rel_pos", "bias_table")
    images = torch.randn(2, 3, 20, 36)
    expected = model(images)
    with torch.backends.cudnn.flags(allow_tf32=False):  # PyTorch's default rounds a convolution's inputs to 10 bits
        features = model.cuda()(images.cuda())
    for a, b in zip(features, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, atol=1e-3, rtol=1e-3)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert all(torch.isfinite(a).all() for a in model(images.cuda()))


def test_upstreams_vit_loads_what_is_not_positional() -> None:
    ours, theirs = vit(**KINDS["table"]), VisionTransformer(**{**OPTIONS, "out_indices": [0, 2]})
    report = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not report.missing_keys
    assert all(key.endswith("relative_position_bias_table") for key in report.unexpected_keys)

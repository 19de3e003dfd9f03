"""Attention maps and what is measured on them, against loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.analysis.intervals import bootstrap, clustered_error
from mixedae.analysis.measures.attention import attention_mass, best_iou, centre_prior, cls_attention, foreground_share
from mixedae.models import MixedAEViT

SEEDS = st.integers(0, 10_000)


def draw(seed: int, grid: int = 4, patch: int = 3, levels: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps with ties (integers) and masks with some foreground."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(0, levels, (2, grid, grid), generator=generator).double() + 0.5
    masks = torch.rand(2, grid * patch, grid * patch, generator=generator) < 0.3
    masks[:, 0, 0] = True
    return maps, masks


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_mass_is_the_pixels_sum(seed: int) -> None:
    maps, masks = draw(seed)
    share = foreground_share(masks, 3)
    for i in range(2):
        inside = total = 0.0
        for y in range(12):
            for x in range(12):
                weight = maps[i, y // 3, x // 3].item() / 9
                total += weight
                inside += weight * masks[i, y, x].item()
        assert attention_mass(maps, share)[i].item() == pytest.approx(inside / total)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_best_iou_is_the_best_of_all_thresholds(seed: int) -> None:
    maps, masks = draw(seed)
    found = best_iou(maps, foreground_share(masks, 3))
    for i in range(2):
        pixels = np.kron(maps[i].numpy(), np.ones((3, 3)))
        mask = masks[i].numpy()
        ious = []
        for threshold in np.unique(pixels):
            selected = pixels >= threshold
            ious.append((selected & mask).sum() / (selected | mask).sum())
        assert found[i].item() == pytest.approx(max(ious))


def test_baselines() -> None:
    _, masks = draw(0)
    share = foreground_share(masks, 3)
    area = masks.double().mean(dim=(1, 2))
    uniform = torch.ones_like(share)
    torch.testing.assert_close(attention_mass(uniform, share), area)
    torch.testing.assert_close(best_iou(uniform, share), area)  # all patches tie: the whole image is selected
    prior = centre_prior((4, 6))
    assert prior.sum().item() == pytest.approx(1)
    torch.testing.assert_close(prior, prior.flip(0).flip(1))
    assert prior[1, 2] > prior[0, 2] > prior[0, 0]


def test_no_selection_of_patches_beats_the_best_possible() -> None:
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(1, 2, 3, generator=generator).double()
    flat = share.flatten()
    ious = []
    for chosen in range(1, 2**6):
        pick = torch.tensor([chosen >> i & 1 for i in range(6)], dtype=torch.float64)
        hit = (pick * flat).sum()
        ious.append((hit / (pick.sum() + flat.sum() - hit)).item())
    assert best_iou(share, share).item() == pytest.approx(max(ious))


def test_cls_attention_is_the_last_layers() -> None:
    """By the layer's own weights, head by head, query [CLS] alone; also on images of another size than trained for."""
    torch.manual_seed(0)
    arch = dict(embed_dims=32, num_layers=2, num_heads=4, feedforward_channels=64)
    encoder = MixedAEViT(arch=arch, img_size=16, patch_size=4, out_type="raw")
    encoder.init_weights()
    encoder.train()
    images = torch.randn(2, 3, 24, 16)
    inputs: list[torch.Tensor] = []
    last = encoder.layers[-1]
    handle = last.ln1.register_forward_hook(lambda module, args, out: inputs.append(out))
    maps = cls_attention(encoder, images)
    handle.remove()
    assert maps.shape == (2, 6, 4) and encoder.training
    assert not last.attn.qkv._forward_hooks
    x, weight, bias = inputs[0], last.attn.qkv.weight, last.attn.qkv.bias
    for i in range(2):
        total = torch.zeros(25)
        for head in range(4):
            rows = slice(8 * head, 8 * head + 8)
            query = weight[:32][rows] @ x[i, 0] + bias[:32][rows]
            keys = x[i] @ weight[32:64][rows].T + bias[32:64][rows]
            total += (keys @ query / 8**0.5).exp() / (keys @ query / 8**0.5).exp().sum()
        expected = total[1:] / total[1:].sum()
        torch.testing.assert_close(maps[i].flatten(), expected, rtol=1e-4, atol=1e-6)


def test_bootstrap_covers_the_normal_interval_and_pairs() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    interval = bootstrap(values, resamples=2000)
    half = 1.96 * values.std(ddof=1) / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.05)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.05)
    shifted = bootstrap(values + 0.5 - values, resamples=100)  # the same images: their spread cancels
    assert (shifted.low, shifted.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_error_of_clusters_is_that_of_their_means() -> None:
    """Copies inside a cluster add nothing."""
    values = np.random.default_rng(1).normal(size=(50, 1))
    mean, error = clustered_error(np.repeat(values, 4, axis=1))
    assert (mean, error) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1) / 50**0.5))
    assert np.isnan(clustered_error(values[:1])[1])

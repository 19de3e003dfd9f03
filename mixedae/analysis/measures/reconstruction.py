"""Reconstructions as pictures: MixedAE's mixed inputs and unmixed outputs, MAE's triplets."""

from typing import Any

import torch
from torch import Tensor

from mixedae.models.recognition import evaluating
from mixedae.models.vit import patch_size
from mixedae.ops import draw_mask, given_by, mix, patchify, sample_sources, take, target_images, unpatchify


def to_pixels(model: Any, predicted: Tensor, patches: Tensor) -> Tensor:
    """Turn predictions of per-patch normalised pixels into pixels: times the patch's deviation, plus its mean.

    Mean and deviation are the *original's*: the model does not predict them, so brightness and contrast of a patch are
    given and only its pattern is reconstructed. Without ``norm_pix`` predictions are pixels as they are.

    Args:
        model: a pre-training model.
        predicted: (B, L, P*P*C).
        patches: the same shape, of the original.
    """
    if not model.head.norm_pix:
        return predicted
    var, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return predicted * (var + 1e-6).sqrt() + mean


def reconstruct_mixed(
    model: Any, images: Tensor, mode: str, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix, encode, unmix, decode; patches that an image gave are put back as they were.

    Args:
        model: a ``mixedae.MixedAE``.
        images: (B, C, H, W), normalised, B a multiple of G.
        mode: ``compose`` or ``full``, whatever the model was trained with.
        generator: draws the mixing masks.

    Returns:
        Mixed samples (M, C, H, W), reconstructions (M, G, C, H, W), sources int64 (M, L).
    """
    patch, grid = _geometry(model)
    patches = patchify(images, patch)
    group_size = model.group_size
    sources = sample_sources(
        len(images) // group_size, patches.shape[1], group_size, mode, generator, shares=model.shares
    )
    with evaluating(model):
        predicted = model.reconstruct(model.backbone.ln1(model.encode_mixed(patches, sources)), sources)
    original = patches[target_images(len(sources), len(images), group_size)]
    given = given_by(sources, group_size).flatten(0, 1)[..., None]
    filled = torch.where(given, original, to_pixels(model, predicted, original))
    mixed = unpatchify(mix(patches, sources, group_size), patch, grid)
    return mixed, unpatchify(filled, patch, grid).unflatten(0, (len(sources), group_size)), sources


def reconstruct_masked(model: Any, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mask, encode, decode; the kept patches are put back as they were.

    Args:
        model: a ``mixedae.MAE``.
        images: (B, C, H, W), normalised.
        generator: draws the masks.

    Returns:
        Reconstructions (B, C, H, W), and bool (B, 1, H, W), True where a patch was removed.
    """
    patch, grid = _geometry(model)
    patches = patchify(images, patch)
    kept, removed = draw_mask(model.masking, len(patches), grid, model.mask_ratio, generator)
    with evaluating(model):
        latent = model.backbone.ln1(model.backbone.encode(take(patches, kept), positions=kept))
        predicted = model.neck.predict(model.neck.decode_kept(latent, kept))
    is_removed = torch.zeros(patches.shape[:2], dtype=torch.bool).scatter_(1, removed, True)[..., None]
    filled = torch.where(is_removed, to_pixels(model, predicted, patches), patches)
    mask = unpatchify(is_removed.expand(-1, -1, patch**2), patch, grid)
    return unpatchify(filled, patch, grid), mask


def _geometry(model: Any) -> tuple[int, tuple[int, int]]:
    return patch_size(model.backbone), tuple(model.backbone.patch_resolution)

"""Section 3.1 of MixedAE (arXiv 2303.17152), measured: what a decoder infers from masked and from mixed input.

Barber and Agakov (NIPS 2003): for any decoder q, I(Z; X) >= H(X) + E[log q(X | Z)]. X are the masked patches of an
image, the same for every model, so H(X) is shared and the models differ by the held-out log-likelihood.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixedae.analysis.intervals import Numbers
from mixedae.errors import ConfigError
from mixedae.methods import MAE
from mixedae.models.recognition import evaluating
from mixedae.models.vit import patch_size
from mixedae.ops import given_by, take


def predict_all(model: Any, patches: Tensor, sources: Tensor, group_size: int) -> Tensor:
    """What a pre-training model predicts of each image from its rL given patches.

    MAE sees only these patches; MixedAE sees them in the mixture with those of the other G-1 images.

    Args:
        model: a ``mixedae.MAE`` or ``mixedae.MixedAE``.
        patches: (B, L, P*P*C), B = M*G.
        sources: int64 (M, L), one mixture per group; each image gives equally many patches.
        group_size: G.

    Returns:
        (B, L, P*P*C), given positions included.

    Raises:
        ConfigError: for MAE, if one source gives more patches than another.
    """
    with evaluating(model):
        if not isinstance(model, MAE):
            return model.reconstruct(model.backbone.ln1(model.encode_mixed(patches, sources)), sources)
        given = given_by(sources, group_size).flatten(0, 1)
        if len(given.sum(dim=1).unique()) != 1:
            raise ConfigError(
                f"{sources.shape[1]} patches do not fall into {group_size} equal parts; a masked image must keep as "
                "many patches as it gives to a mixture"
            )
        kept = given.nonzero()[:, 1].view(len(given), -1)
        latent = model.backbone.ln1(model.backbone.encode(take(patches, kept), positions=kept))
        return model.neck.predict(model.neck.decode_kept(latent, kept))


def squared_errors(model: Any, patches: Tensor, sources: Tensor, group_size: int) -> Tensor:
    """Sum of squared errors over the masked patches of each image, against the model's own kind of target.

    Args:
        model: see :func:`predict_all`.
        patches: (B, L, P*P*C).
        sources: int64 (M, L).
        group_size: G.

    Returns:
        float64 (M, G).
    """
    predicted = predict_all(model, patches, sources, group_size).double()
    error = (predicted - model.head.targets(patches).double()).square().sum(dim=-1)
    masked = ~given_by(sources, group_size)
    return (error.unflatten(0, masked.shape[:2]) * masked).sum(dim=-1)


def gaussian_log_likelihood(errors: Numbers, variance: Numbers | float, values: int) -> Numbers:
    """Log density of N(prediction, variance I), in nats.

    Args:
        errors: sums of squared errors.
        variance: of every predicted value; broadcastable to ``errors``.
        values: how many values each sum is over.

    Returns:
        The shape of ``errors``.
    """
    return -0.5 * (values * np.log(2 * math.pi * np.asarray(variance)) + errors / variance)


def held_out_log_likelihood(errors: Numbers, values: int) -> tuple[Numbers, tuple[float, float]]:
    """Log-likelihood of each image under a Gaussian whose variance was estimated on other images.

    The groups are dealt into two halves; each is scored with the variance that maximises the likelihood of the other.

    Args:
        errors: (M, G) sums of squared errors, M >= 2.
        values: number of predicted values per image.

    Returns:
        (M, G) nats per image, and the two variances.
    """
    half = np.arange(len(errors)) % 2
    variances = tuple(float(errors[half != fold].mean() / values) for fold in (0, 1))
    return gaussian_log_likelihood(errors, np.array(variances)[half][:, None], values), (variances[0], variances[1])


def comparable(models: dict[str, Any]) -> int:
    """Refuse models whose log-likelihoods are not of the same thing.

    Args:
        models: name to model, at least one MAE and one MixedAE.

    Returns:
        G.

    Raises:
        ConfigError: no MAE or no MixedAE, or images, targets, decoders, encoders or mask ratios differ.
    """
    groups = {model.group_size for model in models.values() if not isinstance(model, MAE)}
    masked = [model for model in models.values() if isinstance(model, MAE)]
    if len(groups) != 1 or not masked:
        raise ConfigError(
            f"{', '.join(models)}: expected a checkpoint of MAE and one of MixedAE at least, all with one group size; "
            f"found {len(masked)} of MAE and group sizes {sorted(groups)}"
        )
    (group_size,) = groups
    first_name, first = next(iter(models.items()))
    for name, model in models.items():
        if getattr(model, "neck", None) is None:
            raise ConfigError(f"{name} was trained without reconstruction; it has no decoder to measure")
        if isinstance(model, MAE) and round(model.mask_ratio * group_size, 6) != group_size - 1:
            raise ConfigError(f"{name}: mask_ratio {model.mask_ratio} found; a mixture of {group_size} hides 1 - r")
        if getattr(model, "masking", "random") != "random" or getattr(model, "shares", None) is not None:
            raise ConfigError(f"{name} was trained with {_odd(model)}; only random masks and equal shares r compare")
        for what, ours, theirs in zip(
            ("image and patches", "encoder", "decoder", "norm_pix"), _kind(model), _kind(first), strict=True
        ):
            if ours != theirs:
                raise ConfigError(
                    f"{name} and {first_name} differ in {what} ({ours} and {theirs}): their likelihoods do not compare"
                )
    return group_size


def _odd(model: Any) -> str:
    return f"{model.masking} masks" if isinstance(model, MAE) else f"shares {model.shares}"


def _kind(model: Any) -> tuple[Any, ...]:
    encoder, decoder = model.backbone, model.neck
    blocks = [tuple(p.shape) for block in (encoder.layers[0], decoder.decoder_blocks[0]) for p in block.parameters()]
    half = len(list(encoder.layers[0].parameters()))
    return (
        (encoder.patch_resolution, patch_size(encoder)),
        (encoder.num_layers, encoder.layers[0].attn.num_heads, blocks[:half]),
        (len(decoder.decoder_blocks), decoder.decoder_blocks[0].attn.num_heads, blocks[half:]),
        model.head.norm_pix,
    )


def batched_errors(model: Any, patches: Tensor, sources: Tensor, group_size: int, groups: int = 16) -> Numbers:
    """:func:`squared_errors` over many groups, a few at a time.

    Args:
        model: see :func:`predict_all`.
        patches: (M*G, L, P*P*C).
        sources: int64 (M, L).
        group_size: G.
        groups: how many at a time.

    Returns:
        (M, G).
    """
    parts = zip(patches.split(groups * group_size), sources.split(groups), strict=True)
    return torch.cat([squared_errors(model, *part, group_size) for part in parts]).numpy()

"""Tensor functions without parameters: patches and masks, mixing (Eqs. 1-3), homologous attention (Eq. 6)."""

from mixedae.ops.attention.homologous import homologous_attention, recognition_accuracy, same_source
from mixedae.ops.attention.reference import homologous_attention_reference, topk_mask
from mixedae.ops.masked import MaskedPositions, masked_positions
from mixedae.ops.masking import block_masking, draw_mask, grid_masking, random_masking
from mixedae.ops.mixing import given_by, mix, num_groups, sample_sources, target_images, unmix
from mixedae.ops.patches import normalize_patches, patchify, take, unpatchify

__all__ = [
    "MaskedPositions",
    "block_masking",
    "draw_mask",
    "given_by",
    "grid_masking",
    "homologous_attention",
    "homologous_attention_reference",
    "masked_positions",
    "mix",
    "normalize_patches",
    "num_groups",
    "patchify",
    "random_masking",
    "recognition_accuracy",
    "same_source",
    "sample_sources",
    "take",
    "target_images",
    "topk_mask",
    "unmix",
    "unpatchify",
]

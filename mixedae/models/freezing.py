"""Partial fine-tuning: the first blocks of a ViT stay as pre-training left them.

References:
    MAE, arXiv 2111.06377, section 4.3 and figure 9: fine-tuning only the last layers, the others frozen.
"""

from typing import Any

from torch import nn

from mixedae.errors import ConfigError


def freeze_below(vit: Any, trainable_blocks: float) -> tuple[nn.Module, ...]:
    """Freeze patch embedding, [CLS], positions and all but the last blocks; what follows the blocks is trained.

    Args:
        vit: a ``mmpretrain.VisionTransformer``.
        trainable_blocks: 0 to the number of layers. 0.5 trains the last block's MLP with its norm. With 0 the final
            norm is frozen too, which is linear probing.

    Returns:
        The frozen modules, which belong in evaluation mode.

    Raises:
        ConfigError: more blocks than there are, or a fraction other than a half.
    """
    depth = vit.num_layers
    if not (0 <= trainable_blocks <= depth and (trainable_blocks % 1 == 0 or trainable_blocks == 0.5)):
        raise ConfigError(f"trainable_blocks={trainable_blocks} found; expected 0, 0.5 (an MLP) or 1 to {depth}")
    frozen: list[nn.Module] = [vit.patch_embed, vit.pre_norm, vit.drop_after_pos]
    frozen += vit.layers[: depth - int(trainable_blocks)]
    if trainable_blocks == 0.5:
        last: Any = frozen.pop()
        frozen += [last.ln1, last.attn]
    if trainable_blocks == 0:
        frozen += [norm for name in ("ln1", "ln2") if (norm := getattr(vit, name, None)) is not None]
    vit.pos_embed.requires_grad = False
    if vit.cls_token is not None:
        vit.cls_token.requires_grad = False
    if getattr(vit, "registers", 0):
        vit.register_tokens.requires_grad = False
    for module in frozen:
        module.requires_grad_(False)
    return tuple(frozen)

"""The transfer backbone: mmpretrain's names and features; its initial weights."""

import torch
from mmpretrain.models import VisionTransformer

from mixedae.models import MixedAEPretrainViT, MixedAEViT

from .conftest import ARCH


def test_features_equal_mmpretrains_on_the_same_weights():
    torch.manual_seed(0)
    config = dict(arch=ARCH, img_size=16, patch_size=4, out_type="featmap", out_indices=(0, 2), final_norm=False)
    ours = MixedAEViT(**config)
    ours.init_weights()
    theirs = VisionTransformer(**{**config, "out_indices": [0, 2]})
    theirs.load_state_dict(ours.state_dict(), strict=True)
    for size in ((16, 16), (24, 12)):  # a grid of its own and a non-square one, interpolated
        images = torch.randn(2, 3, *size)
        for a, b in zip(ours(images), theirs(images), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_pretraining_and_transfer_share_every_parameter():
    encoder = MixedAEPretrainViT(arch=ARCH, img_size=16, patch_size=4)
    backbone = MixedAEViT(arch=ARCH, img_size=16, patch_size=4, out_type="raw")
    assert {k: v.shape for k, v in encoder.state_dict().items()} == {
        k: v.shape for k, v in backbone.state_dict().items()
    }
    assert backbone.pos_embed.requires_grad
    assert not encoder.pos_embed.requires_grad


def test_the_random_baseline_starts_where_pretraining_starts():
    torch.manual_seed(0)
    encoder = MixedAEPretrainViT(arch=ARCH, img_size=16, patch_size=4)
    encoder.init_weights()
    torch.manual_seed(0)
    backbone = MixedAEViT(arch=ARCH, img_size=16, patch_size=4, out_type="raw")
    backbone.init_weights()
    for (name, a), b in zip(encoder.state_dict().items(), backbone.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_positions_of_a_non_square_grid():
    backbone = MixedAEViT(arch=ARCH, img_size=(8, 16), patch_size=4, out_type="raw")
    backbone.init_weights()
    positions = backbone.pos_embed[0, 1:].view(2, 4, 32)
    assert len(positions.flatten(0, 1).unique(dim=0)) == 8
    # half of the channels encodes the row, half the column
    assert torch.equal(positions[0, :, :16], positions[0, :1, :16].expand(4, -1))
    assert torch.equal(positions[:, 0, 16:], positions[:1, 0, 16:].expand(2, -1))


def test_layer_depths_are_maes():
    backbone = MixedAEViT(arch=ARCH, img_size=16, patch_size=4, out_type="avg_featmap")
    depths = {name: backbone.get_layer_depth(name, "")[0] for name, _ in backbone.named_parameters()}
    assert depths["cls_token"] == depths["pos_embed"] == depths["patch_embed.projection.weight"] == 0
    assert depths["layers.0.attn.qkv.weight"] == 1
    assert depths["layers.2.ffn.layers.1.weight"] == 3
    assert depths["ln2.weight"] == 4 == backbone.get_layer_depth("ln2.weight", "")[1] - 1

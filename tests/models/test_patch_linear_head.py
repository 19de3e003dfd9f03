"""DINOv3's linear head: what it computes, and which parameters train."""

import torch

from mixedae.models.patch_linear_head import PatchLinearHead


def test_scores_are_a_norm_and_a_linear_layer_on_layers_side_by_side() -> None:
    torch.manual_seed(0)
    head = PatchLinearHead(in_channels=[6, 6], num_classes=4)
    maps = torch.randn(3, 6, 5, 7), torch.randn(3, 6, 5, 7)
    head.norm.running_mean.normal_(), head.norm.running_var.uniform_(0.5, 2)
    head.eval()
    rows = torch.cat(maps, dim=1).permute(0, 2, 3, 1)
    normed = (rows - head.norm.running_mean) / (head.norm.running_var + 1e-5).sqrt()
    expected = normed @ head.conv_seg.weight[:, :, 0, 0].T + head.conv_seg.bias
    torch.testing.assert_close(head(maps), expected.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-6)
    assert sum(p.numel() for p in head.parameters()) == 12 * 4 + 4 + 2 * 12


def test_it_starts_as_published() -> None:
    head = PatchLinearHead(in_channels=768, num_classes=150)
    head.init_weights()
    assert 0.0095 < float(head.conv_seg.weight.std()) < 0.0105
    assert not head.conv_seg.bias.any()
    assert head.dropout.p == 0.1 and isinstance(head.dropout, torch.nn.Dropout2d)

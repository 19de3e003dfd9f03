"""Recognition over held-out images: what the oracle, noise and parts of the images give."""

import pytest
import torch

from mixedae.analysis.measures.recognition import recognition
from mixedae.models.recognition import chance_level
from tests.models.conftest import build


@pytest.mark.parametrize("cls_in_pool", [True, False])
def test_the_oracle_recognises_everything(cls_in_pool: bool) -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 16, 16)
    accuracy, chance = recognition(build("MixedAE", backbone=dict(attention="oracle", cls_in_pool=cls_in_pool)), images)
    assert accuracy.shape == (3, 4) and (accuracy == 1).all()
    assert chance == pytest.approx(3 / 15)
    one = torch.tensor([[0] * 7 + [1] * 5 + [2] * 3 + [3]])  # a query of n patches meets n - 1 of 15
    assert chance_level(one) == pytest.approx(sum(n * (n - 1) / 15 for n in (7, 5, 3, 1)) / 16)


def test_attention_that_knows_nothing_is_at_chance() -> None:
    """Without segments and with noise for pixels, initial weights choose by position, and sources do not follow it."""
    torch.manual_seed(2)
    encoder = dict(img_size=32, cls_in_pool=False)
    model = build("MixedAE", backbone=encoder, neck=dict(num_patches=64), segment_embedding="none")
    accuracy, chance = recognition(model, torch.randn(256, 3, 32, 32))
    assert chance == pytest.approx(15 / 63)
    assert abs(accuracy.mean() - chance) < 0.02


def test_parts_do_not_change_the_mean() -> None:
    torch.manual_seed(3)
    model = build("MixedAE", mode="full")
    images = torch.randn(17, 3, 16, 16)  # the last one has no group
    whole, _ = recognition(model, images, groups=100)
    parts, _ = recognition(model, images, groups=3)
    # the share is of all kept keys; parts are weighted by mixed samples, which differ in kept keys through [CLS] alone
    assert abs(whole - parts).max() < 0.02

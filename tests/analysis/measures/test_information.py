"""Likelihoods against torch.distributions; every model predicts the same patches of the same images."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from mixedae.analysis.measures.information import (
    comparable,
    gaussian_log_likelihood,
    held_out_log_likelihood,
    predict_all,
    squared_errors,
)
from mixedae.errors import ConfigError
from mixedae.ops import given_by, normalize_patches, patchify, sample_sources
from tests.models.conftest import build


@pytest.fixture
def patches() -> torch.Tensor:
    return patchify(torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)), 4)


@pytest.fixture
def sources() -> torch.Tensor:
    return sample_sources(2, 16, 4, generator=torch.Generator().manual_seed(2))


def test_gaussian_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 5, 7, generator=generator).double()
    expected = Normal(y, 0.3**0.5).log_prob(x).sum(dim=1)
    found = gaussian_log_likelihood((x - y).square().sum(dim=1).numpy(), 0.3, 7)
    np.testing.assert_allclose(found, expected.numpy())


def test_each_half_is_scored_with_the_others_variance() -> None:
    errors = np.random.default_rng(0).uniform(1, 2, size=(6, 4))
    nats, variances = held_out_log_likelihood(errors, 10)
    for row in range(6):
        others = [errors[i] for i in range(6) if i % 2 != row % 2]
        variance = np.mean(others) / 10
        assert variances[row % 2] == pytest.approx(variance)
        np.testing.assert_allclose(nats[row], gaussian_log_likelihood(errors[row], variance, 10))
    # the variance of one's own half would be the best one
    own = errors[::2].mean() / 10
    assert gaussian_log_likelihood(errors[::2], own, 10).sum() >= nats[::2].sum()


@pytest.mark.parametrize("kind", ["MAE", "MixedAE"])
def test_errors_are_of_the_masked_patches_alone(kind: str, patches: torch.Tensor, sources: torch.Tensor) -> None:
    model = build(kind)
    model.train()
    found = squared_errors(model, patches, sources, 4)
    assert model.training and found.dtype == torch.float64
    predicted = predict_all(model, patches, sources, 4)
    target = normalize_patches(patches)
    for group in range(2):
        for g in range(4):
            total = 0.0
            for position in range(16):
                if sources[group, position] != g:
                    image = group * 4 + g
                    total += (predicted[image, position] - target[image, position]).double().square().sum().item()
            assert found[group, g].item() == pytest.approx(total, rel=1e-5)


def test_mae_sees_its_own_patches_alone(patches: torch.Tensor, sources: torch.Tensor) -> None:
    model = build("MAE")
    before = predict_all(model, patches, sources, 4)
    hidden = ~given_by(sources, 4).flatten(0, 1)[..., None]
    torch.testing.assert_close(predict_all(model, torch.where(hidden, 100.0, patches), sources, 4), before)


def test_the_loss_that_was_trained_is_the_mean_of_the_errors(patches: torch.Tensor, sources: torch.Tensor) -> None:
    model = build("MixedAE")
    loss = model._reconstruction_loss(model.backbone.ln1(model.encode_mixed(patches, sources)), patches, sources)
    errors = squared_errors(model, patches, sources, 4)
    assert loss.item() == pytest.approx(errors.sum().item() / (8 * 12 * 48), rel=1e-5)


def test_what_does_not_compare_is_refused(patches: torch.Tensor) -> None:
    mae, mixed = build("MAE"), build("MixedAE")
    assert comparable({"a": mae, "b": mixed}) == 4
    for models, words in (
        ({"a": mae}, "one of MixedAE"),
        ({"b": mixed}, "0 of MAE"),
        ({"a": mae, "b": mixed, "c": build("MixedAE", group_size=2)}, r"group sizes \[2, 4\]"),
        ({"a": build("MAE", mask_ratio=0.5), "b": mixed}, "mask_ratio 0.5"),
        ({"a": build("MAE", masking="grid"), "b": mixed}, "grid masks"),
        ({"a": mae, "b": build("MixedAE", shares=(0.4, 0.2, 0.2, 0.2))}, "shares"),
        ({"a": mae, "b": build("MixedAE", head=dict(norm_pix=False))}, "norm_pix"),
        (
            {"a": mae, "b": build("MixedAE", backbone=dict(img_size=16, patch_size=8), neck=dict(num_patches=4))},
            "image and patches",
        ),
        ({"a": mae, "b": build("MixedAE", reconstruction=False)}, "no decoder"),
    ):
        with pytest.raises(ConfigError, match=words):
            comparable(models)
    with pytest.raises(ConfigError, match="equal parts"):
        predict_all(mae, patches, torch.tensor([[0] * 5 + [1] * 3 + [2] * 4 + [3] * 4] * 2), 4)

"""Eq. (7) against loops and its known values (recipes: mean over positives, mean over queries)."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.errors import ConfigError
from mixedae.models import HomologousContrastiveLoss, MixedAEPretrainHead
from mixedae.ops import sample_sources


def loops(features, sources, temperature, positives):
    """Eq. (7), one query and one positive at a time."""
    per_query = []
    for z, source in zip(F.normalize(features, dim=-1), sources.tolist(), strict=True):
        for i in range(len(source)):
            own = [j for j in range(len(source)) if source[j] == source[i] and j != i]
            if not own:
                continue
            denominator = sum(math.exp(float(z[i] @ z[j]) / temperature) for j in range(len(source)) if j != i)
            if positives == "separate":
                terms = [math.log(math.exp(float(z[i] @ z[j]) / temperature) / denominator) for j in own]
            else:
                centre = F.normalize(z[[i, *own]].mean(0), dim=0)
                terms = [math.log(math.exp(float(z[i] @ centre) / temperature) / denominator)]
            per_query.append(-sum(terms) / len(terms))
    return sum(per_query) / len(per_query)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 2), st.integers(2, 4), st.integers(0, 8), st.sampled_from(["separate", "mean"]), st.integers(0, 999)
)
def test_loss_is_eq_7(groups, size, extra, positives, seed):
    generator = torch.Generator().manual_seed(seed)
    length = 2 * size + extra
    sources = sample_sources(groups, length, size, generator=generator)
    features = torch.randn(groups, length, 5, generator=generator, dtype=torch.float64)
    loss = HomologousContrastiveLoss(0.25, positives)(features, sources)
    assert loss.item() == pytest.approx(loops(features, sources, 0.25, positives), rel=1e-9)


def paper_sources(size=4):
    return sample_sources(2, 196, size, generator=torch.Generator().manual_seed(0))


def test_known_values_at_the_papers_size():
    """L = 196, r = 0.25, temperature 0.25: ln 195 for equal features, 3.926 for one-hot features a source."""
    loss, sources = HomologousContrastiveLoss(), paper_sources()
    assert loss(torch.ones(2, 196, 128), sources).item() == pytest.approx(math.log(195), abs=1e-4)
    assert loss(F.one_hot(sources, 4).float(), sources).item() == pytest.approx(3.926, abs=5e-4)
    simplex = F.one_hot(sources, 4).float() - 0.25  # cosine -1/3 between sources: the optimum
    assert loss(simplex, sources).item() == pytest.approx(3.886, abs=5e-4)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.sampled_from([2, 4]))
def test_loss_stays_above_the_log_of_the_number_of_positives(seed, size):
    features = torch.randn(2, 196, 8, generator=torch.Generator().manual_seed(seed))
    sources = paper_sources(size)
    positives = 196 // size - 1  # 48 at r = 0.25, 97 at r = 0.5
    assert HomologousContrastiveLoss()(features, sources) > math.log(positives)


def test_queries_without_a_positive_are_left_out():
    sources = torch.tensor([[0, 1, 2, 2]])
    features = torch.randn(1, 4, 3, dtype=torch.float64)
    loss = HomologousContrastiveLoss()(features, sources)
    assert loss.item() == pytest.approx(loops(features, sources, 0.25, "separate"))
    assert HomologousContrastiveLoss()(features, torch.tensor([[0, 1, 2, 3]])).item() == 0


def test_losses_are_fp32_under_autocast():
    head = MixedAEPretrainHead(embed_dims=32, projector_dims=8)
    sources = sample_sources(2, 16, 4)
    features = 100 * torch.randn(2, 16, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        contrastive = head.contrastive_loss(features, sources)
        pixels = head.reconstruction_loss(features.bfloat16(), features.bfloat16() + 1)
    assert contrastive.dtype == pixels.dtype == torch.float32
    torch.testing.assert_close(contrastive, head.contrastive_loss(features, sources))


def test_a_part_that_is_switched_off_is_not_built():
    assert not list(MixedAEPretrainHead(contrastive_weight=0.0).parameters())
    with pytest.raises(ConfigError, match="positives"):
        HomologousContrastiveLoss(positives="average")
    with pytest.raises(ConfigError, match="contrast"):
        MixedAEPretrainHead(contrast="post")
    with pytest.raises(ConfigError, match="-1"):
        MixedAEPretrainHead(contrastive_weight=-1)

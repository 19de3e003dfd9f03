"""Eq. (5) by exact enumeration: what a mixture and a masked image tell about the image to reconstruct.

Two images of two binary patches each, r = 0.5, the two balanced masks equally likely. Every joint distribution of the
two images can be enumerated, so mutual information is exact. ``mix`` and ``unmix`` are the project's own.
"""

import math
from collections import defaultdict
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.ops import mix, unmix

IMAGES = list(product((0, 1), repeat=2))
MASKS = [(0, 1), (1, 0)]  # the source of each position; Eq. (2): each image gives one patch
MASKED = -1.0


def mutual_information(joint):
    """I(A; B) in nats from {(a, b): probability}."""
    left, right = defaultdict(float), defaultdict(float)
    for (a, b), p in joint.items():
        left[a] += p
        right[b] += p
    return sum(p * math.log(p / (left[a] * right[b])) for (a, b), p in joint.items() if p > 0)


def views(x1, x2, mask):
    """The mixture, and what MAE sees of x1 under the same mask."""
    sources = torch.tensor([mask])
    patches = torch.tensor([x1, x2], dtype=torch.float32)[..., None]
    mixture = mix(patches, sources, 2)
    alone = mix(torch.stack([patches[0], torch.full((2, 1), MASKED)]), sources, 2)
    assert torch.equal(unmix(mixture, sources, torch.tensor([MASKED]), 2)[0], alone[0])  # sigma_MAE = unmixed mixture
    return tuple(mixture.flatten().tolist()), tuple(alone.flatten().tolist())


VIEWS = {(x1, x2, m): views(x1, x2, m) for x1 in IMAGES for x2 in IMAGES for m in MASKS}


def informations(p):
    """I(mixture, M; X1), I(mixture; X1) without telling M, and I(masked image, M; X1) for p[x1, x2]."""
    told, untold, masked = defaultdict(float), defaultdict(float), defaultdict(float)
    for (x1, x2), q in p.items():
        for mask in MASKS:
            mixture, alone = VIEWS[x1, x2, mask]
            told[(mixture, mask), x1] += q / 2
            untold[mixture, x1] += q / 2
            masked[(alone, mask), x1] += q / 2
    return mutual_information(told), mutual_information(untold), mutual_information(masked)


weights = st.lists(st.floats(0, 1), min_size=16, max_size=16).filter(lambda w: sum(w) > 0.1)
marginals = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)


@settings(deadline=None, max_examples=60)
@given(weights)
def test_mixing_never_tells_less_than_masking(w):
    """Eq. (5) for any joint distribution of the two images, when the mask is part of the input, as it is printed."""
    p = {pair: x / sum(w) for pair, x in zip(product(IMAGES, IMAGES), w, strict=True)}
    told, _, masked = informations(p)
    assert told >= masked - 1e-12


@settings(deadline=None, max_examples=60)
@given(marginals, marginals)
def test_for_independent_images_it_tells_exactly_as_much(a, b):
    """The batch is drawn at random, so the images of a group are independent: Eq. (5) then holds with equality."""
    first, second = (dict(zip(IMAGES, w, strict=True)) for w in (a, b))
    p = {(x1, x2): first[x1] * second[x2] / sum(a) / sum(b) for x1, x2 in product(IMAGES, IMAGES)}
    told, untold, masked = informations(p)
    assert told == pytest.approx(masked, abs=1e-12)
    assert untold <= told + 1e-12


def test_related_images_tell_strictly_more():
    """Two views of one scene: the other image's patch completes the masked one."""
    p = {(x, x): 0.25 for x in IMAGES}
    told, _, masked = informations(p)
    assert told == pytest.approx(2 * math.log(2))
    assert masked == pytest.approx(math.log(2))


def test_without_the_mask_a_mixture_tells_half_as_much():
    """Nobody says which patch is whose: given X1 the mixture matches it twice with probability 1/2, once with 1/2.

    So H(Y | X1) = 1.5 ln 2 and I = 2 ln 2 - 1.5 ln 2, half of what a masked image tells. Telling the mask is what
    segment embeddings and homologous recognition are for.
    """
    p = {(x1, x2): 1 / 16 for x1 in IMAGES for x2 in IMAGES}
    told, untold, masked = informations(p)
    assert told == pytest.approx(math.log(2))
    assert masked == pytest.approx(math.log(2))
    assert untold == pytest.approx(0.5 * math.log(2))

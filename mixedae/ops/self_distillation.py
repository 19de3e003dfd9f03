"""Losses of self-distillation: a student predicts its teacher's distribution over K learnt prototypes.

References:
    DINO, arXiv 2104.14294, section 3.1, Eq. (1) to (4) and algorithm 1; iBOT, arXiv 2111.07832, section 3.2,
    Eq. (2) and (3); facebookresearch/dino ``main_dino.py`` (DINOLoss), bytedance/ibot ``main_ibot.py`` (iBOTLoss).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def centred_softmax(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """The teacher's distribution: centred, sharpened, without gradient.

    Args:
        logits: (..., K).
        centre: (K,).
        temperature: of the teacher, below the student's.

    Returns:
        (..., K), sums to one.
    """
    return ((logits.detach() - centre) / temperature).softmax(dim=-1)


def cross_entropy(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """H(teacher, student), Eq. (2) of DINO.

    Args:
        teacher: (..., K), distributions.
        student: (..., K), logits.
        temperature: of the student.

    Returns:
        (...).
    """
    return -(teacher * (student / temperature).log_softmax(dim=-1)).sum(dim=-1)


def view_loss(teacher: Sequence[Tensor], student: Sequence[Tensor], temperature: float) -> Tensor:
    """Each global view of the teacher against all other views of the student, Eq. (3) of DINO; mean over pairs.

    Args:
        teacher: distributions (B, K) of the global views.
        student: logits (B, K) of all views, the global ones first, in the teacher's order.
        temperature: of the student.

    Returns:
        A scalar.
    """
    pairs = [
        cross_entropy(target, logits, temperature).mean()
        for q, target in enumerate(teacher)
        for v, logits in enumerate(student)
        if v != q
    ]
    return torch.stack(pairs).mean()


def patch_loss(
    teacher: Sequence[Tensor], student: Sequence[Tensor], masks: Sequence[Tensor], temperature: float
) -> Tensor:
    """Masked patches of each global view against the teacher's unmasked ones, Eq. (2) of iBOT; mean over views.

    Args:
        teacher: distributions (B, N, K) of the global views.
        student: logits (B, N, K) of the same views, masked.
        masks: bool (B, N), True where the student's patch was masked; a picture without any adds zero.
        temperature: of the student.

    Returns:
        A scalar: for each picture the mean over its masked patches, then the mean over pictures and views.
    """
    views = []
    for target, logits, mask in zip(teacher, student, masks, strict=True):
        losses = cross_entropy(target, logits, temperature) * mask
        views.append((losses.sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)).mean())
    return torch.stack(views).mean()


def moved_centre(centre: Tensor, mean: Tensor, momentum: float) -> Tensor:
    """The running mean of the teacher's logits, Eq. (4) of DINO.

    Args:
        centre: (K,).
        mean: (K,), of the batch over all processes.
        momentum: m, 0.9 in the paper.
    """
    return centre * momentum + mean * (1 - momentum)


def entropy(distribution: Tensor) -> Tensor:
    """Entropy in nats over the last dimension.

    Args:
        distribution: (..., K), sums to one.
    """
    return torch.special.entr(distribution).sum(dim=-1)


def effective_rank(features: Tensor) -> float:
    """RankMe: the exponential of the entropy of the singular values, between 1 and min(B, D); near 1 after a collapse.

    Args:
        features: (B, D).

    References:
        Garrido et al., arXiv 2210.02885, Eq. (1).
    """
    values = torch.linalg.svdvals(features.float())
    total = float(values.sum())
    return 1.0 if total == 0 else float(entropy(values / total).exp())


def cosine(start: float, end: float, step: int, steps: int) -> float:
    """Half a cosine from ``start`` at step 0 towards ``end`` at ``steps``.

    Args:
        start: first value.
        end: last value.
        step: 0 to ``steps``.
        steps: of the whole run.
    """
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / max(steps, 1)))

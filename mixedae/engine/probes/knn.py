"""k-NN classification on frozen features: the vote and its accuracy.

References:
    Instance discrimination, arXiv 1805.01978, section 3.4 (votes weighted by exp(cosine / temperature)); DINO,
    facebookresearch/dino ``eval_knn.py`` (k of 10, 20, 100, 200; temperature 0.07).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import broadcast_object_list, is_main_process
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixedae.engine.probes.features import features_of
from mixedae.errors import ConfigError

KS = (10, 20, 100, 200)
TEMPERATURE = 0.07


def knn_accuracies(
    bank: Tensor,
    labels: Tensor,
    queries: Tensor,
    truth: Tensor,
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
    chunk: int = 256,
) -> dict[str, float]:
    """Top-1 accuracy of the weighted vote of each query's k nearest neighbours by cosine similarity.

    Args:
        bank: features (N, D) of labelled pictures; need not be normalised.
        labels: int64 (N,).
        queries: features (M, D).
        truth: int64 (M,).
        ks: how many neighbours vote; more than N are N.
        temperature: a neighbour votes with exp(cosine / temperature).
        chunk: queries that are compared at a time.

    Returns:
        ``knn/top1_k<k>`` for each k, in per cent.
    """
    classes, right = int(labels.max()) + 1, dict.fromkeys(ks, 0)
    parts = knn_votes(bank, labels, queries, classes, ks, temperature, chunk)
    for answer, votes in zip(truth.split(chunk), parts, strict=True):
        for k, vote in zip(ks, votes, strict=True):
            right[k] += int((vote.argmax(1) == answer).sum())
    return {f"knn/top1_k{k}": 100.0 * right[k] / len(truth) for k in ks}


def knn_votes(
    bank: Tensor,
    labels: Tensor,
    queries: Tensor,
    classes: int,
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
    chunk: int = 256,
) -> Iterator[list[Tensor]]:
    """What the nearest neighbours of each query vote for.

    Args:
        bank: see :func:`knn_accuracies`.
        labels: int64 (N,), or bool (N, C): a neighbour with several labels votes for each of them.
        queries: see there.
        classes: C.
        ks: see there.
        temperature: see there.
        chunk: see there.

    Yields:
        For every chunk of queries, shares of the votes (chunk, C) for each k; of single labels they add up to 1.
    """
    bank = F.normalize(bank.float(), dim=1)
    for part in queries.float().split(chunk):
        cosine = F.normalize(part, dim=1) @ bank.T
        near, index = cosine.topk(min(max(ks), len(bank)), dim=1)
        weights = ((near - near[:, :1]) / temperature).exp()  # the largest is 1: nothing overflows
        votes = []
        for k in ks:
            share = weights[:, :k] / weights[:, :k].sum(1, keepdim=True)
            if labels.ndim == 2:
                votes.append(torch.einsum("qk,qkc->qc", share, labels[index[:, :k]].float()))
            else:
                votes.append(
                    torch.zeros(len(part), classes, device=bank.device).scatter_add_(1, labels[index[:, :k]], share)
                )
        yield votes


def check_ks(ks: Sequence[int], pictures: int) -> None:
    """Check that there are as many pictures as neighbours, before any feature is computed.

    Args:
        ks: numbers of neighbours.
        pictures: that vote.

    Raises:
        ConfigError: there are fewer.
    """
    if not ks or min(ks) < 1 or max(ks) > pictures:
        raise ConfigError(
            f"ks={tuple(ks)} found for {pictures} pictures that vote; expected 1 to {pictures} neighbours, such as "
            f"ks={tuple(k for k in ks if 1 <= k <= pictures) or (1,)}"
        )


def labels_of(dataset: Any) -> Tensor:
    """The label of every picture, int64 (N,).

    Args:
        dataset: of mmpretrain, or around one, with one label per picture.
    """
    return torch.tensor([int(dataset.get_data_info(i)["gt_label"]) for i in range(len(dataset))])


def measure(
    model: nn.Module,
    bank: DataLoader,
    queries: DataLoader,
    ks: Sequence[int],
    temperatures: Sequence[float] = (TEMPERATURE,),
    pool: str = "mean",
) -> dict[str, float]:
    """k-NN accuracy of a model's features; the same numbers on all processes.

    Args:
        model: see :func:`mixedae.engine.probes.features.features_of`.
        bank: labelled pictures that vote.
        queries: pictures to classify.
        ks: see :func:`knn_accuracies`.
        temperatures: see there; the first is that of ``knn/top1_k<k>``.
        pool: see :data:`mixedae.engine.probes.features.POOLS`.

    Returns:
        Metrics, in per cent; with several temperatures also ``knn/best``, the highest of all, and its ``knn/k`` and
        ``knn/temperature``.
    """
    features, asked = (features_of(model, loader, pool) for loader in (bank, queries))
    metrics: list[Any] = [None]
    if is_main_process():
        device = next(model.parameters()).device
        labels, truth = (labels_of(loader.dataset) for loader in (bank, queries))
        features, labels, asked, truth = (t.to(device) for t in (features, labels, asked, truth))
        found = {t: knn_accuracies(features, labels, asked, truth, ks, t) for t in temperatures}
        metrics[0] = dict(found[temperatures[0]])
        if len(temperatures) > 1:
            points = [
                (value, k, t) for t, values in found.items() for k, value in zip(ks, values.values(), strict=True)
            ]
            best, k, temperature = max(points, key=lambda point: point[0])
            metrics[0] |= {"knn/best": best, "knn/k": k, "knn/temperature": temperature}
    broadcast_object_list(metrics)
    return metrics[0]

"""The parts of a set: a validation part is held out of the training data, so that nothing is chosen on test pictures.

The protocol of the eleven small classification sets (ssl-transfer; reference: arXiv 1805.08974, section A) holds out
20 % of the training pictures at random where a set has no validation split of its own.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixedae.errors import ConfigError, DataError

PARTS = ("trainval", "train", "val", "test")
FRACTION, SEED = 0.2, 0


def part_config(dataset: Mapping[str, Any], splits: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The config of one part of a set, or of what it is drawn from.

    Args:
        dataset: the set's config, without its split.
        splits: part to the set's ``split``, or to a dict of other arguments; may lack ``train`` and ``val``, which
            are then drawn from ``trainval``.
        part: of ``PARTS``.

    Returns:
        A dataset's config.
    """
    own = splits.get(part, splits.get("trainval"))
    return {**dataset, **({"split": own} if isinstance(own, str) else own or {})}


def held_out_indices(
    labels: Sequence[int | Sequence[int]], fraction: float = FRACTION, seed: int = SEED
) -> tuple[list[int], list[int]]:
    """Split positions into a training and a validation part, class by class.

    Of each class round(fraction * n) pictures, at least one, are held out, so no class lacks a validation picture; a
    plain random 20 % of Caltech101 would often miss one. A picture with several labels counts for its rarest class.

    Args:
        labels: one label, or several, for each picture.
        fraction: share to hold out, strictly between 0 and 1.
        seed: of the draw; the same on every machine.

    Returns:
        Positions of the training part and of the validation part, each in increasing order.

    Raises:
        ConfigError: the fraction is not between 0 and 1.
        DataError: a class has a single picture, or a picture has no label.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction={fraction} found; expected a share between 0 and 1")
    several = [list(x) if isinstance(x, Sequence) else [int(x)] for x in labels]
    total: dict[int, int] = defaultdict(int)
    for position, own in enumerate(several):
        if not own:
            raise DataError(f"picture {position} has no label; a held-out split needs one for every picture")
        for label in own:
            total[label] += 1
    members: dict[int, list[int]] = defaultdict(list)
    for position, own in enumerate(several):
        members[min(own, key=lambda label: (total[label], label))].append(position)
    rng = np.random.default_rng(seed)
    held: list[int] = []
    for label in sorted(members):
        count = max(1, round(fraction * len(members[label])))
        if count == len(members[label]):
            raise DataError(
                f"class {label} has {len(members[label])} training picture(s); at least 2 are needed to hold one out"
            )
        held += rng.choice(members[label], count, replace=False).tolist()
    chosen = set(held)
    return [i for i in range(len(several)) if i not in chosen], sorted(held)

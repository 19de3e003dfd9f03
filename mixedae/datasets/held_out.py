"""A validation set held out of the training data, for choosing hyper-parameters without a look at the test set.

The protocol of the eleven small classification sets (ssl-transfer; reference: arXiv 1805.08974, section A) holds out
20 % of the training pictures at random where a set has no validation split of its own.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS as MMPRETRAIN_DATASETS

from mixedae.errors import ConfigError, DataError
from mixedae.registry import DATASETS

PARTS = ("train", "val")


def held_out_indices(labels: Sequence[int | Sequence[int]], fraction: float, seed: int) -> tuple[list[int], list[int]]:
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


@DATASETS.register_module()
class HeldOutSplit(BaseDataset):
    """One part of a dataset that is split once, by class and by seed, into training and held-out pictures.

    Args:
        dataset: the config of the whole training set; its pipeline is replaced by ``pipeline``.
        part: ``train`` or ``val``.
        pipeline: transforms of this part.
        fraction: share of every class that is held out, 0.2 in the protocol.
        seed: of the draw.

    Raises:
        ConfigError: unknown part, impossible fraction.
        DataError: a class of which no picture can be held out.
    """

    def __init__(
        self, dataset: dict, part: str, pipeline: Sequence[dict] = (), fraction: float = 0.2, seed: int = 0
    ) -> None:
        if part not in PARTS:
            raise ConfigError(f"part={part!r} found; expected one of {PARTS}")
        self.part, self.fraction, self.seed = part, fraction, seed
        self._whole = MMPRETRAIN_DATASETS.build({**dataset, "pipeline": [], "lazy_init": False})
        super().__init__(ann_file="", metainfo=dict(self._whole.metainfo), pipeline=pipeline)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The annotations of this part's pictures, in the order of the whole set."""
        infos = [self._whole.get_data_info(i) for i in range(len(self._whole))]
        indices = held_out_indices([info["gt_label"] for info in infos], self.fraction, self.seed)
        del self._whole  # serialised twice otherwise
        return [infos[i] for i in indices[PARTS.index(self.part)]]

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of a picture, for mmpretrain's samplers and wrappers."""
        label = self.get_data_info(idx)["gt_label"]
        return list(label) if isinstance(label, Sequence) else [int(label)]

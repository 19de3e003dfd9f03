"""The small classification sets' parts: training, validation and test pictures, whichever way a set is divided."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS as MMPRETRAIN_DATASETS

from mixedae.datasets.held_out import FRACTION, PARTS, SEED, held_out_indices, part_config
from mixedae.errors import ConfigError, DataError
from mixedae.registry import DATASETS


def labels_of(info: Mapping[str, Any]) -> list[int]:
    """The classes of a picture, one or several.

    Args:
        info: of mmpretrain's datasets.
    """
    label = info["gt_label"]
    return list(label) if isinstance(label, Sequence) else [int(label)]


@DATASETS.register_module()
class SmallSet(BaseDataset):
    """One part of a small classification set: ``trainval``, ``train``, ``val`` or ``test``.

    ``train`` and ``val`` are the set's own splits where it has a validation split, else ``trainval`` divided by class
    and by seed (:func:`~mixedae.datasets.held_out.held_out_indices`).

    A set whose numbers of pictures differ from ``expected`` is refused with the difference, when it is built and so
    before anything is trained.

    Args:
        dataset: the config of the set, without its split; its pipeline is replaced by ``pipeline``.
        part: which part this is.
        pipeline: transforms.
        splits: what the set calls its parts: its ``split``, or a dict of arguments such as ``data_prefix``. A set
            without a validation split has only ``trainval`` and ``test``.
        expected: ``classes``, pictures by split (``trainval``, ``train``, ``val``, ``test``) and, by split, ``each``:
            how many pictures every class has. Without it nothing is compared.
        fraction: share of every class that is held out, 0.2 in the protocol.
        seed: of that draw.
        indices: take only the first so many pictures (an int), or these.

    Raises:
        ConfigError: unknown part or key, impossible fraction.
        DataError: other numbers than expected, a class without a picture, a class of which none can be held out.
    """

    def __init__(
        self,
        dataset: dict,
        part: str,
        pipeline: Sequence[dict] = (),
        splits: Mapping[str, Any] | None = None,
        expected: Mapping[str, Any] | None = None,
        fraction: float = FRACTION,
        seed: int = SEED,
        indices: int | Sequence[int] | None = None,
    ) -> None:
        self.splits = dict(splits or {name: name for name in PARTS})
        if part not in PARTS:
            raise ConfigError(f"part={part!r} found; expected one of {', '.join(PARTS)}")
        if not {"trainval", "test"} <= set(self.splits) <= set(PARTS) or ("train" in self.splits) != (
            "val" in self.splits
        ):
            raise ConfigError(
                f"splits has {', '.join(self.splits)}; expected trainval, test and both or none of train, val"
            )
        self.config, self.part, self.expected = dict(dataset), part, dict(expected or {})
        self.fraction, self.seed = fraction, seed
        self._whole = self._own(part)
        super().__init__(
            ann_file="",
            data_root=dataset.get("data_root", ""),
            metainfo=dict(self._whole.metainfo),
            pipeline=pipeline,
            indices=indices,
        )

    @property
    def divided(self) -> bool:
        """Whether this part is a share of the set's training pictures that was drawn here."""
        return self.part not in self.splits

    def load_data_list(self) -> list[dict[str, Any]]:
        """The annotations of this part's pictures, in the set's order."""
        infos = [self._whole.get_data_info(i) for i in range(len(self._whole))]
        del self._whole  # serialised twice otherwise
        if self.expected:
            check_counts(infos, self.expected, "trainval" if self.divided else self.part, self._name)
        if self.divided:
            infos = [infos[i] for i in self._drawn(infos)[("train", "val").index(self.part)]]
        return infos

    def held_out(self) -> tuple[list[int], list[int]]:
        """Positions in this part to train on and to validate on while hyper-parameters are chosen.

        Returns:
            The set's own division of ``trainval`` where it has one; else the same share of every class, at random.
        """
        infos = [self.get_data_info(i) for i in range(len(self))]
        if self.part != "trainval" or "val" not in self.splits:
            return self._drawn(infos)
        val = self._own("val")
        names = {val.get_data_info(i)["img_path"] for i in range(len(val))}
        sides: tuple[list[int], list[int]] = ([], [])
        for position, info in enumerate(infos):
            sides[info["img_path"] in names].append(position)
        return sides

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of a picture, for mmpretrain's samplers and wrappers."""
        return labels_of(self.get_data_info(idx))

    @property
    def _name(self) -> str:
        return f"{self.config['type']} in {self.data_root}"

    def _own(self, part: str) -> BaseDataset:
        config = part_config(self.config, self.splits, part)
        return MMPRETRAIN_DATASETS.build({**config, "pipeline": [], "lazy_init": False})

    def _drawn(self, infos: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
        return held_out_indices([info["gt_label"] for info in infos], self.fraction, self.seed)


def check_counts(infos: Sequence[Mapping[str, Any]], expected: Mapping[str, Any], part: str, name: str) -> Counter[int]:
    """Compare the pictures of a split with what its set is known to have.

    Args:
        infos: the pictures' annotations.
        expected: see :class:`SmallSet`.
        part: the split.
        name: of the set, for messages.

    Returns:
        Pictures by class.

    Raises:
        ConfigError: an unknown key.
        DataError: another number of pictures, of classes, or of a class's pictures.
    """
    if unknown := expected.keys() - {"classes", "each", *PARTS}:
        raise ConfigError(f"expected has the unknown key {min(unknown)!r}; known: classes, each, {', '.join(PARTS)}")
    found = Counter(label for info in infos for label in labels_of(info))
    where, remedy = f"{name}, {part}", "Is the archive whole? A set of your own has its own numbers: `expected`"
    total = expected.get(part)
    if total is not None and len(infos) != total:
        raise DataError(f"{where}: {len(infos)} pictures, {total} expected ({len(infos) - total:+}). {remedy}")
    classes = expected.get("classes", 0)
    if empty := [label for label in range(classes) if not found[label]]:
        raise DataError(
            f"{where}: {len(empty)} of {classes} classes have no picture, such as class {empty[0]}. {remedy}"
        )
    if classes and max(found) >= classes:
        raise DataError(f"{where}: class {max(found)} found, {classes} classes expected (0 to {classes - 1}). {remedy}")
    each = (expected.get("each") or {}).get(part)
    if each is not None and (odd := [(label, n) for label, n in sorted(found.items()) if n != each]):
        label, number = odd[0]
        raise DataError(
            f"{where}: {len(odd)} classes have another number of pictures than {each}, such as class {label}: {number} "
            f"({number - each:+}). {remedy}"
        )
    return found

"""Any folder of pictures, without labels: flat, nested or in folders of classes, in any mix of formats; or a list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpretrain.datasets import BaseDataset

from mixedae.datasets.listing import OWN_SUFFIXES, pictures_under
from mixedae.errors import DataError
from mixedae.registry import DATASETS


@DATASETS.register_module()
class Pictures(BaseDataset):
    """Unlabelled pictures, in the order of their paths.

    Args:
        data_root: the folder, or one picture; files whose names begin with a dot are left out, links are followed.
        ann_file: a list instead: one path a line, relative to ``data_root``; empty lines are left out.
        pipeline: transforms.
        **kwargs: see mmpretrain's; ``indices`` takes a part.

    Raises:
        DataError: no picture, or a line of the list that names no file.
    """

    def __init__(self, data_root: str, ann_file: str = "", pipeline: Sequence[dict] = (), **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, data_root=data_root, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict[str, str]]:
        """One entry a picture, ``img_path``."""
        return [{"img_path": str(path)} for path in list_pictures(Path(self.data_root), self.ann_file)]


def list_pictures(root: Path, ann_file: str = "") -> list[Path]:
    """The pictures of a folder or of a list.

    Args:
        root: the folder, or one picture.
        ann_file: path of a list, if there is one.

    Raises:
        DataError: no picture, or a line of the list that names no file.
    """
    if not ann_file and root.is_file() and root.name.lower().endswith(OWN_SUFFIXES):
        return [root]
    if not ann_file:
        found = list(pictures_under(root, OWN_SUFFIXES)) if root.is_dir() else []
        if not found:
            raise DataError(f"no picture in {root}; looked for {', '.join(OWN_SUFFIXES)} at any depth")
        return found
    lines = [line.strip() for line in Path(ann_file).read_text(encoding="utf-8").splitlines() if line.strip()]
    paths = [root / line for line in lines]
    for number, path in enumerate(paths, 1):
        if not path.is_file():
            raise DataError(f"{ann_file}, line {number}: {path} does not exist; expected a path relative to {root}")
    if not paths:
        raise DataError(f"{ann_file} names no picture; expected one path a line")
    return paths

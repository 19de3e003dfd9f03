"""COCO's categories by their names: whatever their order and ids in a file, label i is class i of the config.

mmdet takes them in the order of each file: a validation file that lists the same categories in another order gives
perfect predictions an AP of 0, without a word.
"""

from collections.abc import Sequence
from typing import Any

from mmdet.datasets import CocoDataset as UpstreamDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric as UpstreamMetric

from mixedae.errors import DataError
from mixedae.registry import DATASETS, METRICS
from mixedae.wording import nearest


class CategoriesByName(COCO):
    """pycocotools' COCO, whose categories come in the order in which they are asked for."""

    def get_cat_ids(
        self, cat_names: Sequence[str] = (), sup_names: Sequence[str] = (), cat_ids: Sequence[int] = ()
    ) -> list[int]:
        """Ids of categories.

        Args:
            cat_names: names, in the order of the ids that are given back; none for all.
            sup_names: see pycocotools.
            cat_ids: see pycocotools.

        Raises:
            DataError: the file has no category of that name.
        """
        if not cat_names:
            ids: list[int] = super().get_cat_ids(cat_names, sup_names, cat_ids)
            return ids
        known = {category["name"]: key for key, category in self.cats.items()}
        if missing := [name for name in cat_names if name not in known]:
            raise DataError(
                f"the annotations have no category `{missing[0]}`, which the config's classes name; "
                f"{nearest(missing[0], known)}"
            )
        return [known[name] for name in cat_names]


@DATASETS.register_module()
class CocoDataset(UpstreamDataset):
    """mmdet's, with categories by name."""

    COCOAPI = CategoriesByName


@METRICS.register_module()
class CocoMetric(UpstreamMetric):
    """mmdet's, with categories by name: the same map as the dataset's.

    Args:
        *args: see mmdet's.
        **kwargs: see mmdet's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._coco_api is not None:
            self._coco_api.__class__ = CategoriesByName

"""MixedAE and MAE on OpenMMLab: pre-training, transfer and one honest comparison.

Importing this package makes ``mmcv._ext``, mmcv's compiled operators, findable where mmcv was installed without them
(mixedae/ops/mmcv_fallback.py). mmdet looks for them while it is imported, so this package comes first: a config sees to
that with ``custom_imports=dict(imports=['mixedae.registry'])``, a script with ``import mixedae``.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

__version__ = "0.1.0"


class MmcvOpsFinder:
    """Finds the stand-in for ``mmcv._ext``. Last on the meta path, it is asked only where there is no compiled one."""

    MODULE = "mmcv._ext"

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for ``mmcv._ext`` alone, without executing it (and so without importing torch)."""
        if fullname != cls.MODULE:
            return None
        return spec_from_file_location(fullname, Path(__file__).with_name("ops") / "mmcv_fallback.py")


sys.meta_path.append(MmcvOpsFinder)

"""Child registries of mmengine's, scope ``mixedae``.

A config names a class as ``mixedae.<Class>`` and says ``custom_imports=dict(imports=['mixedae.registry'])``. Importing
this module is cheap (no torch): the classes load when a config first names one, through ``locations``. It also makes
mmengine's saves atomic, see :mod:`mixedae.saving`, in upstream's commands too, and the libraries quiet
(:mod:`mixedae.quiet`).
"""

import functools
import importlib
import inspect
from typing import Any

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

from mixedae import quiet, saving
from mixedae.errors import ConfigError
from mixedae.wording import nearest

SCOPE = "mixedae"
saving.install()
quiet.without_debugging_lines()


def accepted_keys(cls: type) -> set[str] | None:
    """Names of the arguments that ``cls`` can be built with, its bases' included where it passes ``**kwargs`` on.

    Returns:
        The set of names, or None where any name is accepted.
    """
    keys: set[str] = set()
    for base in cls.__mro__:
        init = base.__dict__.get("__init__")
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        keys |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return keys
    return None


HEAVY = {
    "CocoDataset": "mixedae.datasets.coco",
    "CocoMetric": "mixedae.datasets.coco",
    "DenseKNNLoop": "mixedae.engine.probes.dense",
    "DenseLogisticLoop": "mixedae.engine.probes.dense",
    "PatchLinearHead": "mixedae.models.patch_linear_head",
}
"""Types whose module imports a library that other tasks do not need; it is imported when a config names them."""


class StrictRegistry(Registry):
    """A registry whose classes answer an unknown config key with a :class:`ConfigError` naming the nearest one."""

    def get(self, key: str) -> Any:
        """The class of a name; see mmengine's.

        Args:
            key: without this registry's scope.
        """
        if key in HEAVY and key not in self._module_dict:
            importlib.import_module(HEAVY[key])
        return super().get(key)

    def _register_module(self, module: Any, module_name: Any = None, force: bool = False) -> None:
        super()._register_module(module, module_name, force)
        if inspect.isclass(module) and (keys := accepted_keys(module)) is not None:
            _check_keys_on_init(module, keys)


def _check_keys_on_init(cls: type, keys: set[str]) -> None:
    init = cls.__init__  # type: ignore[misc]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is cls and (unknown := sorted(set(kwargs) - keys)):
            listed = ", ".join(f"`{key}`" for key in unknown)
            raise ConfigError(f"mixedae.{cls.__name__} has no key {listed}; {nearest(unknown[0], keys)}")
        init(self, *args, **kwargs)

    cls.__init__ = checked  # type: ignore[misc]


def _child(name: str, parent: Registry, *locations: str) -> StrictRegistry:
    return StrictRegistry(name, parent=parent, scope=SCOPE, locations=list(locations))


MODELS = _child("model", MMENGINE_MODELS, "mixedae.models", "mixedae.methods")
WEIGHT_INITIALIZERS = _child("weight initializer", MMENGINE_WEIGHT_INITIALIZERS, "mixedae.weights.pretrained")
HOOKS = _child("hook", MMENGINE_HOOKS, "mixedae.engine")
RUNNERS = _child("runner", MMENGINE_RUNNERS, "mixedae.engine")
LOOPS = _child("loop", MMENGINE_LOOPS, "mixedae.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, "mixedae.engine"
)
OPTIM_WRAPPERS = _child("optimizer wrapper", MMENGINE_OPTIM_WRAPPERS, "mixedae.engine")
OPTIMIZERS = _child("optimizer", MMENGINE_OPTIMIZERS, "mixedae.engine")
DATASETS = _child(
    "dataset",
    MMENGINE_DATASETS,
    "mixedae.datasets.small_set",
    "mixedae.datasets.in_memory",
    "mixedae.datasets.pictures",
)
TRANSFORMS = _child(
    "transform",
    MMENGINE_TRANSFORMS,
    "mixedae.datasets.transforms",
    "mixedae.datasets.reading",
    "mixedae.datasets.picture_cache",
)
METRICS = _child("metric", MMENGINE_METRICS, "mixedae.engine")

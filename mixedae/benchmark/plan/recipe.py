"""A config as content: resolved, with everything left out that does not move a number, and hashed."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixedae.benchmark.plan.variants import Variant
from mixedae.errors import ConfigError
from mixedae.overlays import overlays_of

DATA_PREFIX = "MIXEDAE_DATA_"
# Keys that say where a run lands, what it prints or what the harness sets itself, and so are no part of the recipe.
NOT_RECIPE = (
    ("work_dir",),
    ("resume",),
    ("launcher",),
    ("log_level",),
    ("log_processor",),
    ("visualizer",),
    ("vis_backends",),
    ("randomness", "seed"),
    ("model", "backbone", "init_cfg", "checkpoint"),
)
# Hooks that only write down what a run does. Adding one to the configs makes no cell stale.
WATCHING_HOOKS = ("mixedae.OutcomesHook", "mixedae.RecognitionHook")


@dataclass(frozen=True)
class Recipe:
    """What the cache key needs to know of a config.

    Attributes:
        hash: sha256 of the resolved config without :data:`NOT_RECIPE` and without data folders.
        batch: images in one optimizer step of one process (loader's batch x accumulation), before ``accumulate_to``.
        precision: ``fp32``, ``amp-fp16`` or ``amp-bf16``.
        loader_batch: images that one process reads at a time.
        epochs: passes over the training data; None where the recipe counts iterations, or reads features once.
        iterations: steps of the training; None where the recipe counts epochs, or reads features once.
        validates: whether it has a validation.
        saves: whether it saves checkpoints.
        options: key of the config to value, what its variant sets.
        accumulate_to: the batch that the run accumulates to, on any number of processes; None: it does not.
    """

    hash: str
    batch: int
    precision: str
    loader_batch: int = 0
    epochs: int | None = None
    iterations: int | None = None
    validates: bool = False
    saves: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    accumulate_to: int | None = None

    def effective_batch(self, processes: int) -> int:
        """Images in one optimizer step over all processes, as ``mixedae.EffectiveBatchHook`` arranges it."""
        together = self.batch * processes
        return together * max(1, round(self.accumulate_to / together)) if self.accumulate_to else together


@contextmanager
def _default_data_roots() -> Iterator[None]:
    """Hide MIXEDAE_DATA_*: the data's place is no part of a recipe, its content is fingerprinted instead."""
    hidden = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith(DATA_PREFIX)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _plain(value: Any) -> str:
    """A stable text for what JSON does not know: classes and functions by name, the rest by repr."""
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


def _drop(tree: dict[str, Any], path: tuple[str, ...]) -> None:
    *parents, last = path
    for key in parents:
        tree = tree.get(key)  # type: ignore[assignment]
        if not isinstance(tree, dict):
            return
    tree.pop(last, None)


def precision_of(optim_wrapper: dict[str, Any]) -> str:
    """``fp32``, ``amp-fp16`` or ``amp-bf16``: what mmengine's optimizer wrapper computes in."""
    if "AmpOptimWrapper" not in str(optim_wrapper.get("type", "")):
        return "fp32"
    return "amp-bf16" if "bfloat16" in str(optim_wrapper.get("dtype")) else "amp-fp16"


def limit_options(recipe: Recipe, limit: int, processes: int = 1) -> list[str]:
    """``--cfg-options`` that hold a run to ``limit`` iterations and as many validation images as they train on.

    Frozen features are read in one pass, which has no iterations to limit: only their validation images are.

    Args:
        recipe: of the run.
        limit: iterations.
        processes: in all.
    """
    images = limit * recipe.loader_batch * processes
    options = []
    if recipe.iterations is not None:
        options = [f"train_cfg.max_iters={limit}", f"train_cfg.val_interval={limit}"]
    elif recipe.epochs is not None:
        options = ["train_cfg.max_epochs=1", f"train_dataloader.dataset.indices={images}"]
    return [*options, *([f"val_dataloader.dataset.indices={images}"] if recipe.validates else [])]


def read_config(path: Path) -> Any:
    """Read a config (bases, variables); imports mmengine.config, but no torch.

    Raises:
        ConfigError: the file is absent or does not parse.
    """
    if not path.is_file():
        raise ConfigError(f"config {path} does not exist")
    from mmengine.config import Config

    try:
        with _default_data_roots():
            return Config.fromfile(path, import_custom_modules=False)
    except Exception as error:  # a config is Python: anything can happen in it
        raise ConfigError(f"config {path} does not resolve: {type(error).__name__}: {error}") from None


def resolve(path: Path) -> Recipe:
    """Read a config as it stands and take what the cache key needs; see :func:`recipe_of`."""
    return recipe_of(read_config(path), path)


def recipe_of(config: Any, path: Path, variant: Variant | None = None) -> Recipe:
    """What the cache key needs of a config.

    Overlays count by what they change: one that is added to a config makes no cell stale that does not use it.

    Args:
        config: as :func:`read_config` gave it; it is not changed.
        path: the config's, for messages.
        variant: what is changed of it.

    Raises:
        ConfigError: the variant does not fit the config, or the config has no train_dataloader.
    """
    options: dict[str, Any] = {}
    variables = overlays_of(config)
    if variant is not None:
        config, options = variant.merge(config, path)
    tree = config.to_dict()
    loader, wrapper = tree.get("train_dataloader"), tree.get("optim_wrapper")
    if not isinstance(loader, dict) or "batch_size" not in loader or not isinstance(wrapper, dict):
        raise ConfigError(f"config {path} has no train_dataloader.batch_size or no optim_wrapper: is it a leaf config?")
    for key in (*NOT_RECIPE, *((name,) for name in variables)):
        _drop(tree, key)
    if isinstance(hooks := tree.get("custom_hooks"), list):
        tree["custom_hooks"] = [hook for hook in hooks if hook.get("type") not in WATCHING_HOOKS]
    text = json.dumps(tree, sort_keys=True, default=_plain)
    scaling = tree.get("auto_scale_lr") or {}
    accumulates = scaling.get("accumulate") and "accumulative_counts" not in wrapper
    return Recipe(
        hash=hashlib.sha256(text.encode()).hexdigest(),
        batch=int(loader["batch_size"]) * int(wrapper.get("accumulative_counts", 1)),
        precision=precision_of(wrapper),
        loader_batch=int(loader["batch_size"]),
        epochs=(tree.get("train_cfg") or {}).get("max_epochs"),
        iterations=(tree.get("train_cfg") or {}).get("max_iters"),
        validates=bool(tree.get("val_dataloader")),
        saves=bool((tree.get("default_hooks") or {}).get("checkpoint")),
        options=tuple(options.items()),
        accumulate_to=scaling["base_batch_size"] if accumulates else None,
    )

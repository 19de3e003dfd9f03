"""What a cell trains: a config, what is changed of it, its command line, and the hash of all that can move a number."""

import copy
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixedae.benchmark.plan.imported import hash_of_modules, own_modules
from mixedae.benchmark.plan.recipe_facts import OWN_TYPES, encoder_of, folders_of, lacks_of, measured_by
from mixedae.errors import ConfigError
from mixedae.nodes import seen_per_picture
from mixedae.options import BASE_LR, as_arguments, merge_options
from mixedae.overlays import merge_overlays, overlays_of
from mixedae.wording import nearest

DATA_PREFIX = "MIXEDAE_DATA_"
# Keys that say where a run lands, what it prints or what the harness sets itself, and so are no part of the recipe.
NOT_RECIPE = (
    ("work_dir",),
    ("resume",),
    ("launcher",),
    ("runner_type",),
    ("log_level",),
    ("log_processor",),
    ("visualizer",),
    ("vis_backends",),
    ("randomness", "seed"),
    ("model", "backbone", "init_cfg", "checkpoint"),
)
# Hooks on which no weight depends. Adding one to a config makes no cell stale.
WATCHING_HOOKS = (
    "mixedae.OutcomesHook", "mixedae.RecognitionHook", "mixedae.OnlineProbeHook", "mixedae.StrictLoadingHook",
    "mixedae.CollapseHook", "mixedae.WaitingHook",
)  # fmt: skip
# Part of every hash. It is raised when the same recipe gives other numbers, so that nothing older stays cached.
NUMBERS = 2  # 2: draws by place, LARS as MAE has it, the patch embedding's bias starts as in MAE
# The same for recipes with one type of training loop. Linear probe: 2 counts pictures whose best log-odds are negative.
NUMBERS_OF_LOOP = {"mixedae.LinearProbeLoop": 2}
READER = "mixedae.LoadPicture"  # how a file becomes pixels is no part of a recipe
READERS = ("mixedae.CocoDataset", "mixedae.CocoMetric")


@dataclass(frozen=True)
class Variant:
    """A config and what is changed of it.

    Attributes:
        config: relative to the repository's root.
        overlays: variables of the config that are merged over it, in order.
        options: key of the config to value, merged last.
    """

    config: str
    overlays: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def merge(self, config: Any, path: Path) -> tuple[Any, dict[str, str]]:
        """The config with all of it.

        Args:
            config: an mmengine Config, which is not changed.
            path: the config's, for messages.

        Returns:
            The merged config, and those options that the config leaves out: each with the type that must accept it.

        Raises:
            ConfigError: no such overlay, no such key, or a value that a command line cannot give.
        """
        merged = copy.deepcopy(config)
        merge_overlays(merged, self.overlays, path)
        options = dict(self.options)
        as_arguments(options, path)  # what runs a cell is a command line
        added = {key: kind for key in options if (kind := _added_to(merged, key, path))}
        merge_options(merged, options, path)
        return merged, added

    def command(self, path: Path, work_dir: str) -> tuple[str, ...]:
        """What trains it by hand, in the repository's root.

        Args:
            path: the config's, for messages.
            work_dir: where the run lands.
        """
        overlays = [word for name in self.overlays for word in ("--overlay", name)]
        words = as_arguments(dict(self.options), path)
        start = ("tools/train.py", self.config, "--work-dir", work_dir)
        return (*start, *overlays, *(["--cfg-options", *words] if words else []))


def _added_to(config: Any, key: str, path: Path) -> str | None:
    """The type to which an option adds a key; None if the config has the key.

    A key may only be added to one of this project's types: its class says, before any training, which keys it accepts.

    Raises:
        ConfigError: merged over the config, the key would change nothing.
    """
    if key == BASE_LR:
        return None
    node, parts = config, key.split(".")
    for depth, part in enumerate(parts, 1):
        try:
            node = node[int(part)] if isinstance(node, list | tuple) else node[part]
        except (KeyError, IndexError, ValueError, TypeError, AttributeError):
            kind = str(node.get("type")) if isinstance(node, dict) else ""
            if depth == len(parts) and kind.startswith(OWN_TYPES):
                return kind
            hint = nearest(part, map(str, node)) if isinstance(node, dict) else f"found {node!r} in its place"
            raise ConfigError(f"config {path} has no `{key}`: `{part}` is not there; {hint}") from None
    return None


@dataclass(frozen=True)
class Recipe:
    """What the cache key needs to know of a config.

    Attributes:
        hash: sha256 of the resolved config without :data:`NOT_RECIPE` and without data folders.
        batch: images in one optimizer step of one process (loader's batch x accumulation), before ``accumulate_to``.
        precision: ``fp32``, ``amp-fp16`` or ``amp-bf16``.
        loader_batch: images that one process reads at a time.
        epochs: passes over the training data; None if the recipe counts iterations, or reads features once.
        seen: pictures that one picture is seen as in an epoch: 1, or by the area of its crops.
        iterations: steps of the training; None if the recipe counts epochs, or reads features once.
        validates: whether it has a validation.
        saves: whether it saves checkpoints.
        options: key of the config to value, what its variant sets.
        added: those of the options that the config leaves out, each with the type that must accept it.
        accumulate_to: the batch that the run accumulates to, on any number of processes; None: it does not.
        lacks: hooks of :data:`~mixedae.benchmark.plan.recipe_facts.NEEDED_HOOKS` that it does not name.
        measures: keys of what its validation measures; None where an evaluator does not say.
        modules: a user's own modules that it imports; their files are part of the hash.
        encoder: the type of its backbone.
        reads: folders that its loaders read, with every data root at its default place.
    """

    hash: str
    batch: int
    precision: str
    loader_batch: int = 0
    epochs: int | None = None
    seen: float = 1.0
    iterations: int | None = None
    validates: bool = False
    saves: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    added: tuple[tuple[str, str], ...] = ()
    accumulate_to: int | None = None
    lacks: tuple[str, ...] = ()
    measures: frozenset[str] | None = None
    modules: tuple[str, ...] = ()
    encoder: str = ""
    reads: tuple[str, ...] = ()

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


def _without_reader(tree: Any) -> Any:
    """A config as it was before this project's readers, which give the same of ordinary pictures and COCO's files."""
    if isinstance(tree, dict):
        if (kind := tree.get("type")) in READERS:
            tree = {**tree, "type": kind.removeprefix(OWN_TYPES)}
        if tree.get("type") == READER:
            return {"type": "LoadImageFromFile", "imdecode_backend": "pillow"}
        return {key: _without_reader(value) for key, value in tree.items()}
    return [_without_reader(item) for item in tree] if isinstance(tree, list | tuple) else tree


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


def recipe_of(config: Any, path: Path, variant: Variant | None = None) -> Recipe:
    """What the cache key needs of a config.

    Overlays count by what they change: an overlay that is not used does not change the hash.

    Args:
        config: as :func:`read_config` gave it; it is not changed.
        path: the config's, for messages.
        variant: what is changed of it.

    Raises:
        ConfigError: the variant does not fit the config, or the config has no train_dataloader.
    """
    added: dict[str, str] = {}
    variables = overlays_of(config)
    if variant is not None:
        config, added = variant.merge(config, path)
    tree = config.to_dict()
    loader, wrapper = tree.get("train_dataloader"), tree.get("optim_wrapper")
    if not isinstance(loader, dict) or "batch_size" not in loader or not isinstance(wrapper, dict):
        raise ConfigError(f"config {path} has no train_dataloader.batch_size or no optim_wrapper: is it a leaf config?")
    for key in (*NOT_RECIPE, *((name,) for name in variables)):
        _drop(tree, key)
    if isinstance(hooks := tree.get("custom_hooks"), list):
        tree["custom_hooks"] = [hook for hook in hooks if hook.get("type") not in WATCHING_HOOKS]
    modules = own_modules(tree)
    loop = NUMBERS_OF_LOOP.get((tree.get("train_cfg") or {}).get("type", ""))
    parts = [
        NUMBERS,
        _without_reader(tree),
        *([hash_of_modules(modules)] if modules else []),
        *([loop] if loop else []),
    ]
    text = json.dumps(parts, sort_keys=True, default=_plain)
    scaling = tree.get("auto_scale_lr") or {}
    accumulates = scaling.get("accumulate") and "accumulative_counts" not in wrapper
    return Recipe(
        hash=hashlib.sha256(text.encode()).hexdigest(),
        batch=int(loader["batch_size"]) * int(wrapper.get("accumulative_counts", 1)),
        precision=precision_of(wrapper),
        loader_batch=int(loader["batch_size"]),
        epochs=(tree.get("train_cfg") or {}).get("max_epochs"),
        seen=round(seen_per_picture(loader), 3),
        iterations=(tree.get("train_cfg") or {}).get("max_iters"),
        validates=bool(tree.get("val_dataloader")),
        saves=bool((tree.get("default_hooks") or {}).get("checkpoint")),
        options=variant.options if variant else (),
        added=tuple(added.items()),
        accumulate_to=scaling["base_batch_size"] if accumulates else None,
        lacks=lacks_of(tree),
        measures=measured_by(tree),
        modules=tuple(modules),
        encoder=encoder_of(tree),
        reads=tuple(dict.fromkeys(folders_of([tree.get(f"{split}_dataloader") for split in ("train", "val")]))),
    )

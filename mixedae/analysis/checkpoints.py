"""The checkpoints that a command is given: ``[NAME=]FILE``, their configs, and models built from both."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import mixedae.registry  # noqa: F401  # makes mmengine know the scope
from mixedae.errors import ConfigError, WeightsError
from mixedae.methods import MAE, MixedAE
from mixedae.models import MixedAEViT
from mixedae.registry import MODELS, accepted_keys
from mixedae.weights import anatomy_of, load_backbone, load_model, read_weights, to_backbone

RANDOM = "random"
"""Given instead of a file: the first checkpoint's model with its initial weights, pre-trained for zero epochs."""

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass(frozen=True)
class Entry:
    """One checkpoint to look at; entries of one name are seeds of one pre-training.

    Attributes:
        name: what figures call it.
        path: the file; None for initial weights.
        config: of the run that wrote it; None if there is none.
    """

    name: str
    path: Path | None
    config: Path | None


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, and the normalisation of its input.

    Attributes:
        name: of its entry.
        model: a pre-training model, or a plain ViT.
        mean: of the RGB channels, 0..255.
        std: likewise.
    """

    name: str
    model: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels to the model's input.

        Args:
            pixels: (B, 3, H, W), RGB, 0..1.
        """
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (pixels * 255 - mean) / std

    def pixels(self, images: Tensor) -> Tensor:
        """Invert :meth:`normalise`.

        Args:
            images: (B, 3, H, W).
        """
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (images * std + mean) / 255


def parse_entries(checkpoints: Sequence[str], configs: Sequence[str] = (), also: Iterable[str] = ()) -> list[Entry]:
    """Read the arguments of a command.

    Args:
        checkpoints: ``[NAME=]FILE``; the name is by default the file's folder and its own. ``NAME=random`` stands for
            initial weights.
        configs: ``[NAME=]FILE``; a bare FILE is for all names. By default the config that mmengine's Runner left
            beside the checkpoint.
        also: other names that a config may be given for.

    Raises:
        ConfigError: a file that does not exist, a config for a name that no checkpoint has, or several configs beside
            one checkpoint.
    """
    named = [_split(text) for text in checkpoints]
    given = dict(_split(text) for text in configs)
    names = {name or _default_name(file) for name, file in named} | set(also)
    if unknown := sorted(set(given) - names - {""}):
        raise ConfigError(f"--config {unknown[0]}=...: no checkpoint has this name; expected one of {sorted(names)}")
    for file in given.values():
        if not Path(file).is_file():
            raise ConfigError(f"no config file {file}; the recipes are in mm_configs/")
    entries: list[Entry] = []
    for name, file in named:
        name = name or _default_name(file)
        config = given.get(name, given.get(""))
        if file == RANDOM:
            found = Path(config) if config else (entries[0].config if entries else None)
            if found is None:
                raise ConfigError(f"{name}=random: give a checkpoint with a config before it, or --config {name}=FILE")
            entries.append(Entry(name, None, found))
        else:
            entries.append(Entry(name, Path(file), Path(config) if config else _config_beside(Path(file))))
    beside = [entry.config for entry in entries if entry.config is not None and str(entry.config) not in given.values()]
    if beside:
        files = ", ".join(dict.fromkeys(map(str, beside)))
        print(f"note: a config is code, and the one beside a checkpoint is run: {files}", file=sys.stderr)
    return entries


def parse_runs(runs: Sequence[str]) -> dict[str, Path]:
    """Read ``[NAME=]DIR`` arguments; the name is by default the folder's.

    Args:
        runs: work dirs.

    Raises:
        ConfigError: two folders of one name.
    """
    named = [(name or Path(folder).absolute().name, Path(folder)) for name, folder in map(_split, runs)]
    if len(dict(named)) < len(named):
        raise ConfigError(f"--run: two folders of one name in {', '.join(runs)}; give each its own NAME=")
    return dict(named)


def load_pretraining(entry: Entry) -> Loaded:
    """Build the pre-training model and load all of it, strictly.

    Args:
        entry: a checkpoint with a config.

    Raises:
        ConfigError: no config, or one of another kind of model.
        WeightsError: the checkpoint does not fit the config.
    """
    if entry.config is None:
        raise ConfigError(
            f"{entry.name}: no config lies beside {entry.path}; say --config {entry.name}=FILE, the one it was "
            "pre-trained with"
        )
    cfg = _read(entry.config)
    model = _built(entry, cfg.model)
    if not isinstance(model, MAE | MixedAE):
        raise ConfigError(
            f"{entry.name}: {entry.config} builds a {type(model).__name__}; expected the config of a pre-training "
            "(mixedae.MAE or mixedae.MixedAE)"
        )
    if entry.path is None:
        _initialise(model)
    else:
        load_model(model, entry.path)
    model.eval()
    return Loaded(entry.name, model, *_statistics(cfg))


def load_encoder(entry: Entry, need_cls: bool = True) -> Loaded:
    """Build the plain ViT of a checkpoint and load it, strictly.

    With a config its backbone is built. Without one the sizes are read off the tensors, the number of heads is that of
    the usual ViT of this width, and pixels are normalised with ImageNet's mean and deviation.

    Args:
        entry: any checkpoint that :func:`mixedae.weights.load_backbone` reads.
        need_cls: refuse a ViT without a [CLS] token.

    Raises:
        ConfigError: no [CLS] token, or the number of heads is unknown.
        WeightsError: the checkpoint does not fit.
    """
    cfg = _read(entry.config) if entry.config else None
    if cfg is not None:
        keys = (accepted_keys(MixedAEViT) or set()) - {"init_cfg", "out_indices", "out_type", "final_norm"}
        options = {key: value for key, value in cfg.model.backbone.items() if key in keys}
    else:
        options = _sizes(entry)
    encoder = _built(entry, dict(type="mixedae.MixedAEViT", out_type="raw", **options))
    if need_cls and encoder.cls_token is None:
        raise ConfigError(f"{entry.name} has no [CLS] token, which is asked for")
    if entry.path is None:
        _initialise(encoder)
    else:
        load_backbone(encoder, entry.path, allow_missing=("ln1.*",))
    encoder.eval()
    return Loaded(entry.name, encoder, *(_statistics(cfg) if cfg is not None else IMAGENET))


def grouped(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Entries by name, in the order of first appearance.

    Args:
        entries: of a command.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.name, []).append(entry)
    return groups


def _split(text: str) -> tuple[str, str]:
    name, sign, file = text.partition("=")
    return (name, file) if sign and "/" not in name else ("", text)


def _default_name(file: str) -> str:
    path = Path(file)
    return f"{path.absolute().parent.name}/{path.stem}"


def _config_beside(checkpoint: Path) -> Path | None:
    found = sorted(checkpoint.absolute().parent.glob("*.py"))
    if len(found) > 1:
        raise ConfigError(
            f"{len(found)} configs lie beside {checkpoint} ({', '.join(path.name for path in found)}); choose with "
            "--config NAME=FILE"
        )
    return found[0] if found else None


def _read(path: Path) -> Config:
    try:
        cfg = Config.fromfile(path)
    except (SyntaxError, NameError, OSError) as error:
        raise ConfigError(f"config {path} cannot be read: {error}") from error
    if "model" not in cfg:
        raise ConfigError(f"config {path} has no `model`; expected the config of a training run")
    return cfg


def _built(entry: Entry, cfg: Mapping[str, Any]) -> Any:
    init_default_scope("mmpretrain")
    try:
        return MODELS.build(dict(cfg))
    except KeyError as error:
        raise ConfigError(f"{entry.name}: {entry.config} does not build: {error.args[0]}") from error


def _initialise(model: nn.Module) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.init_weights()  # type: ignore[operator]


def _statistics(cfg: Config) -> tuple[tuple[float, ...], tuple[float, ...]]:
    preprocessor = cfg.model.get("data_preprocessor") or cfg.get("data_preprocessor") or {}
    mean, std = preprocessor.get("mean", IMAGENET[0]), preprocessor.get("std", IMAGENET[1])
    return tuple(map(float, mean)), tuple(map(float, std))


def _sizes(entry: Entry) -> dict[str, Any]:
    """Options of MixedAEViT for a state dict whose names are known (:func:`mixedae.weights.to_backbone`)."""
    assert entry.path is not None  # initial weights have a config
    weights = read_weights(entry.path)
    try:
        tensors, name = to_backbone(weights.tensors)
        return anatomy_of(tensors, name, weights.facts).options()
    except WeightsError as error:
        raise WeightsError(f"{entry.name} ({entry.path}): {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{entry.name} ({entry.path}): {error}, or --config {entry.name}=FILE") from None

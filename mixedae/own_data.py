"""``--data [NAME=]DIR``: where a config's data lies, or a folder of one's own pictures to pre-train on. No torch."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixedae.errors import ConfigError, DataError
from mixedae.wording import nearest

if TYPE_CHECKING:
    from mmengine.config import Config

VARIABLE = re.compile(r"\{\{\s*\$MIXEDAE_DATA_(\w+)")
PREFIX = "MIXEDAE_DATA_"
IN_MEMORY = "mixedae.PicturesInMemory"


def names_in(cfg: "Config") -> list[str]:
    """Names of the data that a config and its bases read, in small letters.

    Args:
        cfg: as mmengine read it from a file.
    """
    return sorted({name.lower() for name in VARIABLE.findall(cfg.text)})


def with_data(path: str, given: Sequence[str]) -> "Config":
    """Read a config with its data where ``--data`` says.

    ``NAME=DIR`` sets ``MIXEDAE_DATA_<NAME>``. A folder or a list without a name is, for pre-training, all pictures in
    it, at any depth and without labels; for other recipes it is the folder of the one set that the recipe reads.

    Args:
        path: the config's.
        given: what ``--data`` gave, one or several.

    Raises:
        ConfigError: a name that the config does not read, or no name where it reads several.
        DataError: no such folder or file.
    """
    from mmengine.config import Config

    check_places()
    cfg = Config.fromfile(path)
    known = names_in(cfg)
    own: Path | None = None
    for word in given:
        name, equals, place = word.partition("=")
        if not equals:
            name, place = "", word
        if not Path(place).exists():
            raise DataError(f"--data {word}: {place} does not exist; expected a folder")
        if not name and _pretrains(cfg):
            own = Path(place).absolute()
            continue
        if not name:
            if len(known) != 1:
                raise ConfigError(f"--data {word}: {path} reads {', '.join(known) or 'no named data'}; give NAME=DIR")
            name = known[0]
        if name.lower() not in known:
            raise ConfigError(f"--data {word}: {path} reads no data of that name; {nearest(name, known)}")
        os.environ[PREFIX + name.upper()] = str(Path(place).absolute())
    check_places()
    cfg = Config.fromfile(path)
    if own is not None:
        _read_own_pictures(cfg, own)
    return cfg


def check_places() -> None:
    """Check that ``MIXEDAE_DATA_*`` can stand in a config, whose text they become a part of.

    Raises:
        DataError: one has a quote, a backslash or a line break in it.
    """
    for name, value in os.environ.items():
        if name.startswith(PREFIX) and (odd := sorted(set('"\\\n') & set(value))):
            raise DataError(
                f"{name}={value!r} has {' and '.join(map(repr, odd))} in it; link the folder from another place"
            )


def _pretrains(cfg: "Config") -> bool:
    """Whether a recipe reads pictures without labels."""
    head = (cfg.get("model") or {}).get("head") or {}
    return cfg.get("default_scope") == "mmpretrain" and "num_classes" not in head and bool(cfg.get("train_dataloader"))


def _read_own_pictures(cfg: "Config", place: Path) -> None:
    """Let a pre-training read all pictures of a folder, or those of a list."""
    before = cfg.train_dataloader.dataset
    if place.is_dir() and (place / "train").is_dir():
        place = place / "train"  # ImageNet's layout: validation pictures are not trained on
        print(f"--data: {place} is read, and not what lies beside it")
    root = {"data_root": str(place)} if place.is_dir() else {"data_root": str(place.parent), "ann_file": place.name}
    if before.get("type") == IN_MEMORY:
        if place.is_file():
            raise ConfigError("--data: a list found; a recipe that keeps its pictures in memory takes a folder")
        cfg.train_dataloader.dataset = dict(before, data_root=str(place), data_prefix="", with_label=False)
        return
    cfg.train_dataloader.dataset = dict(type="mixedae.Pictures", pipeline=before.pipeline, **root)

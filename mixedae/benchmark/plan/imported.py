"""A user's own modules behind ``custom_imports``: their files belong to a recipe, as its config does."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixedae.errors import ConfigError
from mixedae.files import ROOT

LIBRARIES = ("mixedae", "mmengine", "mmcv", "mmpretrain", "mmseg", "mmdet", "torch", "torchvision", "timm")
"""Top-level packages whose versions a result records by themselves."""


def own_modules(config: Mapping[str, Any]) -> list[str]:
    """Names of modules that a config imports and that are no library's.

    Args:
        config: resolved, as a dict.
    """
    imports = (config.get("custom_imports") or {}).get("imports") or []
    names = [imports] if isinstance(imports, str) else list(imports)
    return [name for name in names if name.split(".")[0] not in LIBRARIES]


def hash_of_modules(names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each module's source: its file, or for a package all Python files in it. Nothing is imported.

    Args:
        names: dotted.

    Returns:
        Name to digest.

    Raises:
        ConfigError: a module is not found.
    """
    return {name: _digest(_files(name)) for name in names}


def check_imports(names: Iterable[str]) -> None:
    """Import the modules, as a training will.

    Args:
        names: dotted.

    Raises:
        ConfigError: with the cause, and what to do.
    """
    for name in names:
        try:
            with _from_root():
                importlib.import_module(name)
        except Exception as error:  # it is a program: anything can happen in it
            raise ConfigError(
                f"custom_imports: {name} cannot be imported ({type(error).__name__}: {error}); mend it, or put its "
                f"folder on PYTHONPATH. It is looked for from {ROOT} too"
            ) from error


def _files(name: str) -> list[Path]:
    try:
        with _from_root():
            spec = importlib.util.find_spec(name)
    except Exception as error:  # a parent package runs
        raise ConfigError(f"custom_imports: {name} is not found ({type(error).__name__}: {error})") from error
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"custom_imports: there is no module {name}; put its folder on PYTHONPATH, or name it from {ROOT}"
        )
    file = Path(spec.origin)
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@contextmanager
def _from_root() -> Iterator[None]:
    """Cells run in the repository's root, which is on their path."""
    sys.path.append(str(ROOT))
    try:
        yield
    finally:
        sys.path.remove(str(ROOT))

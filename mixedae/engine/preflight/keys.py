"""Unknown keys in the configs of this project's types, told with the nearest known key."""

import importlib
from collections.abc import Iterable
from typing import Any

from mmengine.registry import Registry

import mixedae.registry
from mixedae.errors import ConfigError
from mixedae.nodes import walk
from mixedae.registry import accepted_keys
from mixedae.wording import nearest

TAKEN_BY_MMENGINE = frozenset({"type", "_scope_", "priority", "_delete_", "constructor", "paramwise_cfg"})


def check_known_keys(cfg: Any) -> None:
    """Compare every ``dict(type='mixedae.X', ...)`` in a config with the arguments of X.

    Args:
        cfg: the resolved config.

    Raises:
        ConfigError: unknown type or key.
    """
    for path, node in walk(cfg):
        kind = node.get("type")
        if isinstance(kind, str) and kind.startswith(f"{mixedae.registry.SCOPE}."):
            check_keys(path, kind, node.keys())


def check_keys(path: str, kind: str, keys: Iterable[str]) -> None:
    """Compare keys with the arguments of one of this project's types.

    Args:
        path: where the type is named, for the message.
        kind: such as ``mixedae.MixedAE``.
        keys: of its config.

    Raises:
        ConfigError: unknown type or key.
    """
    known = accepted_keys(registered(kind, path))
    if known is None:  # the class takes any key
        return
    for key in set(keys) - known - TAKEN_BY_MMENGINE:
        raise ConfigError(f"{path or 'the config'} ({kind}) has the unknown key `{key}`; {nearest(key, known)}")


def registered(kind: str, path: str = "") -> type:
    """The class that a config names.

    Args:
        kind: such as ``mixedae.MixedAE``.
        path: where it is named, for the message.

    Returns:
        The class.

    Raises:
        ConfigError: this project has no such type.
    """
    name = kind.split(".", 1)[1]
    if name in mixedae.registry.HEAVY:
        importlib.import_module(mixedae.registry.HEAVY[name])
    known: dict[str, type] = {}
    for registry in vars(mixedae.registry).values():
        if isinstance(registry, Registry) and registry.scope == mixedae.registry.SCOPE:
            registry.import_from_location()
            known.update(registry.module_dict)
    if name not in known:
        names = [f"{mixedae.registry.SCOPE}.{each}" for each in known]
        raise ConfigError(f"{path or 'the config'}: unknown type `{kind}`; {nearest(kind, names)}")
    return known[name]

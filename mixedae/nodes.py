"""Dictionaries inside a config: walking over them, the type that one names, sizes. No torch, no mmengine."""

from collections.abc import Iterator, Sequence
from typing import Any


def walk(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every dict inside a config, with its path.

    Args:
        node: a config, dict, list or value.
        path: of ``node``.

    Yields:
        Pairs such as ``('model.backbone', {...})``.
    """
    if hasattr(node, "keys"):
        yield path, node
        for key in node.keys():  # noqa: SIM118  # mmengine's Config iterates over keys only through keys()
            yield from walk(node[key], f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for i, item in enumerate(node):
            yield from walk(item, f"{path}[{i}]")


def type_name(node: Any) -> str:
    """The type that a dict names, without its scope; empty without one."""
    return str(node.get("type", "")).split(".")[-1]


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of one number or two."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def image_size(backbone: Any) -> tuple[int, int]:
    """(height, width) that a ViT's config is for, in pixels."""
    return pair(backbone.get("img_size", 224))


def patch_side(backbone: Any) -> int:
    """Side of a ViT's patches in pixels."""
    side: int = pair(backbone.get("patch_size", 16))[0]
    return side


def crop_sizes(loader: Any) -> list[tuple[int, int]]:
    """(height, width) of each random crop that a training loader's pipeline cuts, those inside other steps included."""
    found = []
    for _, step in walk((loader.get("dataset") or {}).get("pipeline") or ()):
        if type_name(step).endswith("RandomResizedCrop") and step.get("scale") is not None:
            found.append(pair(step["scale"]))
    return found

"""Where each key of a resolved config comes from: a file of its chain of bases, an overlay, or the command line."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from mixedae.files import ROOT
from mixedae.options import merge_options
from mixedae.overlays import RUNNER_KEYS, merge_overlays

if TYPE_CHECKING:
    from mmengine.config import Config

OPTIONS = "--cfg-options"
READ = RUNNER_KEYS | {"custom_imports"}


@dataclass
class Origins:
    """The values of a config, and what set each.

    Attributes:
        values: dotted key to value, such as ``param_scheduler.0.end``; a list of plain values is one value.
        sources: dotted key to what set it.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def follow(self, config: Any, source: str, named: Iterable[str] = ()) -> None:
        """Take a config as it is after a change.

        Args:
            config: the whole config.
            source: what changed it. It set what is new or has another value now.
            named: keys that the source set itself, if only to the value that they had before.
        """
        values, named = flat(config), set(named)
        self.sources = {
            key: source
            if key not in self.values or repr(self.values[key]) != repr(value) or named & set(_prefixes(key))
            else self.sources[key]
            for key, value in values.items()
        }
        self.values = values


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts, lists and tuples as dotted keys."""
    if isinstance(tree, dict) or not prefix:  # the whole: an mmengine Config
        items = [(str(key), value) for key, value in tree.items() if key != "_delete_"]
    elif isinstance(tree, list | tuple) and any(isinstance(item, dict | list | tuple) for item in tree):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        items = []
    if not items:
        return {prefix: tree} if prefix else {}
    return {k: v for key, value in items for k, v in flat(value, f"{prefix}.{key}" if prefix else key).items()}


def _prefixes(key: str) -> Iterator[str]:
    """``a.b.c``, ``a.b`` and ``a``: a key is set by what sets one that it lies in."""
    while key:
        yield key
        key = key.rpartition(".")[0]


def read_origins(path: str | Path) -> tuple["Config", Origins]:
    """Read a config as ``Config.fromfile`` does, any library's and either style of config, and note who set what.

    A value that a file takes from its base and writes down again, such as a list that it changes, is the file's.
    """
    from mmengine.config import Config

    with _watching(Config) as finished:
        config = Config.fromfile(str(path))
    (origins,) = finished
    origins.values = flat(config)  # Config gives the classes where files of the new style have names of them
    return config, origins


@contextmanager
def _watching(kind: Any) -> Iterator[list[Origins]]:
    """Watch mmengine read a chain of files: what each returns, and what it sets itself before it is merged.

    mmengine keeps neither, so its two readers and its merge are wrapped for as long as one config is read.

    Yields:
        The origins of files that were read and are nobody's base; at the end one.
    """
    levels: list[list[Origins]] = [[]]  # of the files that are being read, those of their bases
    own: list[set[str]] = []  # what the file sets that is being read
    merging = False
    merge = kind._merge_a_into_b

    def merged(a: dict, b: dict, allow_list_keys: bool = False) -> dict:
        nonlocal merging
        if merging:  # it calls itself for the dicts inside
            return merge(a, b, allow_list_keys)
        own[-1] |= flat(a).keys()
        merging = True
        try:
            return merge(a, b, allow_list_keys)
        finally:
            merging = False

    def watched(read: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
        def reading(filename: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
            levels.append([])
            own.append(set())
            result = read(filename, *args, **kwargs)
            origins = Origins()
            for base in levels.pop():
                origins.values |= base.values
                origins.sources |= base.sources
            origins.follow(result[0], _shown(filename), own.pop())
            levels[-1].append(origins)
            return result

        return reading

    with (
        patch.object(kind, "_merge_a_into_b", staticmethod(merged)),
        patch.object(kind, "_file2dict", staticmethod(watched(kind._file2dict))),
        patch.object(kind, "_parse_lazy_import", staticmethod(watched(kind._parse_lazy_import))),
    ):
        yield levels[0]


def _shown(path: str | Path) -> str:
    """A file's path from the repository's root, of an installed library's config from the library's name."""
    resolved = Path(path).resolve()
    libraries = [folder.parents[1] for folder in resolved.parents if folder.name == ".mim"]
    for folder in (*libraries, ROOT):
        if resolved.is_relative_to(folder):
            return str(resolved.relative_to(folder))
    return str(resolved)


def origins_of_run(
    path: str, overlays: Iterable[str], options: Mapping[str, Any], final: "Config", command: str
) -> Origins:
    """The origins of all that a run reads.

    Args:
        path: of the config.
        overlays: variables of it that are merged over it.
        options: of ``--cfg-options``.
        final: the config that the run gets.
        command: what set the rest of it (work_dir, launcher), such as ``tools/train.py``.
    """
    config, origins = read_origins(path)
    for name in overlays:
        named = flat(config[name])
        merge_overlays(config, [name], path)
        origins.follow(config, f"overlay {name}", named)
    merge_options(config, options, path)
    origins.follow(config, OPTIONS, options)
    origins.follow(final, command)
    return origins


def as_text(origins: Origins) -> str:
    """One line per key, ``key = value  # source``: first what is read, then the variables it was computed from."""
    lines = {key: f"{key} = {value!r}" for key, value in origins.values.items()}
    read = [key for key in lines if key.split(".")[0] in READ]
    variables = [key for key in lines if key not in set(read)]
    width = min(80, max(map(len, lines.values()), default=0))
    shown = [f"{lines[key]:<{width}}  # {origins.sources[key]}" for key in read]
    if variables:
        shown += [
            "",
            "Variables of the config files. The run does not read them, but the keys that were computed from them:",
        ]
        shown += [f"{lines[key]:<{width}}  # {origins.sources[key]}" for key in variables]
    return "\n".join(shown)

"""Strict pydantic models for the YAML and JSON files of the benchmark; errors name the nearest known key."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mixedae.errors import ConfigError
from mixedae.wording import nearest

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A frozen model in which an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise ConfigError(f"unknown key `{key}`; {nearest(str(key), cls.model_fields)}")
        return data


# libyaml's parser if PyYAML was built with it: seven times as fast, the same rules.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueKeyLoader(_SafeLoader):  # type: ignore[misc]
    """A safe loader that refuses a key given twice. YAML would keep the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"key `{key}` is given twice (line {node.start_mark.line + 1} onwards)")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def explain(error: ValidationError) -> str:
    """The complaints of pydantic in one line: where in the file, and what is wrong there."""
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {message}" if place else message)
    return "; ".join(lines)


def load_yaml(path: Path, model: type[M]) -> M:
    """Read a YAML file into a strict model.

    Args:
        path: the file.
        model: the pydantic model that describes it.

    Raises:
        ConfigError: the file is absent, not YAML, or does not follow the model; the message says where.
    """
    if not path.is_file():
        near = nearest(path.stem, (other.stem for other in path.parent.glob("*.yaml")))
        raise ConfigError(f"{path} does not exist; {near}")
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
        return model.model_validate(data)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_pairs(flag: str, arguments: Iterable[str], form: str) -> dict[str, str]:
    """Read the arguments of a flag that is given as ``NAME=VALUE``.

    Args:
        flag: such as ``--data``.
        arguments: what was given.
        form: what each must look like, for the message: ``NAME=DIR``.

    Raises:
        ConfigError: an argument has another form.
    """
    found = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if not name or not value:
            raise ConfigError(f"{flag} {argument}: expected {form}")
        found[name] = value
    return found

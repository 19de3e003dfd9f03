"""Read checkpoints as data: nothing that a file contains is ever executed, and a damaged file is refused by name.

torch.load with ``weights_only=True`` refuses every pickled object except tensors and plain containers. Training
checkpoints of mmengine also hold its log history and numpy numbers, those of official MAE an argparse namespace. Who
wants weights gets an inert stand-in for these classes, so that none of their code runs. Who resumes a run gets numbers
and arrays as they are, and a log history that is built from them. There is no fallback to an unsafe load.
"""

import json
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixedae.errors import WeightsError
from mixedae.weights.facts import Facts, facts_of
from mixedae.weights.standins import History, ignored_globals, kept_globals

WRAPPERS = ("state_dict", "model")
"""Keys under which checkpoints keep their weights: OpenMMLab's and timm's, then official MAE's."""

AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "ema")
"""Keys of weights that were averaged over the training, beside the last ones: timm's, DeiT's, mmengine's."""

PAIRS = ("teacher", "student")
"""Keys of self-distillation: DINO's and iBOT's. Both papers evaluate the teacher."""

INDEX = ".safetensors.index.json"

IN_FOLDERS = ("model.safetensors", f"model{INDEX}", "pytorch_model.bin")
"""Files of Hugging Face's folders."""

ADVICE = re.compile(r"(Re-running|In PyTorch 2\.6)")
"""Where PyTorch's errors begin to advise an unsafe load, which is not repeated."""

ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Weights:
    """One set of weights of a file.

    Attributes:
        tensors: by name, without DistributedDataParallel's ``module.`` and torch.compile's ``_orig_mod.``.
        note: which set it is and which others the file has, in words; empty if it has one.
        facts: what the file, or the config beside it, says of the model.
    """

    tensors: dict[str, Tensor]
    note: str
    facts: Facts


def read_weights(path: str | Path, map_location: str | torch.device = "cpu", part: str = "") -> Weights:
    """:func:`read_state_dict` of a file that may hold several sets of weights.

    Args:
        path: a local file; also the index of sharded safetensors (``*.safetensors.index.json``).
        map_location: the device of the tensors.
        part: which set: a key of the file, or ``ema`` for the averaged ones. By default ``state_dict`` or ``model``,
            else ``teacher``.

    Raises:
        WeightsError: see :func:`read_state_dict`; or there is no such part.
    """
    path = local_file(path)
    content = _read(path, map_location, ignored_globals())
    keys = (*WRAPPERS, *PAIRS, *AVERAGED)
    there = [key for key in keys if isinstance(content, Mapping) and _is_set(content.get(key))]
    chosen = part or next(iter(there), "")
    if part == "ema":
        chosen = next((key for key in AVERAGED if key in there), part)
    if part and not (isinstance(content, Mapping) and _is_set(content.get(chosen))):
        raise WeightsError(f"checkpoint {path} has no part {part!r}; it has {', '.join(there) or 'one set of weights'}")
    tensors = _unwrap(content[chosen] if chosen else content, path)
    others = [key for key in there if key != chosen]
    note = f" [{chosen} is read, {' and '.join(others)} not]" if others else ""
    return Weights(tensors, note, facts_of(path, content))


def _is_set(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(each, Tensor) for each in value.values())


def read_state_dict(path: str | Path, map_location: str | torch.device = "cpu", part: str = "") -> dict[str, Tensor]:
    """Read the weights of a checkpoint: ``.pth`` (zip or legacy) or ``.safetensors``, recognised by its content.

    The checksum of every record of a zip file is verified, so that a flipped byte is found. safetensors and PyTorch's
    format before 1.6 have no checksums; in these only truncation is found.

    Args:
        path: a local file.
        map_location: the device of the tensors.
        part: see :func:`read_weights`.

    Returns:
        Names and tensors, unwrapped from ``state_dict`` or ``model`` and without DistributedDataParallel's ``module.``.

    Raises:
        WeightsError: absent, empty, truncated, damaged or unsafe file, or one without weights.
    """
    return read_weights(path, map_location, part).tensors


def read_checkpoint(path: str | Path, map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """Read all of a checkpoint, the state of its run included, to resume from it.

    Args:
        path: a local file, as for :func:`read_state_dict`.
        map_location: the device of the tensors.

    Returns:
        The file's content, with the weights under ``state_dict`` as :func:`read_state_dict` gives them. ``meta`` has no
        ``config``, which mmengine would run as a program.

    Raises:
        WeightsError: absent, empty, truncated, damaged or unsafe file, or one without weights.
    """
    path = local_file(path)
    content = _read(path, map_location, kept_globals())
    state_dict = OrderedDict(_unwrap(content, path))
    wrapped = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    state_dict._metadata = getattr(wrapped, "_metadata", OrderedDict())  # type: ignore[attr-defined]  # as torch has it
    if wrapped is None:
        return {"state_dict": state_dict}
    checkpoint = {**content, "state_dict": state_dict}
    if isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"].pop("config", None)
    try:
        scalars = checkpoint.get("message_hub", {}).get("log_scalars", {})
        scalars.update({key: value.buffer() for key, value in scalars.items() if isinstance(value, History)})
    except (AttributeError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    return checkpoint


def local_file(path: str | Path) -> Path:
    """The path of a checkpoint that is there.

    Args:
        path: as a user gave it.

    Raises:
        WeightsError: a URL, a folder, or nothing.
    """
    path = Path(path).expanduser()
    if "://" in str(path) or str(path).startswith(("http:/", "https:/")):
        raise WeightsError(f"checkpoint {path} is not a local file; download it first and give its path")
    if not path.is_file():
        what = "does not exist"
        if path.is_dir():
            inside = next((name for name in IN_FOLDERS if (path / name).is_file()), None)
            what = "is a folder" + (f"; give {path / inside}" if inside else "")
        raise WeightsError(f"checkpoint {path} {what}; expected a .pth or .safetensors file (relative to {Path.cwd()})")
    return path


def _read(path: Path, map_location: str | torch.device, allowed: Sequence[Any]) -> Any:
    """The content of a file, recognised by its first bytes."""
    with path.open("rb") as file:
        head = file.read(9)
    if not head:
        raise WeightsError(f"checkpoint {path} is empty (0 bytes): writing it was interrupted; use an earlier one")
    is_zip = head.startswith(ZIP_MAGIC)
    if path.name.endswith(INDEX):
        return _read_sharded(path, map_location)
    if not is_zip and head[8:9] == b"{":  # safetensors: the header's length in 8 bytes, then JSON
        return _read_safetensors(path, map_location)
    if is_zip:
        _check_zip(path)
    return _read_torch(path, map_location, allowed)


def _read_safetensors(path: Path, map_location: str | torch.device) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=str(map_location))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _read_sharded(path: Path, map_location: str | torch.device) -> dict[str, Tensor]:
    """All files that an index names; each tensor comes from the file that the index says."""
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(places.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    tensors: dict[str, Tensor] = {}
    for name in files:
        if Path(name).name != name or not (path.parent / name).is_file():
            raise WeightsError(
                f"{path} names the file {name}, which is not beside it; copy all files of the checkpoint"
            )
        found = _read_safetensors(path.parent / name, map_location)
        tensors.update({key: value for key, value in found.items() if places.get(key) == name})
    if missing := sorted(set(places) - set(tensors)):
        raise WeightsError(
            f"{path} names {missing[0]} ({len(missing)} such), which none of its files has; copy it again"
        )
    return tensors


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except Exception as error:  # on damaged bytes zipfile raises nearly anything
        raise _damaged(path, error) from error
    if broken is not None:
        raise _damaged(path, f"the checksum of record {broken} is wrong")


def _read_torch(path: Path, map_location: str | torch.device, allowed: Sequence[Any]) -> Any:
    try:
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # and so does torch
        cause = str(error)
        if any(mark in cause for mark in ("Unsupported global", "unsupported GLOBAL", "unrecognized function")):
            found = next((line for line in cause.splitlines() if "GLOBAL" in line or "unrecognized" in line), cause)
            raise WeightsError(
                f"checkpoint {path} is refused as unsafe: it asks for code to be run ({found.strip()[:200]}). Expected "
                "tensors and plain containers only; if you trust the file, save its state dict alone as .safetensors"
            ) from None
        raise _damaged(path, error) from error


def _damaged(path: Path, cause: Exception | str) -> WeightsError:
    text = ADVICE.split(" ".join(str(cause).split()))[0].strip()[:200]
    kind = f"{type(cause).__name__}: {text}" if isinstance(cause, Exception) else text
    return WeightsError(
        f"checkpoint {path} ({path.stat().st_size} bytes) is truncated or damaged ({kind}); "
        "copy it again or use an earlier one"
    )


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"checkpoint {path} holds no state dict but {_describe(content)}")
    others = [
        str(name) for name, value in content.items() if not isinstance(value, Tensor) or not isinstance(name, str)
    ]
    if others:
        raise WeightsError(
            f"checkpoint {path} holds no state dict: {len(others)} of its {len(content)} entries are not tensors "
            f"({', '.join(others[:5])}); expected names and tensors, bare or under {' or '.join(WRAPPERS)}"
        )
    state_dict = dict(content)
    for start in ("module.", "_orig_mod.", "module."):  # either may be around the other
        if all(name.startswith(start) for name in state_dict):
            state_dict = {name.removeprefix(start): value for name, value in state_dict.items()}
    return state_dict


def _describe(content: Any) -> str:
    return "nothing" if isinstance(content, Mapping) else f"a {type(content).__name__}"

"""A ViT as a graph that runs without its Python code: ONNX, and torch.export's own format. The batch size stays free.

References:
    PyTorch ``torch.onnx.export`` with ``dynamo=True``, and ``torch.export.save``.
"""

import contextlib
import io
from pathlib import Path

import torch
from torch import Tensor, nn

from mixedae.errors import ConfigError, WeightsError
from mixedae.files import replacing

OPTIONAL = "pip install -r requirements-export.txt (make test-export builds an environment with it)"
TOLERANCE = 1e-4
"""Largest allowed distance from PyTorch's features, relative to their largest number."""


def write_program(vit: nn.Module, path: str | Path, pictures: Tensor) -> float:
    """Write ``torch.export``'s format, read it back and compare.

    Args:
        vit: in evaluation mode.
        path: the file; ``torch.export.load(path).module()(pictures)`` gives the features.
        pictures: (B, C, H, W), an example; H and W are fixed by it.

    Returns:
        The largest distance from PyTorch's features at another batch size, relative to the largest feature.

    Raises:
        WeightsError: the file gives other features than the model.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    program = torch.export.export(vit, (pictures,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            torch.export.save(program, file)
        with temporary.open("rb") as file:
            again = torch.export.load(file).module()
        return _distance(vit, again, pictures, path)


def write_onnx(vit: nn.Module, path: str | Path, pictures: Tensor) -> float:
    """Write ONNX, with the input ``pictures`` and the output ``features``, and compare with onnxruntime.

    Args:
        vit: in evaluation mode.
        path: the file; the weights are in it.
        pictures: (B, C, H, W), an example; H and W are fixed by it.

    Returns:
        See :func:`write_program`.

    Raises:
        ConfigError: onnx, onnxscript or onnxruntime is not installed.
        WeightsError: see :func:`write_program`.
    """
    path = Path(path)
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # what torch.onnx writes with
    except ImportError as error:
        raise ConfigError(f"--to onnx needs {error.name}: {OPTIONAL}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):  # torch.onnx tells each of its steps
        program = torch.onnx.export(
            vit,
            (pictures,),
            dynamo=True,
            input_names=["pictures"],
            output_names=["features"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    with replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])

        def again(x: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {"pictures": x.numpy()})[0])

        return _distance(vit, again, pictures, path)


def _distance(vit: nn.Module, again: object, pictures: Tensor, path: Path) -> float:
    assert callable(again)
    generator = torch.Generator().manual_seed(0)
    other = torch.randn((len(pictures) + 1, *pictures.shape[1:]), generator=generator)
    with torch.no_grad():
        expected, found = vit(other), again(other)
    distance = float((found - expected).abs().max() / expected.abs().max())
    if not distance <= TOLERANCE:
        raise WeightsError(f"{path} gives features {distance:.1e} apart from PyTorch's; nothing was written")
    return distance

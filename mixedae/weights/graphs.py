"""A ViT as a graph that runs without its Python code: ONNX, and torch.export's own format. The batch size stays free.

References:
    PyTorch ``torch.onnx.export`` with ``dynamo=True``, and ``torch.export.save``.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mixedae.errors import ConfigError, WeightsError
from mixedae.files import replacing

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

OPTIONAL = "pip install -r requirements-export.txt (make test-export builds an environment with it)"
TOLERANCE = 1e-4
"""Largest allowed distance from PyTorch's features, relative to their largest number."""


class Backbone(nn.Module):
    """Pooled features and all tokens of timm's ViT, which a graph gives both.

    Args:
        vit: in evaluation mode.
    """

    def __init__(self, vit: "VisionTransformer") -> None:
        super().__init__()
        self.vit = vit

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Compute both.

        Args:
            pictures: (B, C, H, W), normalised.

        Returns:
            ``features`` (B, D), see :func:`mixedae.weights.load_vit`; ``tokens`` (B, T, D) after the last norm.
        """
        tokens = self.vit.forward_features(pictures)
        return self.vit.forward_head(tokens, pre_logits=True), tokens


def write_program(vit: "VisionTransformer", path: str | Path, pictures: Tensor) -> float:
    """Write ``torch.export``'s format, read it back and compare.

    Args:
        vit: in evaluation mode.
        path: the file; ``torch.export.load(path).module()(pictures)`` gives features and tokens.
        pictures: (B, C, H, W), an example; H and W are fixed by it.

    Returns:
        The largest distance from PyTorch's tokens at another batch size, relative to the largest.

    Raises:
        WeightsError: the file gives other features than the model.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = Backbone(vit)
    with _quiet(), replacing(path) as temporary:
        program = torch.export.export(model, (pictures,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        with temporary.open("wb") as file:
            torch.export.save(program, file)
        with temporary.open("rb") as file:
            again = torch.export.load(file).module()
        return _distance(model, again, pictures, path)


def write_onnx(vit: "VisionTransformer", path: str | Path, pictures: Tensor) -> float:
    """Write ONNX, from ``pictures`` to ``features`` and ``tokens``, and compare with onnxruntime.

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
    model = Backbone(vit)
    with _quiet(), replacing(path) as temporary:
        program = torch.onnx.export(
            model,
            (pictures,),
            dynamo=True,
            input_names=["pictures"],
            output_names=["features", "tokens"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        assert program is not None
        program.save(str(temporary), external_data=False)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])

        def again(x: Tensor) -> list[Tensor]:
            return [torch.from_numpy(found) for found in session.run(None, {"pictures": x.numpy()})]

        return _distance(model, again, pictures, path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch's exporters tell each of their steps, and warn of their own code."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _distance(model: Backbone, again: Callable[[Tensor], Sequence[Tensor]], pictures: Tensor, path: Path) -> float:
    generator = torch.Generator().manual_seed(0)
    other = torch.randn((len(pictures) + 1, *pictures.shape[1:]), generator=generator)
    with torch.no_grad():
        pairs = list(zip(model(other), again(other), strict=True))
    distance = max(float((found - expected).abs().max() / expected.abs().max()) for expected, found in pairs)
    if not distance <= TOLERANCE:
        raise WeightsError(f"{path} gives features {distance:.1e} apart from PyTorch's; nothing was written")
    return distance

"""What a training writes and the harness reads: file names, their content, and names of scalars. No torch, no NumPy.

The hooks of :mod:`mixedae.engine` write these files into a run's folder; :mod:`mixedae.benchmark` and
:mod:`mixedae.analysis` read them. Both sides take every name from here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, ValidationError

from mixedae.files import read_json

RECORD = "run_record.json"
"""A :class:`RunRecord`, written after the training."""

PROGRESS = "progress.json"
"""A :class:`Progress`, replaced again and again during the training."""

OUTCOMES = "outcomes.npz"
"""Arrays with each test image's outcome, see :data:`OutcomeKind`, and a header."""

OUTCOMES_SCHEMA = 1
OUTCOMES_HEADER = "header"
"""The array that holds an :class:`OutcomesHeader` as JSON bytes."""

SCALARS = "*/vis_data/scalars.json"
"""Where mmengine logs scalars, one JSON object per line; each start of a run adds a folder."""

CHANCE_SCALAR = "recognition/chance"
_LAYER_SCALAR = re.compile(r"recognition/layer_(\d+)")


ONLINE = ("knn", "linear", "rankme")
"""What is measured while an encoder is pre-trained."""
_PROBE_SCALAR = re.compile(r"layers/(knn|linear)_(\d+)")


class RunRecord(BaseModel):
    """What a finished run was and gave. Keys that are not listed here are ignored when it is read.

    Attributes:
        status: an interrupted run leaves no record, so there is one value only.
        metrics: of a validation of the final weights; empty without a validation.
        num_val_images: how many images that validation had; 0 without one.
        iterations: of the training.
        epochs: passes over the training images.
        effective_batch: images per optimizer step, over all processes.
        lr: the peak learning rate.
        precision: ``fp32``, ``amp-fp16`` or ``amp-bf16``.
        world_size: processes.
        accumulation: iterations per optimizer step.
        wall_time_s: seconds of training, those before a resume included.
        peak_memory_mb: of the GPU in 10^6 bytes; without a GPU, of the process.
        checkpoint: file name of the last checkpoint.
        load_report: what the pre-trained weights gave to the backbone, see :class:`mixedae.weights.LoadReport`.
    """

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="constants")  # NaN stays NaN in JSON

    status: Literal["finished"]
    metrics: dict[str, Any] = {}
    num_val_images: int | None = None
    iterations: int
    epochs: float | None = None
    effective_batch: int
    lr: float | None = None
    precision: str
    world_size: int
    accumulation: int = 1
    wall_time_s: float
    peak_memory_mb: float | None = None
    checkpoint: str | None = None
    load_report: dict[str, Any] | None = None


class Progress(BaseModel):
    """How far a run is.

    Attributes:
        phase: ``train`` or ``val``.
        epoch: epochs that are done; None for runs that are counted in iterations.
        max_epochs: of the training; None likewise.
        iter: iterations that are done.
        max_iters: of the training.
        loss: of the last iteration.
        lr: the current learning rate of parameters with scale 1.
        eta_s: seconds left, validations included.
        metrics: of the last validation.
    """

    model_config = ConfigDict(extra="ignore")

    phase: Literal["train", "val"] = "train"
    epoch: int | None = None
    max_epochs: int | None = None
    iter: int = 0
    max_iters: int | None = None
    loss: float | None = None
    lr: float | None = None
    eta_s: float | None = None
    metrics: dict[str, Any] = {}


def read_progress(folder: Path) -> Progress | None:
    """How far the run in a folder is; None before its first step, and while the file cannot be read."""
    try:
        return Progress.model_validate(read_json(folder / PROGRESS))
    except ValidationError:
        return None


OutcomeKind = Literal["correct", "recalls", "ranking", "areas", "detections"]
"""What is stored per test image; N images.

- ``correct`` (classification): ``correct`` (N,) bool, ``label`` (N,);
- ``recalls`` (mean per class): the same, and ``classes`` (1,), how many there are;
- ``ranking`` (11-point mAP of several labels a picture): ``score`` (N, classes) and ``positive`` (N, classes) bool;
- ``areas`` (segmentation): ``intersect`` and ``union``, (N, classes), in pixels;
- ``detections`` (COCO's AP over all areas): ``images`` (N,) ids; for each category and image with objects that count
  ``object_category``, ``object_image`` (index) and ``object_count``; for each detection, in COCOeval's order,
  ``category``, ``image``, ``score``, ``matched`` and ``ignored`` (bit t: at IoU threshold t), and ``thresholds``.
"""


class OutcomesHeader(TypedDict):
    """The header of :data:`OUTCOMES`.

    Attributes:
        schema: :data:`OUTCOMES_SCHEMA`.
        items_sha256: of the test images' names in order; None if the dataset does not name them.
        metrics: key of the metric, as in a :class:`RunRecord`, to what is stored for it.
    """

    schema: int
    items_sha256: str | None
    metrics: dict[str, OutcomeKind]


def outcomes_array(metric: str, array: str) -> str:
    """The name in :data:`OUTCOMES` of one array of a metric, such as ``accuracy/top1:correct``."""
    return f"{metric}:{array}"


def layer_scalar(layer: int) -> str:
    """The scalar that holds the recognition accuracy of a layer, ``recognition/layer_1`` for the first.

    It does not begin with ``train/``, so that mmengine puts it into no line of the log.
    """
    return f"recognition/layer_{layer}"


def layer_of(scalar: str) -> int | None:
    """The layer of which a scalar holds the recognition accuracy, from 1; None for any other scalar."""
    found = _LAYER_SCALAR.fullmatch(scalar)
    return int(found[1]) if found else None


def online_scalar(name: str) -> str:
    """The scalar of a figure of :data:`ONLINE`, such as ``online/knn``."""
    return f"online/{name}"


def probe_scalar(probe: str, layer: int) -> str:
    """The metric that holds a probe's accuracy on a layer, ``layers/knn_1`` for k-NN on the first."""
    return f"layers/{probe}_{layer}"


def probe_of(metric: str) -> tuple[str, int] | None:
    """The probe and the layer of a metric of :func:`probe_scalar`; None for any other metric."""
    found = _PROBE_SCALAR.fullmatch(metric)
    return (found[1], int(found[2])) if found else None


def scalar_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Every line of scalars that a run logged, the oldest first; a line that a kill cut short is left out.

    Args:
        folder: the run's folder; a resumed run has several logs.
    """
    for path in sorted(folder.glob(SCALARS)):
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line

"""Weights of a whole model: its own, to test or to go on; or MAE's of another code, to go on pre-training."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mixedae.errors import WeightsError
from mixedae.weights.facts import compare_facts, facts_of
from mixedae.weights.formats import find_decoder, to_backbone
from mixedae.weights.reading import read_state_dict
from mixedae.weights.report import listed

BEYOND_MAE = ("segment_embed", "head.projector.*")
"""What MixedAE has and MAE has not; new where a pre-training goes on from MAE's weights."""

DECODER = "neck.decoder_pred.weight"


def load_model(model: nn.Module, path: str | Path) -> None:
    """Load a whole trained model (backbone, neck and heads), for testing: names and shapes must agree exactly.

    Args:
        model: built from the config that the checkpoint was trained with.
        path: see :func:`mixedae.weights.read_state_dict`.

    Raises:
        WeightsError: a file that cannot be read, or any tensor missing, unexpected or of another shape.
    """
    load_whole(model, read_state_dict(path), path)


def load_whole(model: nn.Module, state_dict: Mapping[str, Tensor], path: str | Path) -> None:
    """Load a whole model's state dict; names and shapes must agree exactly, or the model stays as it is.

    Args:
        model: built from the config that the checkpoint was trained with.
        state_dict: of a checkpoint.
        path: the checkpoint's, for the message.

    Raises:
        WeightsError: any tensor is missing, unexpected or of another shape.
    """
    target = model.state_dict()
    problems = {
        "missing": [name for name in target if name not in state_dict],
        "unexpected": [name for name in state_dict if name not in target],
        "of another shape": [
            f"{name} {tuple(state_dict[name].shape)} for {tuple(value.shape)}"
            for name, value in target.items()
            if name in state_dict and state_dict[name].shape != value.shape
        ],
    }
    if any(problems.values()):
        raise WeightsError(
            f"checkpoint {path} was not trained with this config. {listed(problems)}. Give the config that it belongs "
            "to"
        )
    model.load_state_dict(state_dict)


def load_start(model: nn.Module, content: Mapping[str, Any], path: str | Path) -> str:
    """Load the weights that a training starts from: a whole model's, or for a pre-training model MAE's of any code.

    Official MAE's whole checkpoint and Hugging Face's ViTMAE have another code's names; mmpretrain's and this project's
    MAE have MixedAE's names but neither segment embeddings nor a projector, which stay as they are initialised.

    Args:
        model: built from a config.
        content: of a checkpoint, see :func:`mixedae.weights.read_checkpoint`.
        path: the checkpoint's.

    Returns:
        In words what was translated and what is new; empty for the model's own weights.

    Raises:
        WeightsError: see :func:`load_whole`; or weights for a pre-training that have no decoder, or other heads.
    """
    target, state_dict = model.state_dict(), content["state_dict"]
    if DECODER not in target:
        load_whole(model, state_dict, path)
        return ""
    named, said = dict(state_dict), []
    if DECODER not in state_dict:
        decoder = find_decoder(state_dict)
        if decoder is None:
            raise WeightsError(
                f"checkpoint {path} has no decoder of MAE, so a pre-training cannot go on from it. To start from its "
                "encoder alone, leave load_from out and give model.backbone.init_cfg.type=mixedae.PretrainedViT "
                f"model.backbone.init_cfg.checkpoint={path}"
            )
        backbone, format_name = to_backbone(state_dict)
        named = {f"backbone.{name}": value for name, value in backbone.items()}
        named |= {f"neck.{name}": value for name, value in decoder.items()}
        notes = compare_facts(model.backbone, facts_of(Path(path), content), format_name, path)
        said += [f"{format_name}, encoder and decoder", *notes]
    new = [name for name in target if name not in named and any(fnmatchcase(name, each) for each in BEYOND_MAE)]
    if new:
        named |= {name: target[name] for name in new}
        said.append(f"new: {', '.join(new)}")
    load_whole(model, named, path)
    return "; ".join(said)

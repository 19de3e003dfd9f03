"""Tiny random models of transformers, and what they compute; stored beside the tests, which run without transformers.

``python -m tests.weights.huggingface_models`` writes the files again, in the environment of ``make test-export``.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FIXTURES = Path(__file__).parent / "fixtures"
SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=16)
SIZES |= dict(patch_size=4, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
DECODER = dict(decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=16)
DECODER |= dict(decoder_intermediate_size=32, norm_pix_loss=True, mask_ratio=0.75)
TABLE = dict(use_relative_position_bias=True, layer_scale_init_value=0.1, use_mean_pooling=False)
SHARED = {**TABLE, "use_relative_position_bias": False, "use_shared_relative_position_bias": True}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTModel", SIZES),
    "vit_classifier": ("ViTForImageClassification", {**SIZES, "num_labels": 3}),
    "deit": ("DeiTModel", SIZES),
    "vit_mae": ("ViTMAEForPreTraining", {**SIZES, **DECODER}),
    "beit": ("BeitModel", {**SIZES, **TABLE}),
    "beit_shared": ("BeitModel", {**SIZES, **SHARED}),
    "beit_classifier": (
        "BeitForImageClassification",
        {**SIZES, **TABLE, "use_mean_pooling": True, "use_absolute_position_embeddings": True, "num_labels": 3},
    ),
    "dinov2": ("Dinov2Model", {**SIZES, "mlp_ratio": 2}),
    "dinov2_registers": ("Dinov2WithRegistersModel", {**SIZES, "mlp_ratio": 2, "num_register_tokens": 2}),
    "clip": ("CLIPVisionModel", {**SIZES, "hidden_act": "quick_gelu"}),
}


@dataclass(frozen=True)
class Example:
    """A model's files and what it computed.

    Attributes:
        tensors: ``model.safetensors``.
        config: ``config.json``.
        values: ``pictures`` (2, 3, 16, 16), ``features`` (all tokens after the last norm) and what else was computed.
    """

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    values: dict[str, Tensor]

    def write(self, folder: Path) -> Path:
        """The folder as on Hugging Face's hub; the path of its weights."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        save_file(self.tensors, folder / "model.safetensors")
        return folder / "model.safetensors"


def stored(name: str) -> Example:
    """What was written for a model."""
    with safe_open(FIXTURES / f"{name}.safetensors", "pt") as file:
        everything = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a mapping
        config = json.loads(file.metadata()["config"])
    parts: dict[str, dict[str, Tensor]] = {"tensors": {}, "values": {}}
    for key, value in everything.items():
        part, name = key.split("/", 1)
        parts[part][name] = value
    return Example(parts["tensors"], config, parts["values"])


def draw(model: nn.Module) -> nn.Module:
    """Give every parameter numbers of its own, the same on each machine."""
    generator = torch.Generator().manual_seed(0)
    for _, parameter in sorted(model.named_parameters()):
        parameter.data = 0.1 + 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def build(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """A tiny model of transformers with drawn weights, and its config."""
    import transformers

    cls, options = MODELS[name]
    model_class = getattr(transformers, cls)
    extra: dict[str, Any] = {}
    if cls in ("ViTModel", "DeiTModel", "BeitModel"):
        extra["add_pooling_layer"] = False
    model = draw(model_class(model_class.config_class(**options), **extra))
    config = json.loads(model.config.to_json_string(use_diff=False))
    config["architectures"] = [cls]
    return model, config


@torch.no_grad()
def compute(name: str) -> Example:
    """Run a model."""
    model, config = build(name)
    pictures = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    values = {"pictures": pictures}
    if name == "vit_mae":
        noise = torch.rand(2, 16, generator=torch.Generator().manual_seed(2))
        out = model(pictures, noise=noise)
        values |= {"noise": noise, "loss": out.loss[None], "logits": out.logits}
        model.vit.config.mask_ratio = model.config.mask_ratio = 0.0
        values["features"] = model.vit(pictures, noise=torch.arange(16.0).expand(2, -1)).last_hidden_state
    elif name == "clip":
        out = model(pictures)
        values["features"] = model.vision_model.post_layernorm(out.last_hidden_state)
    elif "classifier" in name:
        values["logits"] = model(pictures).logits
    else:
        values["features"] = model(pictures).last_hidden_state
    tensors = {key: value.clone() for key, value in model.state_dict().items() if not key.endswith("position_index")}
    return Example(tensors, config, {key: value.contiguous() for key, value in values.items()})


def main() -> None:
    """Write all files."""
    FIXTURES.mkdir(exist_ok=True)
    for name in MODELS:
        made = compute(name)
        content = {f"tensors/{key}": value for key, value in made.tensors.items()}
        content |= {f"values/{key}": value for key, value in made.values.items()}
        path = FIXTURES / f"{name}.safetensors"
        save_file(content, path, {"config": json.dumps(made.config, sort_keys=True)})
        print(f"{path.name}: {len(made.tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""Export a checkpoint to other libraries: a file, a folder that loads by itself, or a graph without Python code."""

from pathlib import Path

import torch

from mixedae.benchmark.store.transfers import transfers_of
from mixedae.errors import ConfigError, WeightsError
from mixedae.weights import Weights, anatomy_of, check_whole, convert, read_weights, write_state_dict
from mixedae.weights.card import Measured, readme
from mixedae.weights.export import CLASSIFIER
from mixedae.weights.folders import preprocessor, timm_config, write_folder
from mixedae.weights.formats import find_decoder
from mixedae.weights.graphs import write_onnx, write_program
from mixedae.weights.huggingface import to_huggingface, to_vit_mae
from mixedae.weights.vit import load_vit

FOLDERS = ("hf", "hf-mae")
GRAPHS = {"onnx": ".onnx", "torch-export": ".pt2"}
TARGETS = ("timm", "mmpretrain", *FOLDERS, *GRAPHS)

PIXELS = "mean and deviation of the pixels are the usual ones of such a ViT, assumed"

HF_USE = """import transformers

model = transformers.AutoModel.from_pretrained("FOLDER"){pooler}
processor = transformers.AutoImageProcessor.from_pretrained("FOLDER")
features = model(**processor(picture, return_tensors="pt")).last_hidden_state  # (B, 1 + N, D)"""
MAE_USE = """import transformers

model = transformers.ViTMAEForPreTraining.from_pretrained("FOLDER")"""
TIMM_USE = """import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True)
features = model.forward_features(pictures)  # (B, 1 + N, D), from (B, 3, H, W) normalised as config.json says"""


def export(
    checkpoint: Path, out: Path, to: str, part: str = "", prefix: str = "backbone.", heads: int | None = None,
    backbone_only: bool = False,
) -> str:  # fmt: skip
    """Write a checkpoint for another library.

    Args:
        checkpoint: any that loads.
        out: a file (.pth, .safetensors; .onnx; .pt2), or for ``hf``, ``hf-mae`` and ``timm`` a new folder.
        to: one of :data:`TARGETS`.
        part: of a file with several sets of weights.
        prefix: where a whole model keeps its ViT.
        heads: of each layer, where no file says it.
        backbone_only: leave a classifier out.

    Returns:
        What was written, in words.

    Raises:
        WeightsError: the checkpoint does not load, or the library has no place for it.
        ConfigError: the number of heads is not known, a suffix does not belong to the target, or a library is missing.
    """
    if to in GRAPHS:
        return _graph(checkpoint, out, to, part, prefix, heads)
    weights = read_weights(checkpoint, part=part)
    if backbone_only:
        weights = Weights(
            {n: t for n, t in weights.tensors.items() if not CLASSIFIER.match(n)}, weights.note, weights.facts
        )
    if to == "mmpretrain" or (to == "timm" and out.suffix):
        conversion = convert(weights.tensors, {"mmpretrain": "mmpretrain-backbone"}.get(to, to), prefix)
        any_heads = anatomy_of(conversion.backbone, conversion.format, weights.facts, heads or 1, checkpoint)
        check_whole(conversion.backbone, any_heads, checkpoint)
        write_state_dict(out, conversion.tensors)
        return f"{out}: {conversion}"
    if out.suffix in (".pth", ".safetensors"):
        raise ConfigError(f"{out} found; --to {to} writes a folder: give a name without {out.suffix}")
    return _folder(checkpoint, out, to, weights, prefix, heads)


def _folder(checkpoint: Path, out: Path, to: str, weights: Weights, prefix: str, heads: int | None) -> str:
    conversion = convert(weights.tensors, "timm" if to == "timm" else "mmpretrain-backbone", prefix)
    backbone, format_name = conversion.backbone, conversion.format
    this = anatomy_of(backbone, format_name, weights.facts, heads, checkpoint)
    check_whole(backbone, this, checkpoint)
    classifier = {m[1]: value for name, value in weights.tensors.items() if (m := CLASSIFIER.match(name))}
    measured = [
        Measured(each.task or "", key, value, each.n, each.seed, each.provenance.version)
        for each in transfers_of(checkpoint)
        for key, value in each.values.items()
    ]
    notes: tuple[str, ...] = ()
    files = {}
    guessed = () if "model.data_preprocessor.mean.0" in weights.facts.run else (PIXELS,)
    if to == "timm":
        tensors = conversion.tensors
        config = timm_config(this, weights.facts, len(classifier.get("weight", ())))
        use = TIMM_USE
    else:
        if to == "hf-mae":
            model = to_vit_mae(backbone, this, _decoder(checkpoint, weights), weights.facts)
            use = MAE_USE
        else:
            model = to_huggingface(backbone, this, classifier)
            pooler = "" if model.config["model_type"].startswith(("dinov2", "clip")) else ", add_pooling_layer=False"
            use = HF_USE.format(pooler="").replace('"FOLDER")', f'"FOLDER"{pooler})', 1)
        config, tensors, notes = model.config, model.tensors, model.notes
        files = {"preprocessor_config": preprocessor(this, weights.facts)}
    notes += guessed
    source = f"`{checkpoint.name}` ({format_name}{weights.note})"
    library = "timm" if to == "timm" else "transformers"
    text = readme(
        out.name, this, weights.facts, conversion.fingerprint, source, use.replace("FOLDER", out.name), measured, notes,
        library,
    )  # fmt: skip
    write_folder(out, config, tensors, text, **files)
    kind = config.get("architecture") or config["architectures"][0]
    said = [*notes, *([this.assumed] if this.assumed else [])]
    return (
        f"{out}: {kind}, {len(tensors)} tensors, from {format_name}{weights.note}; "
        f"backbone's fingerprint {conversion.fingerprint}" + "".join(f"\n  {each}" for each in said)
    )


def _decoder(checkpoint: Path, weights: Weights) -> dict[str, torch.Tensor]:
    """The decoder of a whole MAE, this project's and mmpretrain's (``neck.``) or another code's."""
    if "segment_embed" in weights.tensors:
        raise WeightsError(
            f"{checkpoint} is of MixedAE, whose decoder has seen unmixed groups; transformers' ViTMAE would "
            "reconstruct something else from it. Export the encoder: --to hf"
        )
    own = {n.removeprefix("neck."): t for n, t in weights.tensors.items() if n.startswith("neck.")}
    found = own if "decoder_pred.weight" in own else find_decoder(weights.tensors)
    if found is None:
        raise WeightsError(f"{checkpoint} has no decoder of MAE; export the encoder: --to hf")
    return dict(found)


def _graph(checkpoint: Path, out: Path, to: str, part: str, prefix: str, heads: int | None) -> str:
    if out.suffix != GRAPHS[to]:
        raise ConfigError(f"{out} found; --to {to} writes a file that ends in {GRAPHS[to]}")
    vit, report = load_vit(checkpoint, heads, prefix, part, any_size=False)
    size = vit.patch_embed.img_size
    pictures = torch.zeros(2, vit.patch_embed.proj.in_channels, *size)
    distance = (write_onnx if to == "onnx" else write_program)(vit, out, pictures)
    return (
        f"{out}: pictures (B, {pictures.shape[1]}, {size[0]}, {size[1]}) -> "
        f"features (B, {vit.num_features}) and tokens, any B; {distance:.0e} from PyTorch's\n  {report}"
    )

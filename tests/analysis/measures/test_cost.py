"""Counted FLOPs against arithmetic on paper; published rows; predictions."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mixedae.analysis.measures.cost import ABLATIONS, gpu_days, pretraining_configs, published_row, step_cost
from mixedae.benchmark.plan.published import load_published
from mixedae.errors import ConfigError
from mixedae.files import ROOT

D, H, F, LAYERS, L, P, DD, DF, DEPTH = 32, 4, 64, 3, 16, 4, 16, 64, 2  # F: hidden width; DD, DF: the decoder's
PIXELS = P * P * 3


def model(kind: str, **backbone: object) -> dict:
    extra = dict(group_size=4) if kind == "MixedAE" else {}
    return dict(
        type=f"mixedae.{kind}",
        backbone=dict(
            type="mixedae.MixedAEPretrainViT",
            arch=dict(embed_dims=D, num_layers=LAYERS, num_heads=H, feedforward_channels=F),
            img_size=16,
            patch_size=P,
            **{"attention": "plain", **backbone},
        ),
        neck=dict(
            type="mixedae.MixedAEPretrainDecoder",
            **dict(num_patches=L, patch_size=P, embed_dim=D, decoder_embed_dim=DD, decoder_depth=DEPTH),
            decoder_num_heads=2,
        ),
        head=dict(type="mixedae.MixedAEPretrainHead", embed_dims=D, contrastive_weight=0.0),
        **extra,
    )


def linear(tokens: int, width: int, out: int) -> int:
    return 2 * tokens * width * out


def block(tokens: int, width: int, hidden: int) -> int:
    """qkv, projection, two linear layers; attention is counted apart."""
    return linear(tokens, width, 4 * width) + 2 * linear(tokens, width, hidden)


def attention(tokens: int, width: int) -> int:
    """Scores and their product with the values: each 2 N N D."""
    return 2 * linear(tokens, tokens, width)


def step(encoder_tokens: int, sequences: float) -> tuple[float, float]:
    """Forward, and forward with backward, of one image.

    Args:
        encoder_tokens: N without [CLS].
        sequences: encoder sequences an image.
    """
    n, m, masked = encoder_tokens + 1, L + 1, L * 3 // 4
    embed = sequences * linear(encoder_tokens, PIXELS, D)
    matrices = sequences * LAYERS * block(n, D, F) + sequences * linear(n, D, DD)
    matrices += (DEPTH - 1) * block(m, DD, DF) + linear(masked, DD, PIXELS)
    matrices += linear(m, DD, 2 * DD) + linear(masked, DD, 2 * DD) + 2 * linear(masked, DD, DF)  # the last block's
    attended = sequences * LAYERS * attention(n, D) + (DEPTH - 1) * attention(m, DD)
    attended += 2 * linear(masked, m, DD)
    forward = embed + matrices + attended
    # backward: two products for each linear layer (one for the embedding, pixels need no gradient); attention is
    # recomputed and differentiated, 5 products for 2
    return forward, forward + embed + 2 * matrices + 2.5 * attended


@pytest.mark.parametrize(
    ("cfg", "expected"),
    [
        (model("MAE"), step(L // 4, 1)),
        (model("MixedAE"), step(L, 1 / 4)),
        (model("MixedAE", attention="homologous"), step(L, 1 / 4)),
        (model("MixedAE", attention="homologous") | {"mode": "full"}, None),
        (model("MAE") | {"masking": "grid"}, step(L // 4, 1)),
        (model("MixedAE") | {"shares": (0.4, 0.2, 0.2, 0.2)}, step(L, 1 / 4)),
    ],
    ids=["mae", "plain", "homologous", "full", "grid masks", "unequal shares"],
)
def test_flops_are_those_on_paper(cfg: dict, expected: tuple[float, float] | None) -> None:
    cost = step_cost(cfg, 16)
    if expected is None:  # G mixed samples a group in the place of one: each image is decoded G times
        forward, total = (4 * value for value in step(L, 1 / 4))
    else:
        forward, total = expected
    assert cost.forward_flops == forward
    assert cost.flops == total


def test_parameters_and_activations_of_a_known_model() -> None:
    """More layers store more, in proportion; a model's own weights are not activations."""
    one, two, three = (
        step_cost(cfg, 16)
        for cfg in (
            {**model("MAE"), "backbone": {**model("MAE")["backbone"], "arch": {**ARCH, "num_layers": n}}}
            for n in (1, 2, 3)
        )
    )
    layer = 4 * D * D + 4 * D + 2 * D * F + F + D + 4 * D
    assert two.parameters - one.parameters == three.parameters - two.parameters == layer
    stored = two.activation_bytes - one.activation_bytes
    assert stored == three.activation_bytes - two.activation_bytes
    n = L // 4 + 1
    # x and its normalised copy, q k v, the output, ... : a multiple of N D floats, far from N N or the weights
    assert 10 * n * D * 4 < stored < 30 * n * D * 4 + 4 * H * n * 8


ARCH = dict(embed_dims=D, num_layers=LAYERS, num_heads=H, feedforward_channels=F)


def test_the_configs_of_the_paper_meet_their_rows() -> None:
    published = load_published(ROOT / "mm_configs/benchmark/published.yaml")
    configs = pretraining_configs([ROOT / "mm_configs/pretrain", *ABLATIONS])
    days = {name: gpu_days(published, published_row(cfg)) for name, cfg in configs.items()}
    recipe = "{}_vit-base-p16_8xb{}-amp-coslr-{}e_in1k"
    for method, batch, epochs, expected in (
        ("mae", 512, 300, 16.4), ("mae", 512, 800, 43.7), ("mae", 512, 1600, 87.4),
        ("mixedae", 512, 300, 16.9), ("mixedae", 512, 800, 45.0), ("mixedae", 512, 1600, 90.1),
        ("mixedae-full-light", 128, 300, 30.8), ("mixedae-full", 128, 300, 62.3),
    ):  # fmt: skip
        assert days[recipe.format(method, batch, epochs)] == expected
    assert days["ablation/neither"] == 16.9 and days["ablation/neither_r50"] == 21.0
    assert days["mixedae"] == 16.9  # the ablations' learning rate, the same model
    for other in (
        "ablation_open/segments_none",
        "ablation_mae/mask_50",
        "ablation_open/r50",
        "mae_vit-large-p16_8xb512-amp-coslr-300e_in1k",
    ):
        assert days[other] is None, other


def test_what_is_no_pretraining_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config"):
        pretraining_configs([tmp_path / "nothing.py"])
    (tmp_path / "other.py").write_text("model = dict(type='ImageClassifier')")
    with pytest.raises(ConfigError, match="no config of a pre-training"):
        pretraining_configs([tmp_path])


def test_a_mixedae_step_keeps_hardly_more_than_an_mae_step() -> None:
    """At most 5 % more between the passes: the selection, a byte a score, is what MixedAE adds."""
    mae, mixedae = (
        step_cost(Config.fromfile(ROOT / f"mm_configs/_base_/models/{name}_vit-base-p16.py").model.to_dict(), 224)
        for name in ("mae", "mixedae")
    )
    assert 0.95 < mixedae.activation_bytes / mae.activation_bytes <= 1.03  # an image

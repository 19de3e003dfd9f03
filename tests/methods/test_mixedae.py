"""The algorithm: Eq. (8), its parts against loops, its symmetries, and its equality with MAE under the oracle mask."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedae.methods.mixedae as algorithm
from mixedae.errors import ConfigError, GroupSizeError
from mixedae.ops import homologous_attention_reference, normalize_patches, patchify, sample_sources
from tests.models.conftest import build


@settings(deadline=None, max_examples=20)
@given(
    st.fixed_dictionaries(
        {
            "groups": st.integers(1, 2),
            "group_size": st.sampled_from([2, 3, 4, 5, 8]),
            "mode": st.sampled_from(["compose", "full"]),
            "segment_embedding": st.sampled_from(["learnable", "fixed", "none"]),
            "unequal": st.booleans(),
            "topk_ratio": st.sampled_from([0.125, 0.25, 1.0]),
            "num_global_layers": st.integers(0, 3),
            "cls_in_pool": st.booleans(),
            "cls_query": st.sampled_from(["topk", "plain"]),
            "unmixed_cls": st.sampled_from(["copy", "mask"]),
            "contrast": st.sampled_from(["post-norm", "pre-norm"]),
            "positives": st.sampled_from(["separate", "mean"]),
            "norm_pix": st.booleans(),
            "weight": st.sampled_from([0.01, 0.1, 1.0]),
            "seed": st.integers(0, 2**31 - 1),
        }
    )
)
def test_losses_are_eqs_4_and_7_under_every_switch(case):
    """Every step done again in plain loops over samples, sources, positions, heads and queries, in float64."""
    torch.manual_seed(case["seed"])
    size, mode = case["group_size"], case["mode"]
    shares = [2 / (size + 1)] + [1 / (size + 1)] * (size - 1) if case["unequal"] else None
    model = build(
        "MixedAE",
        group_size=size,
        mode=mode,
        segment_embedding=case["segment_embedding"],
        shares=shares,
        backbone={k: case[k] for k in ("topk_ratio", "num_global_layers", "cls_in_pool", "cls_query")},
        head={k: case[k] for k in ("contrast", "positives", "norm_pix")} | {"contrastive_weight": case["weight"]},
        neck={"unmixed_cls": case["unmixed_cls"]},
    ).double()
    images = torch.randn(case["groups"] * size, 3, 16, 16, dtype=torch.float64)
    sources = sample_sources(case["groups"], 16, size, mode, shares=shares)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(algorithm, "sample_sources", lambda *args, **kwargs: sources)
        losses = model.loss(images)

    patches, neck = patchify(images, 4), model.neck
    errors, features = [], []
    for m, source in enumerate(sources.tolist()):
        group = m if mode == "compose" else m // size
        hidden = encode_by_loops(model, [patches[group * size + g, i] for i, g in enumerate(source)], source)
        latent = model.backbone.ln1(hidden)
        features.append((hidden if case["contrast"] == "pre-norm" else latent)[1:])
        visible = neck.decoder_embed(latent)
        cls = visible[:1] if case["unmixed_cls"] == "copy" else neck.mask_token[0]
        for g in range(size):
            tokens = [visible[1 + i] if s == g else neck.mask_token[0, 0] for i, s in enumerate(source)]
            predicted = neck.predict(neck(torch.stack(tokens)[None], cls[None]))[0]
            target = patches[group * size + g]
            target = normalize_patches(target) if case["norm_pix"] else target
            errors += [((predicted[i] - target[i]) ** 2).mean() for i, s in enumerate(source) if s != g]
    torch.testing.assert_close(losses["loss_recon"], torch.stack(errors).mean().float())
    contrastive = model.head.contrastive_loss(model.head.projector(torch.stack(features)), sources)
    torch.testing.assert_close(losses["loss_homocon"], case["weight"] * contrastive)
    assert set(losses) == {"loss_recon", "loss_homocon"}


def encode_by_loops(model, mixed, source):
    """Section 3.2's encoder for one mixed sample: sums of embeddings, then Eq. (6) query by query; (1 + L, D)."""
    encoder = model.backbone
    segments = model.segment_embed
    tokens = [encoder.embed(x) + encoder.pos_embed[0, 1 + i] for i, x in enumerate(mixed)]
    if segments is not None:
        tokens = [x + segments[g] for x, g in zip(tokens, source, strict=True)]
    x = torch.stack([encoder.cls_token[0, 0] + encoder.pos_embed[0, 0], *tokens])
    for number, layer in enumerate(encoder.layers):
        q, k, v = (part[0] for part in encoder.project(layer.attn, layer.ln1(x)[None]))  # (H, 1 + L, D / H)
        homologous = number >= encoder.num_global_layers
        heads = []
        for h in range(len(q)):
            rows = []
            for i in range(len(x)):
                sampled = homologous and not (i == 0 and encoder.cls_query == "plain")
                first = 1 if sampled and not encoder.cls_in_pool else 0
                scores = [(q[h, i] @ k[h, j]) / q.shape[-1] ** 0.5 for j in range(first, len(x))]
                order = sorted(range(len(scores)), key=lambda j: float(scores[j]), reverse=True)
                order = order[: encoder.topk] if sampled else order
                weight = torch.stack([scores[j] for j in order]).softmax(0)
                rows.append(sum(w * v[h, first + j] for w, j in zip(weight, order, strict=True)))
            heads.append(torch.stack(rows))
        x = x + layer.attn.proj(torch.cat(heads, dim=1))
        x = layer.ffn(layer.ln2(x), identity=x)
    return x


def test_the_encoder_uses_eq_6_in_every_layer_but_the_first(make, images):
    model = make("MixedAE").double()
    encoder = model.backbone
    patches = patchify(images.double(), 4)
    x = encoder.embed(patches) + encoder.pos_embed[:, 1:]
    x = torch.cat((encoder.cls_token.expand(8, -1, -1), x), 1)
    for i, layer in enumerate(encoder.layers):
        q, k, v = encoder.project(layer.attn, layer.ln1(x))
        topk = None if i == 0 else 4  # K = 0.25 L
        x = x + layer.attn.proj(homologous_attention_reference(q, k, v, topk).transpose(1, 2).flatten(2))
        x = layer.ffn(layer.ln2(x), identity=x)
    torch.testing.assert_close(encoder.encode(patches), x)
    plain = encoder(images.double())[0]  # called with images it is a plain ViT
    assert not torch.allclose(plain, encoder.ln1(x))


def test_cls_switches(make, images):
    patches = patchify(images, 4)
    weights = make("MixedAE").state_dict()
    outputs = []
    for switches in ({}, {"cls_in_pool": False}, {"cls_query": "plain"}):
        model = make("MixedAE", backbone=switches)
        model.load_state_dict(weights)
        outputs.append(model.backbone.encode(patches))
    for a in range(3):
        for b in range(a):
            assert not torch.allclose(outputs[a], outputs[b])
    # out of the pool, no patch sees [CLS] in a homologous layer: with one global layer off, patches ignore it wholly
    model = make("MixedAE", backbone={"cls_in_pool": False, "num_global_layers": 0})
    before = model.backbone.encode(patches)[:, 1:]
    torch.nn.init.normal_(model.backbone.cls_token)
    torch.testing.assert_close(model.backbone.encode(patches)[:, 1:], before)


def test_oracle_mask_without_cls_and_segments_is_maes_encoder(make, images):
    """MixMIM's view of MixedAE: features of an image's patches equal MAE's on the same kept patches."""
    shared = {"with_cls_token": False}
    mixed = make("MixedAE", backbone={**shared, "attention": "oracle"}, segment_embedding="none", head={})
    mae = make("MAE", backbone=shared)
    mae.backbone.load_state_dict(mixed.backbone.state_dict())
    patches = patchify(images, 4)
    sources = sample_sources(2, 16, 4)
    mixture = mixed.encode_mixed(patches, sources)
    for m in range(2):
        for g in range(4):
            kept = (sources[m] == g).nonzero().T
            alone = mae.backbone.encode(patches[m * 4 + g, kept], positions=kept)
            torch.testing.assert_close(mixture[m, kept], alone, atol=1e-5, rtol=1e-5)


def test_permuting_the_images_of_a_group_with_their_segments_changes_nothing(make, images):
    model = make("MixedAE")
    patches = patchify(images, 4)
    sources = sample_sources(2, 16, 4)
    before = model.encode_mixed(patches, sources)
    order = torch.tensor([2, 0, 3, 1])
    inverse = order.argsort()
    permuted = patches.view(2, 4, 16, -1)[:, order].flatten(0, 1)
    with torch.no_grad():
        model.segment_embed.copy_(model.segment_embed[order])
    torch.testing.assert_close(model.encode_mixed(permuted, inverse[sources]), before)


def test_full_mode_with_one_row_kept_is_compose(make, images):
    model = make("MixedAE", mode="full")
    full = sample_sources(2, 16, 4, "full")
    latent = model.backbone.ln1(model.encode_mixed(patchify(images, 4), full))
    pixels = model.reconstruct(latent, full).view(8, 4, 16, -1)
    kept = full[[0, 4]]
    latent = model.backbone.ln1(model.encode_mixed(patchify(images, 4), kept))
    torch.testing.assert_close(model.reconstruct(latent, kept).view(2, 4, 16, -1), pixels[[0, 4]])


def test_a_masked_patch_reaches_its_own_reconstruction_only_as_target(make, images):
    """No leak: what a source hides is not in the mixture, so changing those pixels changes no prediction."""
    model = make("MixedAE")
    sources = sample_sources(2, 16, 4)
    patches = patchify(images, 4)

    def predict(p):
        return model.reconstruct(model.backbone.ln1(model.encode_mixed(p, sources)), sources)

    before = predict(patches)
    hidden = patches.clone()
    for m in range(2):
        for g in range(4):
            hidden[m * 4 + g, sources[m] != g] = 9.0
    torch.testing.assert_close(predict(hidden), before)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"mode": "full"},
        {"segment_embedding": "fixed"},
        {"segment_embedding": "none"},
        {"group_size": 2},
        {"group_size": 8},
        {"shares": (0.5, 0.25, 0.125, 0.125)},
        {"head": {"contrastive_weight": 0.0}},
        {"head": {"contrast": "pre-norm", "positives": "mean"}},
        {"backbone": {"attention": "plain"}},
        {"backbone": {"attention": "oracle"}},
        {"backbone": {"topk_ratio": 1.0, "num_global_layers": 0}},
        {"reconstruction": False},
        {"reconstruction": False, "head": {"contrast": "pre-norm"}},
        {"reconstruction": False, "backbone": {"cls_in_pool": False, "num_global_layers": 0}},
        {"reconstruction": False, "backbone": {"cls_in_pool": False, "attention": "oracle"}},
    ],
    ids=str,
)
def test_every_parameter_that_is_built_gets_a_gradient(make, images, kwargs):
    model = make("MixedAE", **kwargs)
    losses = model.loss(images)
    sum(losses.values()).backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, name
            assert p.grad.any(), name
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())


def test_group_size_that_does_not_fit_is_named(make, images):
    with pytest.raises(GroupSizeError, match=r"batch of 8 images.*groups of 3"):
        make("MixedAE", group_size=3).loss(images)
    with pytest.raises(GroupSizeError, match="group size 1"):
        make("MixedAE", group_size=1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"mode": "fill"}, "mode"),
        ({"segment_embedding": "learned"}, "segment_embedding"),
        ({"reconstruction": False, "head": {"contrastive_weight": 0.0}}, "no loss"),
        ({"backbone": {"attention": "homo"}}, "attention"),
        ({"backbone": {"topk_ratio": 0.01}}, "topk_ratio"),
        ({"backbone": {"num_global_layers": 4}}, "num_global_layers"),
        ({"backbone": {"cls_query": "none"}}, "cls_query"),
        ({"backbone": {"drop_rate": 0.1}}, "drop_rate"),
        ({"backbone": {"init_cfg": {"type": "Xavier"}}}, "Xavier"),
        ({"shares": (0.5, 0.5)}, "4 positive numbers"),
        ({"grp_size": 4}, "did you mean `group_size`"),
        ({"backbone": {"top_k_ratio": 0.25}}, "did you mean `topk_ratio`"),
        ({"head": {"lambda_": 0.25}}, "has no key `lambda_`"),
    ],
    ids=lambda x: str(x),
)
def test_wrong_switches_are_named(make, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        make("MixedAE", **kwargs)


def test_training_learns_to_recognise(make):
    """A few steps on flat-coloured images: the contrastive term falls below its value for equal features."""
    model = make("MixedAE")
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        flat = torch.rand(16, 3, 1, 1, generator=generator).expand(-1, -1, 16, 16) * 4 - 2
        losses = model.loss(flat + 0.1 * torch.randn(16, 3, 16, 16, generator=generator))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    chance = 0.1 * F.cross_entropy(torch.zeros(1, 15), torch.tensor([0]))
    assert losses["loss_homocon"] < 0.85 * chance

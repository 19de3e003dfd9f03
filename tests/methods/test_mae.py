"""MAE: mmpretrain's loss and gradients, official MAE's initial weights."""

import pytest
import torch
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

import mixedae.methods.mae as algorithm
from mixedae.errors import ConfigError, ImageSizeError
from mixedae.ops import draw_mask, normalize_patches, patchify
from tests.models.conftest import ARCH, DECODER


@pytest.fixture
def reference(make):
    """Our MAE and mmpretrain's with the same weights."""
    ours = make("MAE")
    theirs = MMPRETRAIN_MODELS.build(
        dict(
            type="mmpretrain.MAE",
            backbone=dict(type="MAEViT", arch=ARCH, img_size=16, patch_size=4),
            neck=dict(type="MAEPretrainDecoder", **DECODER),
            head=dict(
                type="MAEPretrainHead",
                norm_pix=True,
                patch_size=4,
                loss=dict(type="PixelReconstructionLoss", criterion="L2"),
            ),
        )
    )
    theirs.load_state_dict(ours.state_dict(), strict=True)  # the same names, the same shapes
    return ours, theirs


def test_loss_and_gradients_equal_mmpretrains(reference, images):
    ours, theirs = reference
    torch.manual_seed(3)
    loss = ours.loss(images)["loss_recon"]
    torch.manual_seed(3)  # the same mask noise
    expected = theirs.loss(images, None)["loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    loss.backward()
    expected.backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.requires_grad}
    checked = 0
    for name, p in ours.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.grad, gradients[name], rtol=1e-5, atol=1e-7)
            checked += 1
    assert checked == len(gradients) > 50


def test_features_of_whole_images_equal_mmpretrains(reference, images):
    ours, theirs = reference
    torch.testing.assert_close(ours(images)[0], theirs.backbone(images, mask=None)[0])


def test_initial_weights_are_official_maes(make):
    """Xavier uniform on every Linear: |w| <= sqrt(6 / (in + out)), and close to it; zero biases."""
    model = make("MAE")
    for name, m in model.named_modules():
        if isinstance(m, torch.nn.Linear):
            bound = (6 / sum(m.weight.shape)) ** 0.5
            assert 0.95 * bound < m.weight.abs().max() <= bound, name
            assert not m.bias.any(), name
    weight = model.backbone.patch_embed.projection.weight.flatten(1)
    assert weight.abs().max() <= (6 / sum(weight.shape)) ** 0.5
    bias, bound = model.backbone.patch_embed.projection.bias, weight.shape[1] ** -0.5  # a convolution's default
    assert 0.8 * bound < bias.abs().max() <= bound and abs(bias.mean()) < bound / 2
    assert 0.005 < model.backbone.cls_token.std() < 0.05
    assert not model.backbone.pos_embed.requires_grad
    assert not model.backbone.pos_embed[:, 0].any()


@pytest.mark.parametrize("masking", ["random", "block", "grid"])
def test_loss_reads_the_removed_patches_only(make, images, masking, monkeypatch):
    """Each masking, in loops: the decoder sees the kept patches, the loss is the mean over the removed ones."""
    model = make("MAE", masking=masking)
    drawn = draw_mask(masking, 8, (4, 4), 0.75)
    monkeypatch.setattr(algorithm, "draw_mask", lambda *args, **kwargs: drawn)
    patches, errors = patchify(images, 4), []
    for i, (kept, removed) in enumerate(zip(*drawn, strict=True)):
        latent = model.backbone.ln1(model.backbone.encode(patches[i : i + 1, kept], positions=kept[None]))
        visible = model.neck.decoder_embed(latent)[0]
        tokens = [model.neck.mask_token[0, 0]] * 16
        for n, place in enumerate(kept):
            tokens[place] = visible[1 + n]
        predicted = model.neck.predict(model.neck(torch.stack(tokens)[None], visible[None, :1]))[0]
        target = normalize_patches(patches[i])
        errors += [((predicted[place] - target[place]) ** 2).mean() for place in removed]
    torch.testing.assert_close(model.loss(images)["loss_recon"], torch.stack(errors).mean())


def test_wrong_sizes_are_named(make):
    with pytest.raises(ConfigError, match="masking='rows'"):
        make("MAE", masking="rows")
    with pytest.raises(ConfigError, match="mask ratio"):
        make("MAE", mask_ratio=1.0)
    with pytest.raises(ImageSizeError, match="18 x 16"):
        make("MAE").loss(torch.zeros(4, 3, 18, 16))


@pytest.mark.parametrize("kind", ["MAE", "MixedAE"])
@pytest.mark.parametrize("size", [(8, 32), (16, 24), (24, 8)])
def test_pictures_that_are_not_square_have_their_own_positions(make, kind, size):
    """Encoder and decoder code row and column of each patch; 2 x 8 patches are as many as 4 x 4, and are not 4 x 4."""
    rows, columns = size[0] // 4, size[1] // 4
    model = make(kind, backbone={"img_size": size}, neck={"num_patches": rows * columns})
    for embed in (model.backbone.pos_embed, model.neck.decoder_pos_embed):
        width = embed.shape[-1] // 4
        omega = 10000.0 ** -(torch.arange(width) / width)
        for place in range(rows * columns):
            row, column = divmod(place, columns)
            angles = [part for value in (row, column) for part in ((value * omega).sin(), (value * omega).cos())]
            torch.testing.assert_close(embed[0, 1 + place], torch.cat(angles))
    loss = model.loss(torch.randn(4, 3, *size))
    assert all(torch.isfinite(value) for value in loss.values())
    with pytest.raises(ConfigError, match=r"neck\.num_patches="):
        model.neck.place((rows, columns + 1))

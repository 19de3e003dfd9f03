"""DINO and iBOT: whole losses against loops over pictures, the teacher in closed form, two processes equal to one."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mixedae.engine.each_clip import EachClipOptimWrapper, clip_each
from mixedae.engine.hooks.method_steps import WeightDecayHook
from mixedae.errors import ConfigError, ImageSizeError
from mixedae.methods import DINO, IBOT
from mixedae.models import DistillationHead
from mixedae.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
HEAD = dict(type="mixedae.DistillationHead", in_dim=16, out_dim=12, hidden_dim=8, bottleneck_dim=6)


def build(kind: str = "DINO", **options: Any) -> Any:
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    backbone = dict(type="mixedae.MaskedViT" if kind == "IBOT" else "mixedae.MixedAEViT", arch=ARCH, img_size=16,
                    patch_size=4, out_type="raw")  # fmt: skip
    model = MODELS.build(dict(type=f"mixedae.{kind}", backbone=backbone, head=HEAD, drop_path_rate=0.0, **options))
    model.init_weights()
    return model.double()


def views(batch: int = 3, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = (16, 16, 8, 8, 8)
    return [torch.randn(batch, 3, side, side, generator=generator, dtype=torch.float64) for side in sizes]


def train_apart(model: Any) -> None:
    """Make student and teacher differ, and the centres other than zero."""
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.student["head"].lengths.fill_(1)
        for name, buffer in model.named_buffers():
            if "centre" in name:
                buffer.copy_(torch.linspace(-0.3, 0.3, len(buffer)))


def softmax(values: Tensor, temperature: float) -> list[float]:
    exps = [math.exp(float(v) / temperature) for v in values]
    return [e / sum(exps) for e in exps]


def test_dinos_loss_view_by_view_and_picture_by_picture() -> None:
    model = build(teacher_temperature=0.07)
    train_apart(model)
    crops, centre = views(), model.centre.clone()
    total, pairs = 0.0, 0
    for q in range(2):
        for v in range(5):
            if v == q:
                continue
            pairs += 1
            for b in range(3):
                with torch.no_grad():
                    teacher = model.head(model.backbone(crops[q][b : b + 1])[0][0, 0])
                    student = model.student["head"](model.student["backbone"](crops[v][b : b + 1])[0][0, 0])
                guess = softmax(student, 0.1)
                total -= sum(t * math.log(s) for t, s in zip(softmax(teacher - centre, 0.07), guess, strict=True)) / 3
    losses = model.loss(crops)
    assert float(losses["loss_cls"]) == pytest.approx(total / pairs, abs=1e-6)
    with torch.no_grad():
        logits = torch.stack([model.head(model.backbone(crop)[0][:, 0]) for crop in crops[:2]]).flatten(0, 1)
    torch.testing.assert_close(model.centre, 0.9 * centre + 0.1 * logits.mean(0))
    losses["loss_cls"].backward()
    assert all(p.grad is None for part in (model.backbone, model.head) for p in part.parameters())
    assert all(p.grad is not None for p in model.student.parameters() if p.requires_grad)


def test_ibots_patch_loss_is_of_masked_patches_only(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("IBOT", patch_temperature=0.06)
    train_apart(model)
    crops, centre = views(), model.patch_centre.clone()
    masks = torch.rand(6, 4, 4, generator=torch.Generator().manual_seed(5)) > 0.6
    masks[2] = False
    monkeypatch.setattr(model, "draw_masks", lambda *_: masks)
    total = 0.0
    for v in range(2):
        for b in range(3):
            mask, image = masks[3 * v + b].flatten(), crops[v][b : b + 1]
            hidden = mask.nonzero().flatten().tolist()
            with torch.no_grad():
                vit = model.student["backbone"]
                tokens, grid = vit.patch_embed(image)
                tokens[0, mask] = vit.mask_token[0, 0]
                student = model.student["head"](vit.encode_tokens(tokens, grid)[0][0, 1:])
                teacher = model.head(model.backbone(image)[0][0, 1:])
            for n in hidden:
                target, guess = softmax(teacher[n] - centre, 0.06), softmax(student[n], 0.1)
                total -= sum(t * math.log(s) for t, s in zip(target, guess, strict=True)) / len(hidden) / 6
    found = model.loss(crops)
    assert float(found["loss_patch"]) == pytest.approx(total, abs=1e-6)
    with torch.no_grad():
        words = torch.cat([model.head(model.backbone(crop)[0][:, 1:]) for crop in crops[:2]])
    torch.testing.assert_close(model.patch_centre, 0.9 * centre + 0.1 * words.mean((0, 1)))
    (found["loss_cls"] + found["loss_patch"]).backward()
    assert all(p.grad is not None for p in model.student.parameters() if p.requires_grad)


def test_masks_follow_the_ratios_and_their_start() -> None:
    model = build("IBOT", mask_epochs=2)
    assert not model.draw_masks(8, (4, 4)).any()
    model.before_step(0, 10, epoch=2)
    torch.manual_seed(0)
    masks = model.draw_masks(400, (4, 4))
    shares = masks.flatten(1).double().mean(1)
    assert 0.4 < float((shares == 0).double().mean()) < 0.75 and shares.max() <= 0.5  # on 4 x 4 few blocks fit
    with pytest.raises(ConfigError, match=r"mask_ratios 0\.1 "):
        build("IBOT", mask_ratios=(0.1,), mask_spreads=(0.2,))
    with pytest.raises(ConfigError, match=r"mixedae\.MaskedViT"):
        MODELS.build(dict(type="mixedae.IBOT", head=HEAD, backbone=dict(
            type="mixedae.MixedAEViT", arch=ARCH, img_size=16, patch_size=4, out_type="raw")))  # fmt: skip


def test_the_teacher_after_k_steps_in_closed_form() -> None:
    model = build(momentum=0.9)
    weights = [p.detach().clone() for p in model.backbone.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(weights, model.student["backbone"].parameters(), strict=True))
    steps, shift = 7, 0.01
    expected, student = weights[2].clone(), weights[2].clone()
    for step in range(steps):
        with torch.no_grad():
            for parameter in model.student.parameters():
                parameter.add_(shift)
        student = student + shift
        model.after_step(step, steps)
        keep = 1 + 0.5 * (0.9 - 1) * (1 + math.cos(math.pi * step / steps))
        expected = keep * expected + (1 - keep) * student
    torch.testing.assert_close(list(model.backbone.parameters())[2].detach(), expected)


def test_temperature_and_frozen_prototypes_by_epoch() -> None:
    model = build(warmup_temperature=0.04, teacher_temperature=0.07, warmup_epochs=4, frozen_epochs=2)
    found = []
    for epoch in range(6):
        model.before_step(0, 1, epoch)
        found.append((round(model.teacher_temperature(), 6), len(model.not_trained())))
    assert found == [(0.04, 1), (0.05, 1), (0.06, 0), (0.07, 0), (0.07, 0), (0.07, 0)]  # numpy.linspace(0.04, 0.07, 4)


def test_each_gradient_is_clipped_by_its_own_norm_and_some_are_left_out() -> None:
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([0.1, 0.0, 0.0])
    assert clip_each(parameters, 2.0) == pytest.approx(math.sqrt(25.01))
    torch.testing.assert_close(parameters[0].grad, torch.tensor([1.2, 1.6]), rtol=1e-5, atol=1e-5)
    assert torch.equal(parameters[1].grad, torch.tensor([0.1, 0.0, 0.0])) and parameters[2].grad is None
    wrapper = EachClipOptimWrapper(torch.optim.SGD(parameters, lr=1.0), clip_grad=dict(max_norm=1.0))
    wrapper.left_out = (parameters[1],)
    loss = 3 * parameters[0].sum() + parameters[1].sum()
    wrapper.update_params(loss)
    assert not parameters[1].any() and float(parameters[0].norm()) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ConfigError, match="clip_grad"):
        EachClipOptimWrapper(torch.optim.SGD(parameters, lr=1.0))


def test_weight_decay_rises_where_there_is_one() -> None:
    class Run:
        iter, max_iters = 5, 10
        optim_wrapper = OptimWrapper(torch.optim.AdamW([
            {"params": [nn.Parameter(torch.ones(1))], "weight_decay": 0.04},
            {"params": [nn.Parameter(torch.ones(1))], "weight_decay": 0.0}]))  # fmt: skip

    WeightDecayHook(0.04, 0.4).before_train_iter(Run(), 0)  # type: ignore[arg-type]
    assert [g["weight_decay"] for g in Run.optim_wrapper.optimizer.param_groups] == [pytest.approx(0.22), 0.0]


def test_prototypes_have_unit_length() -> None:
    head = DistillationHead(in_dim=4, out_dim=7, hidden_dim=5, bottleneck_dim=3)
    head.init_weights()
    x = torch.randn(2, 4)
    hidden = head.mlp(x)
    for b in range(2):
        for k in range(7):
            cosine = torch.cosine_similarity(hidden[b], head.prototypes[k], dim=0)
            torch.testing.assert_close(head(x)[b, k], cosine)
    assert not head.lengths.requires_grad
    assert DistillationHead(4, 7, norm_last_layer=False).lengths.requires_grad


def loader(sizes: tuple[int, ...] = (16, 8), counts: tuple[int, ...] = (2, 4)) -> dict:
    crops = [[dict(type="RandomResizedCrop", scale=side)] for side in sizes]
    return dict(dataset=dict(pipeline=[dict(type="MultiView", num_views=list(counts), transforms=crops)]))


def test_configs_that_cannot_train_are_refused_before() -> None:
    model = dict(backbone=dict(img_size=16, patch_size=4))
    DINO.check_config(model, loader())
    with pytest.raises(ConfigError, match=r"gives 1 view\(s\).*MultiView"):
        DINO.check_config(model, dict(dataset=dict(pipeline=[dict(type="RandomResizedCrop", scale=16)])))
    with pytest.raises(ImageSizeError, match=r"a crop of 10 x 10 .* nearest sizes are 8 and 12"):
        IBOT.check_config(model, loader((16, 10)))
    with pytest.raises(ImageSizeError, match="the first crops are 32 x 32"):
        DINO.check_config(model, loader((32, 8)))
    with pytest.raises(ConfigError, match="out_type"):
        MODELS.build(dict(type="mixedae.DINO", head=HEAD, backbone=dict(type="mixedae.MixedAEViT", arch=ARCH)))
    with pytest.raises(ConfigError, match=r"1 view\(s\) of each picture"):
        build().loss(torch.zeros(2, 3, 16, 16, dtype=torch.float64))


def one_step(kind: str, crops: list[Tensor], masks: Tensor | None) -> Any:
    model = build(kind)
    train_apart(model)
    if masks is not None:
        model.draw_masks = lambda *_: masks
    return model, model.loss(crops)


def in_process(rank: int, kind: str, crops: list[Tensor], masks: Tensor | None, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    own = [crop[2 * rank : 2 * rank + 2] for crop in crops]
    if masks is not None:
        masks = torch.cat([part[2 * rank : 2 * rank + 2] for part in masks.chunk(2)])
    torch.manual_seed(0)
    model, losses = one_step(kind, own, masks)
    loss = sum(value for name, value in losses.items() if "loss" in name)
    loss.backward()
    gradients = []
    for parameter in model.student.parameters():
        if parameter.requires_grad:
            dist.all_reduce(parameter.grad)
            gradients.append(parameter.grad / 2)
    total = loss.detach().clone()
    dist.all_reduce(total)
    if rank == 0:
        torch.save((total / 2, model.centre, gradients), Path(folder) / "out.pth")
    dist.destroy_process_group()


@pytest.mark.ddp
@pytest.mark.parametrize("kind", ["DINO", "IBOT"])
def test_two_processes_are_one(kind: str, tmp_path: Path) -> None:
    crops = views(batch=4, seed=3)
    masks = torch.rand(8, 4, 4, generator=torch.Generator().manual_seed(5)) > 0.6 if kind == "IBOT" else None
    torch.manual_seed(0)
    model, losses = one_step(kind, copy.deepcopy(crops), masks)
    loss = sum(value for name, value in losses.items() if "loss" in name)
    loss.backward()
    mp.start_processes(in_process, (kind, crops, masks, str(tmp_path)), nprocs=2, start_method="fork")
    total, centre, gradients = torch.load(tmp_path / "out.pth")
    torch.testing.assert_close(total, loss.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(centre, model.centre, rtol=1e-9, atol=1e-9)
    ours = [p.grad for p in model.student.parameters() if p.requires_grad]
    for mine, theirs in zip(ours, gradients, strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-6, atol=1e-9)

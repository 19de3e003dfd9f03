"""Attentive probes against their definitions, values and gradients; a grid against each probe alone."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor

from mixedae.errors import ConfigError
from mixedae.models.attentive_head import AttentiveProbeHead, CapiProbe, EfficientProbe

WIDTH, CLASSES, BATCH, TOKENS = 128, 5, 3, 7


def efficient(probe: EfficientProbe, tokens: Tensor) -> Tensor:
    """Query by query, token by token: the value projection first, then the average under the attention."""
    count = len(probe.queries)
    share = WIDTH // count
    values = tokens @ probe.value.weight.T
    pooled = []
    for q in range(count):
        weights = F.softmax((tokens @ probe.queries[q]) / WIDTH**0.5, dim=1)
        pooled.append((weights[..., None] * values[..., q * share : (q + 1) * share]).sum(1))
    return probe.classifier(probe.norm(torch.cat(pooled, dim=1)))


def capi(probe: CapiProbe, tokens: Tensor) -> Tensor:
    """PyTorch's attention on projected keys and values."""
    keys, values = probe.key_value(tokens).split(WIDTH, dim=-1)
    heads = WIDTH // 64
    query = probe.query.view(1, heads, 1, 64).expand(len(tokens), -1, -1, -1)
    keys, values = (part.view(len(tokens), -1, heads, 64).transpose(1, 2) for part in (keys, values))
    return probe.classifier(F.scaled_dot_product_attention(query, keys, values).flatten(1))


@pytest.mark.parametrize(("form", "definition"), [("efficient", efficient), ("capi", capi)])
@pytest.mark.parametrize("with_cls", [False, True])
def test_scores_and_gradients_are_the_definitions(form: str, definition, with_cls: bool) -> None:
    torch.manual_seed(0)
    head = AttentiveProbeHead(CLASSES, WIDTH, (1.0, 0.1), (0.0, 0.1), form, queries=4, with_cls=with_cls).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases that are not zero, attention that is not flat
    raw = torch.randn(BATCH, 1 + TOKENS, WIDTH, dtype=torch.float64)
    tokens = raw if with_cls else raw[:, 1:]
    other = copy.deepcopy(head)
    found = head.every((raw,))
    expected = [definition(probe, tokens) for probe in other.probes]
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)
    target = torch.arange(BATCH) % CLASSES
    for scores in (found, expected):
        torch.stack([F.cross_entropy(one, target) for one in scores]).sum().backward()
    named = dict(other.named_parameters())
    for name, parameter in head.named_parameters():
        gradient = named[name].grad
        if gradient is None or parameter.grad is None:
            assert gradient is parameter.grad, name
            continue
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-9)


def samples(labels: Tensor) -> list[DataSample]:
    return [DataSample().set_gt_label(int(label)) for label in labels]


@pytest.mark.parametrize("form", ["efficient", "capi"])
def test_a_probe_of_the_grid_trains_as_if_it_were_alone(form: str) -> None:
    torch.manual_seed(0)
    grid = AttentiveProbeHead(CLASSES, WIDTH, (1e-2, 1e-3), (0.0, 0.5), form, queries=4).double()
    alone = AttentiveProbeHead(CLASSES, WIDTH, (1e-3,), (0.5,), form, queries=4).double()
    alone.probes[0].load_state_dict(grid.probes[3].state_dict())
    groups = [
        {"params": probe.parameters(), "lr": rate, "weight_decay": decay}
        for probe, (rate, decay) in zip(grid.probes, grid.grid, strict=True)
    ]
    optimizers = torch.optim.AdamW(groups), torch.optim.AdamW(alone.parameters(), lr=1e-3, weight_decay=0.5)
    for _ in range(10):
        raw, labels = torch.randn(8, 1 + TOKENS, WIDTH).double(), torch.randint(CLASSES, (8,))
        for head, optimizer in zip((grid, alone), optimizers, strict=True):
            optimizer.zero_grad()
            head.loss((raw,), samples(labels))["loss"].backward()
            optimizer.step()
    for one, two in zip(grid.probes[3].parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_the_loss_is_the_sum_and_the_chosen_probe_predicts() -> None:
    torch.manual_seed(0)
    head = AttentiveProbeHead(CLASSES, WIDTH, (1.0, 0.1, 0.01), (0.0,), queries=4).eval()
    raw, labels = torch.randn(BATCH, 1 + TOKENS, WIDTH), torch.arange(BATCH)
    every = head.every((raw,))
    losses = torch.stack([F.cross_entropy(scores, labels) for scores in every])
    found = head.loss((raw,), samples(labels))
    torch.testing.assert_close(found["loss"], losses.sum())
    torch.testing.assert_close(found["smallest"], losses.min())
    for index in range(3):
        head.chosen.fill_(index)
        again = AttentiveProbeHead(CLASSES, WIDTH, (1.0, 0.1, 0.01), (0.0,), queries=4).eval()
        again.load_state_dict(head.state_dict())  # the choice is part of a checkpoint
        torch.testing.assert_close(again((raw,)), every[index])


def test_parameters_are_as_many_as_published() -> None:
    """Efficient probing, D = 1152, Q = 128, 1000 classes: 2,627,560 (D^2 + Q D + 1000 D + 1000, their README)."""
    head = AttentiveProbeHead(1000, 1152, queries=128)
    assert sum(p.numel() for p in head.parameters()) == 2_627_560


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="queries=5 and in_channels=128"):
        AttentiveProbeHead(CLASSES, WIDTH, queries=5)
    with pytest.raises(ConfigError, match="multiple of 64"):
        AttentiveProbeHead(CLASSES, 96, form="capi")
    with pytest.raises(ConfigError, match="form='other'"):
        AttentiveProbeHead(CLASSES, WIDTH, form="other")
    with pytest.raises(ConfigError, match="grid of 0"):
        AttentiveProbeHead(CLASSES, WIDTH, learning_rates=())
    with pytest.raises(ConfigError, match="out_type=raw"):
        AttentiveProbeHead(CLASSES, WIDTH, queries=4).every((torch.randn(2, WIDTH),))

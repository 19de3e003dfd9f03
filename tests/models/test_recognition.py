"""Recognition accuracy of a model against counting by hand, and that measuring leaves no trace."""

import pytest
import torch
from torch import nn

from mixedae.models.recognition import evaluating, recognition_by_layer
from mixedae.ops import patchify, sample_sources
from tests.models.conftest import build


def test_evaluating_leaves_no_trace() -> None:
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 3))
    module.train()
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), evaluating(module):
        assert not torch.is_grad_enabled() and not module[0].training
        module(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
        raise ZeroDivisionError
    assert [part.training for part in module] == [True, False, True] and module.training and torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())


def test_accuracy_by_loops_in_every_layer() -> None:
    """Each layer's K = 4 highest scores, counted by hand from its own queries and keys; also in the plain first."""
    torch.manual_seed(1)
    model = build("MixedAE", backbone=dict(cls_in_pool=False), segment_embedding="none")
    patches = patchify(torch.randn(8, 3, 16, 16), 4)
    sources = sample_sources(2, 16, 4, generator=torch.Generator().manual_seed(3))
    found = recognition_by_layer(model, patches, sources)
    inputs: list[torch.Tensor] = []
    for layer in model.backbone.layers:
        layer.ln1.register_forward_hook(lambda module, args, out: inputs.append(out.detach()))
    with torch.no_grad():
        model.encode_mixed(patches, sources)
    for i, layer in enumerate(model.backbone.layers):
        q, k, _ = model.backbone.project(layer.attn, inputs[i])
        for head in range(4):
            hits = total = 0
            for m in range(2):
                for query in range(16):
                    scores = [(float(q[m, head, 1 + query] @ k[m, head, 1 + key]), key) for key in range(16)]
                    for _, key in sorted(scores, reverse=True)[:4]:
                        if key != query:
                            total += 1
                            hits += int(sources[m, key] == sources[m, query])
            assert found[i, head].item() == pytest.approx(hits / total)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_cpus_accuracy() -> None:
    torch.manual_seed(4)
    model = build("MixedAE")
    patches = patchify(torch.randn(16, 3, 16, 16), 4)
    sources = sample_sources(4, 16, 4, generator=torch.Generator().manual_seed(0))
    expected = recognition_by_layer(model, patches, sources)
    found = recognition_by_layer(model.cuda(), patches.cuda(), sources.cuda())
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0.01)  # near ties may fall the other way

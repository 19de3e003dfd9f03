"""ResNet-50 from the layouts of MoCo, SimCLR, BYOL, SwAV and mmpretrain: all of it, or an error with names."""

import pytest
import torch
import torchvision
from mmengine.registry import DefaultScope

from mixedae.errors import ConfigError, WeightsError
from mixedae.models import ResNet
from mixedae.weights import load_backbone, to_resnet

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def source():
    """torchvision's ResNet-50 with every parameter and buffer drawn."""
    generator = torch.Generator().manual_seed(1)
    model = torchvision.models.resnet50().eval()
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif "bn" in name or "downsample.1" in name:
            if value.is_floating_point():
                value.copy_(0.3 + 0.1 * torch.randn(value.shape, generator=generator))
            else:
                value.fill_(7)
    return model


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


def layouts(state):
    """What the published files hold, by method: keys as their training code names them."""
    body = {name: value for name, value in state.items() if not name.startswith("fc.")}
    mlp = {"fc.0.weight": torch.ones(4, 4), "fc.2.bias": torch.ones(4)}
    queue = {"module.queue": torch.ones(4, 8), "module.queue_ptr": torch.zeros(1, dtype=torch.int64)}
    momentum = prefixed({"conv1.weight": torch.ones(64, 3, 7, 7)}, "module.encoder_k.")
    head = {"projection_head.0.weight": torch.ones(4, 4), "prototypes.weight": torch.ones(4, 4)}
    return {
        "torchvision": state,
        "moco": {**prefixed({**body, **mlp}, "module.encoder_q."), **momentum, **queue},
        "moco-v3": {**prefixed({**body, **mlp}, "module.base_encoder."), "module.predictor.0.weight": torch.ones(1)},
        "swav": prefixed({**body, **head}, "module."),
        "simclr": {**{k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}},
        "byol": state,
        "mmpretrain": {
            **prefixed(body, "backbone."),
            "neck.fc0.weight": torch.ones(4, 4),
            "head.fc.weight": torch.ones(4, 4),
            "data_preprocessor.mean": torch.ones(3),
            "target_net.0.conv1.weight": torch.ones(64, 3, 7, 7),
        },
    }


@pytest.mark.parametrize("layout", ["torchvision", "moco", "moco-v3", "swav", "simclr", "byol", "mmpretrain"])
def test_features_are_torchvisions(source, tmp_path, layout):
    file = tmp_path / "x.pth"
    torch.save({"state_dict": layouts(source.state_dict())[layout]}, file)
    model = ResNet(depth=50, init_cfg=dict(type="mixedae.PretrainedResNet", checkpoint=str(file)))
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model.init_weights()
    model.eval()
    body = torch.nn.Sequential(*list(source.children())[:-2])
    with torch.no_grad():
        expected, found = body(IMAGES), model(IMAGES)[-1]
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    ours, theirs = model.state_dict(), source.state_dict()
    for name, value in ours.items():
        counted = name.endswith("num_batches_tracked")
        assert torch.equal(value, theirs[name]) or (layout == "simclr" and counted and value == 0), name
    report = model.load_report
    assert len(report.matched) + len(report.allowed_missing) == len(ours)
    assert all(name.endswith("num_batches_tracked") for name in report.allowed_missing)
    for name in report.dropped:
        assert name.split(".")[0] in str(report)


def test_a_tensor_that_is_missing_unknown_or_of_another_model_is_named(source, tmp_path):
    model = ResNet(depth=50)  # what is refused leaves it unchanged

    def load(state):
        torch.save(state, tmp_path / "x.pth")
        load_backbone(model, tmp_path / "x.pth")

    state = source.state_dict()
    with pytest.raises(WeightsError, match=r"1 missing: layer3\.2\.bn2\.running_var"):
        load({name: value for name, value in state.items() if name != "layer3.2.bn2.running_var"})
    with pytest.raises(WeightsError, match=r"neither of the ResNet nor known.*layer5\.0\.weight"):
        load({**state, "layer5.0.weight": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"stages of 3-4-23-3 blocks.*the model has stages of 3-4-6-3 blocks"):
        load(torchvision.models.resnet101().state_dict())
    with pytest.raises(WeightsError, match=r"176 of another shape: layer1\.0\.conv1\.weight \(128"):
        load(torchvision.models.resnext50_32x4d().state_dict())
    with pytest.raises(WeightsError, match="of no ResNet known here"):
        load({"blocks.0.attn.qkv.weight": torch.ones(1)})


def test_prefixes_are_found_in_any_file():
    state = {"layer1.0.conv1.weight": torch.ones(1), "bn1.bias": torch.ones(1), "fc.weight": torch.ones(1)}
    for prefix in ("", "backbone.", "encoder_q.", "base_encoder.", "encoder."):
        found, _ = to_resnet(prefixed(state, prefix))
        assert set(found) == {"layer1.0.conv1.weight", "bn1.bias"}


def test_another_initialiser_is_refused():
    with pytest.raises(ConfigError, match="'Kaiming'"):
        ResNet(depth=50, init_cfg=dict(type="Kaiming"))

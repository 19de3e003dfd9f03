"""Measuring: candidates take turns, ratios are paired by round, reports are data, foreign modules load by path."""

import json
import sys

import pytest
import torch
from PIL import Image

from mixedae.errors import ConfigError, DataError
from mixedae.ops import homologous_attention
from mixedae.perf.attention import measure_attention
from mixedae.perf.loader import measure_loaders
from mixedae.perf.models import load_class, model_loss
from mixedae.perf.profile import KINDS, WHOLE, seconds_by_kind
from mixedae.perf.report import Report, report, show
from mixedae.perf.steps import Step, measure_steps
from mixedae.perf.timing import interleave, quartiles
from tests.models.conftest import build

CPU = torch.device("cpu")


class Machine:
    """A clock whose speed drifts: every second takes longer than the one before."""

    def __init__(self) -> None:
        self.now, self.slowness, self.order = 0.0, 1.0, []

    def work(self, name: str, seconds: float):
        def run() -> None:
            self.order.append(name)
            self.now += seconds * self.slowness

        return run


def test_ratios_are_paired_by_round_on_a_machine_that_slows_down():
    machine = Machine()

    def slower() -> None:
        machine.work("a", 1.0)()
        machine.slowness *= 1.0 if len(machine.order) % 2 else 1.5

    rows = interleave(
        {"a": slower, "b": machine.work("b", 3.0)}, CPU, rounds=6, warmup=1, clock=lambda: machine.now, case="c"
    )
    assert machine.order == ["a", "b", "b", "a"] * 3 + ["a", "b"]
    assert [(r.name, r.baseline, r.rounds, r.case) for r in rows] == [("a", "a", 6, "c"), ("b", "a", 6, "c")]
    assert rows[0].ratio == 1.0
    assert 2.0 <= rows[1].ratio <= 4.5  # never more than one step of drift away from 3


def test_quartiles():
    assert quartiles([4.0, 1.0, 3.0, 2.0, 5.0]) == (2.0, 3.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_attention_report_is_written_and_read_back(tmp_path, capsys):
    rows = list(measure_attention(CPU, 1, [9], [2], [4], [0.25, 0.5], [torch.float32], rounds=2))
    assert [row.name for row in rows] == ["sdpa", "homologous", "mask + sdpa", "reference"] * 2
    assert {row.case for row in rows} == {f"B 1 H 2 N 9 D 4 K {k} float32" for k in (2, 4)}
    show(report("attention", rows, CPU, "a clock"), tmp_path / "new/report.json")
    again = Report.model_validate(json.loads((tmp_path / "new/report.json").read_text()))
    assert (
        again.rows == rows
        and again.device == "cpu"
        and again.provenance.packages["torch"] == torch.__version__.split("+")[0]
    )
    assert "homologous" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["MAE", "MixedAE"])
def test_a_step_trains_and_is_counted(kind):
    torch.manual_seed(0)
    model = build(kind)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step = Step(model, torch.randn(8, 3, 16, 16), torch.float32, fused=True)
    step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name for name, p in model.named_parameters() if p.requires_grad} == changed
    assert step.saved_mb() > 0

    def linear(rows, wide, out):
        return 3 * 2 * rows * wide * out / 1e9

    # The feed-forward layers alone: 3 of 32 -> 64 -> 32 on 8 x 5 (MAE: 4 kept + [CLS]) or 2 x 17 tokens; see conftest.
    tokens = 40 if kind == "MAE" else 34
    assert step.gflop() > 3 * 2 * linear(tokens, 32, 64)


def test_a_profile_sorts_a_steps_time():
    torch.manual_seed(0)
    images = torch.randn(8, 3, 16, 16)
    found = {
        kind: seconds_by_kind(Step(build(kind), images, torch.float32, fused=True), CPU) for kind in ("MAE", "MixedAE")
    }
    for kind, seconds in found.items():
        assert sum(value for name, value in seconds.items() if name != WHOLE) == pytest.approx(seconds[WHOLE])
        assert all(seconds[name] > 0 for name in KINDS if name != "homologous attention"), (kind, seconds)
    assert found["MAE"]["homologous attention"] == 0 < found["MixedAE"]["homologous attention"]


def test_more_attention_is_counted_for_more_tokens():
    """Attention on a CPU, which PyTorch's counter leaves out, is counted."""

    class Attend(torch.nn.Module):
        def __init__(self, tokens: int) -> None:
            super().__init__()
            self.x = torch.nn.Parameter(torch.randn(1, 1, tokens, 8))

        def forward(self, images):
            return homologous_attention(self.x, self.x, self.x, None).sum()

    counts = [Step(Attend(n), torch.zeros(1), torch.float32).gflop() for n in (4, 8)]
    assert counts[0] == pytest.approx((2 + 5) * 2 * 4 * 4 * 8 / 1e9)
    assert counts[1] == pytest.approx(4 * counts[0])


def test_a_foreign_module_is_loaded_by_path(tmp_path):
    (tmp_path / "helper_of_foreign.py").write_text("SCALE = 2.0\n")
    (tmp_path / "foreign.py").write_text(
        "import torch\nfrom helper_of_foreign import SCALE\n\n\nclass Foreign(torch.nn.Module):\n"
        "    def forward(self, images):\n        return SCALE * images.sum(), None, None\n"
    )
    before = list(sys.path)
    loss = model_loss(load_class(f"{tmp_path}/foreign.py:Foreign")())
    assert loss(torch.ones(3)).item() == 6 and sys.path == before
    with pytest.raises(ConfigError, match="no 'Absent'"):
        load_class(f"{tmp_path}/foreign.py:Absent")
    with pytest.raises(ConfigError, match="no file"):
        load_class("nowhere.py:Thing")


STAND_IN = '''
import torch


class Autoencoder(torch.nn.Module):
    """As official MAE's: the loss first, then what a picture of it needs."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(32, 32)

    def forward(self, images):
        return (self.layer(images) - images).square().mean(), None, None
'''


def test_against_measures_a_foreign_module_in_the_same_rounds(tmp_path):
    """``--against FILE:NAME`` with a module made for this test; the whole table of a case at ViT-B's width."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    against = [f"{tmp_path}/stand_in.py:Autoencoder"]
    rows = list(measure_steps(CPU, "base", [4], [32], [1], torch.float32, False, against, rounds=1))
    assert [row.name for row in rows] == ["MAE", "MixedAE", "mmpretrain MAE", "Autoencoder"]
    assert {(row.case, row.baseline, row.rounds) for row in rows} == {("ViT-B 32 px B 4 depth 1", "MAE", 1)}
    foreign = rows[-1].extra
    assert foreign["gflop"] == pytest.approx(2 * 2 * 4 * 3 * 32 * 32 * 32 / 1e9)  # forward, and the weight's gradient
    assert foreign["saved_mb"] > 0
    counted = {row.name: row.extra["gflop"] for row in rows}
    assert counted["MAE"] < counted["mmpretrain MAE"]  # removed patches are not embedded, visible ones not predicted


@pytest.mark.parametrize("sizes", [(40, 40), (40, 48)], ids=["one size", "two sizes"])
def test_pictures_of_one_size_are_measured_from_memory_too(tmp_path, sizes):
    for i, side in enumerate(sizes):
        (tmp_path / str(i)).mkdir()
        Image.effect_noise((side, 40), 50).save(tmp_path / f"{i}/noise.png")
    rows = {row.name: row for row in measure_loaders(tmp_path, 2, 1, size=32)}
    whole_inputs = {"ours, to the model", "ours, to the model, in memory"} if len(set(sizes)) == 1 else set()
    assert set(rows) == {"torchvision ImageFolder", "timm", "mmpretrain, Pillow", "ours"} | whole_inputs
    assert all(row.extra["images_per_s_a_core"] == pytest.approx(2 / row.seconds) for row in rows.values())


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        measure_loaders(tmp_path, 3, 1)

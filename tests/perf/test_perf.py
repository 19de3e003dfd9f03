"""Measuring: candidates take turns, ratios are paired by round, reports are data, foreign modules load by path."""

import json
import sys

import pytest
import torch

from mixedae.errors import ConfigError, DataError
from mixedae.ops import homologous_attention
from mixedae.perf.attention import measure_attention
from mixedae.perf.loader import measure_loaders
from mixedae.perf.models import load_class, model_loss
from mixedae.perf.report import Report, report, show
from mixedae.perf.steps import Step
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


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        measure_loaders(tmp_path, 3, 1)

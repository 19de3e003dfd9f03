"""A cell is done exactly as long as what it is made of is the same: recipe, seed, card, weights, data."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.store.results import Identity, read_result
from mixedae.errors import ConfigError, DataError, ResultsError
from tests.benchmark.fake_suite import FakeSuite, resolved

CLS, DET, PRE = Cell("mae", "cls", 0), Cell("mae", "det", 0), Cell("mae", None, 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    suite = FakeSuite(tmp_path_factory.mktemp("finished"))
    assert suite.run()[0] == 0
    return suite.folder


@pytest.fixture
def suite(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSuite:
    """A finished suite: a copy of its cells counts beside copies of its configs and data."""
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    suite = FakeSuite(tmp_path)
    shutil.copytree(finished, suite.folder)
    return suite


def started(suite: FakeSuite) -> list[str]:
    """Names of the cells that trained since the journal was removed."""
    journal = suite.root / "journal"
    lines = journal.read_text().splitlines() if journal.exists() else []
    journal.unlink(missing_ok=True)
    return sorted(line.split()[1] for line in lines if line.startswith("start"))


ALL = [f"{p}/{t}/seed_0" for p in ("mae", "mixedae", "random") for t in ("cls", "det")]


def test_nothing_runs_twice(suite: FakeSuite) -> None:
    before = suite.comparison()
    assert suite.run()[0] == 0
    assert started(suite) == []
    assert suite.comparison() == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.write_config("cls", value="new"), [name for name in ALL if "cls" in name]),
        (lambda s: s.write_card("det", version=2), [name for name in ALL if "det" in name]),
        (lambda s: s.write_card("det", version=1, title="Other", protocol="reworded"), []),
        (
            lambda s: s.write_config("mae", epochs=3),
            ["mae/cls/seed_0", "mae/det/seed_0", "mae/pretrain/seed_0"],
        ),
        (lambda s: (s.root / "data" / "val" / "a.txt").write_text("changed"), ALL),
        (lambda s: (s.root / "data" / "train" / "b.txt").write_text("new"), ALL),
        (lambda s: os.utime(s.root / "data" / "val" / "a.txt", (1, 1)), []),
        (
            lambda s: (s.root / "data" / "pretrain" / "a.txt").write_text("changed"),
            ["mae/pretrain/seed_0", "mixedae/pretrain/seed_0"],  # the fake's weights come out the same: transfers hold
        ),
    ],
    ids=["recipe", "card", "words", "pretraining", "data", "new file", "touched", "pretraining data"],
)
def test_what_changed_runs_again_and_nothing_else(
    suite: FakeSuite, change: Callable[[FakeSuite], object], expected: list[str]
) -> None:
    change(suite)
    assert suite.run()[0] == 0
    assert started(suite) == sorted(expected)
    assert suite.run()[0] == 0
    assert started(suite) == []


def test_other_seeds_are_other_cells(suite: FakeSuite) -> None:
    assert suite.run(seeds=(0, 1))[0] == 0
    assert started(suite) == sorted(
        [*(n.replace("_0", "_1") for n in ALL), "mae/pretrain/seed_1", "mixedae/pretrain/seed_1"]
    )


def test_same_content_elsewhere_is_the_same(suite: FakeSuite) -> None:
    """Neither the data's folder nor the file times of a copy are content."""
    moved = suite.root / "moved"
    shutil.copytree(suite.root / "data", moved, copy_function=shutil.copyfile)
    assert suite.run(data={"toy": moved})[0] == 0
    assert started(suite) == []


def test_weights_are_content_too(suite: FakeSuite) -> None:
    """A checkpoint that is not the one that was hashed sends the pre-training back to work, whatever its name."""
    checkpoint = suite.folder / "mae/pretrain/seed_0/epoch_2.pth"
    checkpoint.write_text("x" * len(checkpoint.read_text()))
    state = suite.state(PRE)
    assert state.kind == "damaged" and "no longer what it was" in state.reason
    assert suite.run()[0] == 0
    assert started(suite) == ["mae/pretrain/seed_0"]  # the same weights came out, so its transfers still hold
    checkpoint.unlink()
    assert suite.state(CLS).kind == "waiting"


@pytest.mark.parametrize("damage", ["", "{", '{"schema_version": 1}', "cut", "key", "value"])
def test_damaged_result_is_reported_and_run_again(suite: FakeSuite, damage: str) -> None:
    before = suite.comparison()
    path = suite.folder / CLS.name / "result.json"
    text = path.read_text()
    key = read_result(path.parent).key  # type: ignore[union-attr]
    edits = {
        "cut": text[: len(text) // 2],
        "key": text.replace(key, "0" * 64),
        "value": text.replace('"seed": 0', '"seed": 1', 1),
    }
    path.write_text(edits.get(damage, damage))
    state = suite.state(CLS)
    if damage == "value":  # the cell's own seed is beside the hashed identity
        return
    assert state.kind == "damaged" and "result.json is damaged" in state.reason
    with pytest.raises(ResultsError):
        read_result(path.parent)
    assert suite.run()[0] == 0
    assert started(suite) == [CLS.name]
    assert suite.comparison() == before


def test_stale_results_say_what_changed_and_are_not_shown(suite: FakeSuite) -> None:
    suite.write_card("cls", version=2)
    state = suite.state(CLS)
    assert (state.kind, state.reason) == ("stale", "the card's version changed")
    entry = suite.comparison().rows[1].entries[0]
    assert entry.values == {} and entry.missing == {0: "stale: the card's version changed"}


IDENTITY = Identity(
    weights_sha256="a",
    recipe_hash="b",
    dataset_fingerprint="c",
    card_version=1,
    seed=0,
    effective_batch=8,
    precision="fp32",
)


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(sorted(Identity.model_fields)),
        st.one_of(st.none(), st.integers(2, 9), st.text("xyz", min_size=1)),
        max_size=4,
    )
)
def test_key_changes_exactly_with_content(changes: dict[str, object]) -> None:
    other = IDENTITY.model_copy(update=changes)
    assert (other.key == IDENTITY.key) == (other == IDENTITY)
    assert (other.changes(IDENTITY) == "") == (other == IDENTITY)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


BASE = """
data_root = '{{$MIXEDAE_DATA_TOY:data/toy}}'
train_dataloader = dict(batch_size=4, dataset=dict(data_root=data_root))
optim_wrapper = dict(type='AmpOptimWrapper', accumulative_counts=3, dtype='bfloat16')
randomness = dict(seed=0, deterministic=False)
model = dict(backbone=dict(init_cfg=dict(type='mixedae.PretrainedViT', checkpoint=None)))
work_dir = None
"""


def test_recipe_is_resolved_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Place, name, seed, weights and data folder are no recipe; everything else is."""
    base = write(tmp_path / "base.py", BASE)
    recipe = resolved(base)
    assert (recipe.batch, recipe.precision) == (12, "amp-bf16")
    child = write(
        tmp_path / "child.py", "_base_ = 'base.py'\nwork_dir = 'w'\nrandomness = dict(seed=5)\nlog_level = 'DEBUG'\n"
    )
    assert resolved(child).hash == recipe.hash
    monkeypatch.setenv("MIXEDAE_DATA_TOY", "/elsewhere")
    assert resolved(base).hash == recipe.hash
    assert os.environ["MIXEDAE_DATA_TOY"] == "/elsewhere"
    for number, line in enumerate(
        (
            "randomness = dict(deterministic=True)",
            "model = dict(backbone=dict(init_cfg=dict(type='Other')))",
            "optim_wrapper = dict(accumulative_counts=1)",
            "new = 1",
        )
    ):
        assert resolved(write(tmp_path / f"child{number}.py", f"_base_ = 'base.py'\n{line}\n")).hash != recipe.hash


def test_recipe_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        resolved(tmp_path / "absent.py")
    with pytest.raises(ConfigError, match="does not resolve"):
        resolved(write(tmp_path / "broken.py", "a = 1 / 0"))
    with pytest.raises(ConfigError, match="leaf config"):
        resolved(write(tmp_path / "empty.py", "a = 1"))


def test_absent_data_is_a_data_error(suite: FakeSuite) -> None:
    shutil.rmtree(suite.root / "data" / "val")
    with pytest.raises(DataError, match="MIXEDAE_DATA_TOY"):
        suite.survey().identity(CLS)
    # A table does not need the data, but it says that it could not check it.
    comparison = suite.comparison()
    assert comparison.rows[1].entries[0].values
    assert any("The data is not here (toy)" in note for note in comparison.footnotes)


def test_a_metric_that_a_card_gained_was_not_measured(suite: FakeSuite) -> None:
    """Without a raised version the identity is the same; the old result has no such value all the same."""
    card = yaml.safe_load((suite.root / "tasks/cls.yaml").read_text())
    card["metrics"].append({"key": "accuracy/top5", "name": "top-5"})
    (suite.root / "tasks/cls.yaml").write_text(yaml.safe_dump(card))
    state = suite.state(CLS)
    assert (state.kind, state.reason) == ("stale", "it did not measure top-5")
    assert suite.comparison().rows[1].entries[1].missing == {0: "stale: it did not measure top-5"}

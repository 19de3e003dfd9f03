"""Published numbers and counts of pictures in docs and docstrings are those of published.yaml, cards and data."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from mixedae.benchmark.plan.cards import TaskCard, load_card
from mixedae.benchmark.plan.published import PublishedRef, load_published
from mixedae.benchmark.plan.suites import BENCHMARK, load_suite
from mixedae.datasets.mini.write import COUNTS
from mixedae.files import ROOT

from .recipe import CONFIGS

PUBLISHED = load_published(BENCHMARK / "published.yaml")
NUMBER = r"(\d+\.\d+)"
TABLE_1 = ("imagenet_top1", "ade20k_miou", "coco_box_ap", "coco_mask_ap")
METHODS = {"mae": "MAE", "mixedae": "MixedAE", "mixedae-full": "MixedAE-Full", "mixedae-full-light": "MixedAE-Full*"}
EPOCHS = (300, 800, 1600)


@cache
def card(name: str) -> TaskCard:
    return load_card(BENCHMARK / "tasks" / f"{name}.yaml")


def values(table: str, method: str, epochs: int | None) -> dict[str, float]:
    row = PUBLISHED.row(PublishedRef(table=f"mixedae_{table}", method=method, epochs=epochs))[1]
    return {**{k: v for k, v in row.values.items() if v is not None}, "gpu_days": row.gpu_days or 0.0}


def docstring(path: Path) -> str:
    """A config's docstring in one line."""
    return " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(NUMBER, text)]


def table_of(path: str, header: str) -> list[list[str]]:
    """The rows of a Markdown table, cell by cell; ``header`` is how its first line begins."""
    lines = (ROOT / path).read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(header)) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_readme_s_table_is_table_1() -> None:
    rows = table_of("README.md", "| recipe | GPU hours |")
    assert [int(re.findall(r"(\d+)e`", row[0])[0]) for row in rows] == list(EPOCHS)
    for epochs, (_, hours, *metrics) in zip(EPOCHS, rows, strict=True):
        both = [values("table1", method, epochs) for method in ("MAE", "MixedAE")]
        assert [int(text) for text in hours.split(" / ")] == [round(24 * row["gpu_days"]) for row in both]
        for column, text in zip(TABLE_1, metrics, strict=True):
            assert numbers(text) == [row[column] for row in both], (epochs, column)


PRETRAININGS = [
    p for p in sorted((CONFIGS / "pretrain").glob("*_vit-base-*.py")) if p.stem.startswith(("mae", "mixedae"))
]


@pytest.mark.parametrize("path", PRETRAININGS, ids=lambda path: path.stem)
def test_pretraining_leaves_name_what_table_1_has(path: Path) -> None:
    method, epochs = re.fullmatch(r"(.+)_vit-base-.*-(\d+)e_in1k", path.stem).groups()  # type: ignore[union-attr]
    row, text = values("table1", METHODS[method], int(epochs)), docstring(path)
    if "full" in method:
        given = re.search(
            rf"Table 1\): {NUMBER} % top-1, {NUMBER} mIoU, {NUMBER} box AP, {NUMBER} mask AP; {NUMBER} GPU-days", text
        )
        assert given and [float(g) for g in given.groups()] == [row[column] for column in (*TABLE_1, "gpu_days")]
    else:
        given = re.search(rf"Table 1\): {NUMBER} % top-1 after fine-tuning, tolerance {NUMBER}", text)
        assert given and float(given[1]) == row["imagenet_top1"]
        assert float(given[2]) == card("in1k_ft").metrics[0].tolerance


@pytest.mark.parametrize("name", ["in1k_ft", "ade20k_upernet", "coco_cascade"])
def test_transfer_leaves_name_what_table_1_has(name: str) -> None:
    """The values of MAE, then of MixedAE, at 300, 800 and 1600 epochs; box and mask AP in turns."""
    found, text = card(name), docstring(ROOT / card(name).recipe)
    columns = [metric.published for metric in found.metrics if metric.published in TABLE_1]
    mae, mixedae = re.search(r"MAE 300.*|MAE 8.*|MAE 4.*", text)[0].split("MixedAE", 1)  # type: ignore[index]
    for method, part in (("MAE", mae), ("MixedAE", mixedae)):
        expected = [values("table1", method, epochs)[str(column)] for epochs in EPOCHS for column in columns]
        assert numbers(part)[: len(expected)] == expected, method
    tolerance = re.search(rf"tolerance {NUMBER}", text)
    assert tolerance and {metric.tolerance for metric in found.metrics if metric.tolerance} == {float(tolerance[1])}


SMALL = sorted(path.stem for path in (BENCHMARK / "tasks").glob("eleven_*.yaml"))


@pytest.mark.parametrize("name", SMALL)
def test_small_leaves_name_what_table_2_has(name: str) -> None:
    given = re.search(
        rf"Table 2, ViT-B/16, 1600 epochs\): MAE {NUMBER}, MixedAE {NUMBER}\.", docstring(ROOT / card(name).recipe)
    )
    column = str(card(name).metrics[0].published)
    expected = [values("table2", method, epochs)[column] for method, epochs in (("MAE", None), ("MixedAE", 1600))]
    assert given and [float(g) for g in given.groups()] == expected


def test_leaves_name_official_mae_s_values() -> None:
    rows = {row.method[4:]: row.values for row in PUBLISHED.tables["mae_readme"].rows}
    seeds = {row.method[4:]: row.values for row in PUBLISHED.tables["seed_spread_finetune"].rows}
    stems = {
        "vit-base-p16_8xb128-amp-coslr-100e_in1k": ("1600 epochs: {}.", [seeds["ViT-B"]["mean"]]),
        "vit-large-p16_8xb128-amp-coslr-50e_in1k": (
            "1600 epochs: {} (FINETUNE.md, four seeds, standard deviation {})",
            [seeds["ViT-L"]["mean"], seeds["ViT-L"]["std"]],
        ),
        "vit-huge-p14_8xb128-amp-coslr-50e_in1k": (
            "Expected top-1: {} with official MAE's weights (FINETUNE.md, fine-tuned checkpoint {})",
            [rows["ViT-H"]["imagenet_top1"], rows["ViT-H"]["imagenet_top1_released"]],
        ),
        "vit-base-p16_8xb2048-amp-linear-coslr-90e_in1k": (
            "1600 epochs: {} (MAE FINETUNE.md; the paper's own code {})",
            [rows["ViT-B"]["imagenet_linear_pytorch"], rows["ViT-B"]["imagenet_linear"]],
        ),
    }
    for stem, (sentence, expected) in stems.items():
        assert sentence.format(*expected) in docstring(CONFIGS / "classification" / f"mixedae-{stem}.py"), stem


def test_method_s_table_is_table_3() -> None:
    """Each row of the suite once, with what every sub-table prints for it."""
    names = {"contrast": "contrastive", "TopK": "attention", "before": "before LN", "after": "after LN"}
    names |= {"1st, 2nd": "1st and 2nd", "K = 1.0 L": "K = 1.0 L (no sampling)"}
    names |= {f"{k} L": f"K = {k} L" for k in ("0.125", "0.25", "0.5")}
    rows, seen = table_of("docs/method.md", "| row | 3a |"), set()
    assert {row[0].strip("`") for row in rows} == load_suite(BENCHMARK / "suites" / "ablation.yaml").pretrainings.keys()
    for _, *cells, printed in rows:
        for letter, cell in zip("abcdef", cells, strict=True):
            if cell:
                method = names.get(cell, cell)
                row = values(f"table3{letter}", method, 300)
                assert numbers(printed) == [row["acc"], row["miou"]], (letter, method)
                seen.add((letter, method))
    tables = {letter: PUBLISHED.tables[f"mixedae_table3{letter}"] for letter in "abcdef"}
    assert seen == {(letter, row.method) for letter, table in tables.items() for row in table.rows}
    both = values("table3f", "both", 300)
    sentence = "(arXiv 2303.17152, Tables 3e and 3f, last row): {acc} % top-1 on ImageNet, {miou} mIoU on ADE20K."
    assert sentence.format(**both) in docstring(CONFIGS / "pretrain" / "ablation" / "mixedae.py")


def test_transfer_s_table_has_the_published_values_and_the_cards_tolerances() -> None:
    rows = {row[0]: row for row in table_of("docs/transfer.md", "| task | config below")}
    seeds = {row.method: row.values["mean"] for row in PUBLISHED.tables["seed_spread_finetune"].rows}
    readme = {row.method: row.values for row in PUBLISHED.tables["mae_readme"].rows}
    cascade = values("table1", "MAE", 1600)
    for task, expected, name in (
        ("ImageNet, fine-tuned", [seeds["MAE ViT-B"]], "in1k_ft"),
        ("ViT-L, ViT-H", [seeds["MAE ViT-L"], readme["MAE ViT-H"]["imagenet_top1"]], "in1k_ft"),
        ("linear probe", [readme["MAE ViT-B"]["imagenet_linear_pytorch"]], None),
        ("ADE20K, UperNet", [], "ade20k_upernet"),
        ("COCO, Cascade Mask R-CNN 1x", [cascade["coco_box_ap"], cascade["coco_mask_ap"]], "coco_cascade"),
        ("COCO, ViTDet's Mask R-CNN", [], "coco_vitdet"),
    ):
        printed, tolerance = rows[task][3:5]
        assert not expected or numbers(printed) == expected, task
        assert numbers(tolerance) == ([card(name).metrics[0].tolerance] if name else []), task


def test_eleven_s_table_has_the_cards_counts() -> None:
    """Pictures to train, validate and test on; a set without a validation split of its own trains on `trainval`."""
    rows, seen = table_of("docs/eleven.md", "| set | leaf |"), set()
    for _, leaves, _, _, counts, own in rows:
        for leaf in re.findall(r"`(\w+)`", leaves):
            splits = card(f"eleven_{leaf}").splits
            seen.add(f"eleven_{leaf}")
            assert (own == "yes") == ("val" in splits), leaf
            if leaf == "caltech101":
                counts = "{trainval:,} training and {test:,} test pictures".format(**splits)
                assert counts in (ROOT / "docs" / "eleven.md").read_text()
                continue
            train = splits.get("train", splits["trainval"])
            expected = [train, *([splits["val"]] if "val" in splits else []), splits["test"]]
            assert [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", counts)] == expected, leaf
    assert seen == set(SMALL)


def test_sentences_with_counts() -> None:
    text = " ".join((ROOT / "docs" / "eleven.md").read_text().split())
    everything = sum(card(name).splits["trainval"] + card(name).splits["test"] for name in SMALL)
    quarter, imagenet = card("small_tiny_imagenet").splits, card("in1k_ft").splits
    assert f"the {everything:,} pictures of all sets" in text
    assert f"{quarter['trainval']:,} training and {quarter['test']:,} test pictures, 64 px" in text
    assert f"ImageNet-1K ({imagenet['train']:,} pictures)" in text
    results = " ".join((ROOT / "RESULTS.md").read_text().split())
    tiny, camvid, coco = (card(name).splits for name in ("tiny_imagenet_ft", "camvid_upernet", "coco_small_cascade"))
    assert f"{tiny['train']:,} training and {tiny['val']:,} validation pictures of 100 classes" in results
    assert f"CamVid: {camvid['training']} training and {camvid['validation']} validation pictures" in results
    assert f"COCO: {coco['train2017']} training pictures" in results
    mini = COUNTS["full"]
    assert f"on {mini['imagenet/pretrain']:,} unlabelled pictures" in " ".join((ROOT / "README.md").read_text().split())


@pytest.mark.parametrize(("name", "folder"), [("mini_cls", "imagenet"), ("mini_seg", "ade20k"), ("mini_det", "coco")])
def test_the_mini_cards_count_what_is_written(name: str, folder: str) -> None:
    written = {split: count for split, count in COUNTS["full"].items() if split.startswith(folder)}
    written.pop("imagenet/pretrain", None)
    assert sorted(card(name).splits.values()) == sorted(written.values())
    assert all(any(split in place for place in written) for split in card(name).splits)

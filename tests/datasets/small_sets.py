"""The eleven small sets in their true file layouts, a few pictures each: what the real archives unpack to."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

PER_CLASS = 5
LEAF_OF = {
    "aircraft": "fgvc-aircraft-2013b",
    "caltech101": "caltech-101",
    "cars": "stanford_cars",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "dtd": "dtd",
    "flowers": "flowers102",
    "food": "food-101",
    "pets": "oxford-iiit-pet",
    "sun397": "SUN397",
    "voc2007": "VOC2007",
}


def picture(path: Path, shade: int) -> None:
    """A flat JPEG of 40 x 30 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (shade % 256, 255 - shade % 256, 7)).save(path, format="JPEG")


def lines(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def records(**columns: list) -> np.ndarray:
    """A MATLAB struct array, 1 x N, as the sets' own .mat files hold."""
    dtype = [(name, object) for name in columns]
    return np.array([tuple(row) for row in zip(*columns.values(), strict=True)], dtype=dtype)[None]


def write_aircraft(root: Path, classes: list[str]) -> dict[str, int]:
    rows = {split: [] for split in ("train", "val", "test")}
    for label, name in enumerate(classes):
        for split in rows:
            for i in range(PER_CLASS):
                picture(root / "data" / "images" / f"{label}{split}{i}.jpg", label)
                rows[split].append(f"{label}{split}{i} {name}")
    for split, content in {**rows, "trainval": rows["train"] + rows["val"]}.items():
        lines(root / "data" / f"images_variant_{split}.txt", content)
    return {"train": PER_CLASS, "val": PER_CLASS, "trainval": 2 * PER_CLASS, "test": PER_CLASS}


def write_caltech101(root: Path, classes: list[str]) -> dict[str, int]:
    for split in ("train", "test"):
        rows = []
        for label, name in enumerate(classes):
            for i in range(PER_CLASS):
                picture(root / "101_ObjectCategories" / name / f"{split}_{i:04d}.jpg", label)
                rows.append(f"{name}/{split}_{i:04d}.jpg {label}")
        lines(root / "meta" / f"{split}.txt", rows)
    return {"train": PER_CLASS, "test": PER_CLASS}


def write_cars(root: Path, classes: list[str]) -> dict[str, int]:
    paths, labels, tests = [], [], []
    for label in range(len(classes)):
        for test in (0, 1):
            for i in range(PER_CLASS):
                paths.append(f"car_ims/{label:03d}{test}{i}.jpg")
                labels.append(label + 1)
                tests.append(test)
                picture(root / paths[-1], label)
    annotations = records(**{"relative_im_path": paths, "class": labels, "test": tests})
    savemat(root / "cars_annos.mat", {"annotations": annotations})
    return {"train": PER_CLASS, "test": PER_CLASS}


def write_cifar(root: Path, folder: str, train: list[str], test: str, key: str, classes: int) -> dict[str, int]:
    rng = np.random.default_rng(0)
    for name in (*train, test):
        labels = [c for c in range(classes) for _ in range(PER_CLASS)]
        pixels = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        pixels[:, :1024] = np.array(labels, dtype=np.uint8)[:, None]  # the red plane comes first
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps({"data": pixels, key: labels}))
    return {"train": PER_CLASS * len(train), "test": PER_CLASS}


def write_cifar10(root: Path, classes: list[str]) -> dict[str, int]:
    batches = [f"data_batch_{i}" for i in range(1, 6)]
    return write_cifar(root, "cifar-10-batches-py", batches, "test_batch", "labels", len(classes))


def write_cifar100(root: Path, classes: list[str]) -> dict[str, int]:
    return write_cifar(root, "cifar-100-python", ["train"], "test", "fine_labels", len(classes))


def write_dtd(root: Path, classes: list[str]) -> dict[str, int]:
    names, labels, sets = [], [], []
    for label, name in enumerate(classes):
        for part in (1, 2, 3):
            for i in range(PER_CLASS):
                names.append(f"{name}/{name}_{part}{i}.jpg")
                labels.append(label + 1)
                sets.append(part)
                picture(root / "images" / names[-1], label)
    (root / "imdb").mkdir(parents=True)
    images = {"name": np.array(names, dtype=object)[None], "class": np.array([labels]), "set": np.array([sets])}
    savemat(root / "imdb" / "imdb.mat", {"images": images})
    return {"train": PER_CLASS, "val": PER_CLASS, "trainval": 2 * PER_CLASS, "test": PER_CLASS}


def write_flowers(root: Path, classes: list[str]) -> dict[str, int]:
    labels, ids = [], {"trnid": [], "valid": [], "tstid": []}
    for label in range(len(classes)):
        for split in ids:
            for _ in range(PER_CLASS):
                labels.append(label + 1)
                ids[split].append(len(labels))
                picture(root / "jpg" / f"image_{len(labels):05d}.jpg", label)
    savemat(root / "imagelabels.mat", {"labels": np.array([labels])})
    savemat(root / "setid.mat", {split: np.array([content]) for split, content in ids.items()})
    return {"train": PER_CLASS, "val": PER_CLASS, "trainval": 2 * PER_CLASS, "test": PER_CLASS}


def write_food(root: Path, classes: list[str]) -> dict[str, int]:
    for split in ("train", "test"):
        rows = []
        for label, name in enumerate(classes):
            for i in range(PER_CLASS):
                picture(root / "images" / name / f"{split}{i}.jpg", label)
                rows.append(f"{name}/{split}{i}")
        lines(root / "meta" / f"{split}.txt", rows)
    return {"train": PER_CLASS, "test": PER_CLASS}


def write_pets(root: Path, classes: list[str]) -> dict[str, int]:
    for split in ("trainval", "test"):
        rows = []
        for label, name in enumerate(classes):
            for i in range(PER_CLASS):
                picture(root / "images" / f"{name}_{split}{i}.jpg", label)
                rows.append(f"{name}_{split}{i} {label + 1} 1 1")
        lines(root / "annotations" / f"{split}.txt", rows)
    return {"trainval": PER_CLASS, "test": PER_CLASS}


def write_sun397(root: Path, classes: list[str]) -> dict[str, int]:
    for split, file in (("train", "Training_01.txt"), ("test", "Testing_01.txt")):
        rows = []
        for label, name in enumerate(classes):
            for i in range(PER_CLASS):
                row = f"/{name[0]}/{name}/sun_{split}{i}.jpg"
                picture(root / "SUN397" / row[1:], label)
                rows.append(row)
        lines(root / "Partitions" / file, rows)
    return {"train": PER_CLASS, "test": PER_CLASS}


def write_voc2007(root: Path, classes: list[str]) -> dict[str, int]:
    """Each picture shows its class, and the next class as a difficult object."""
    rows = {split: [] for split in ("train", "val", "test")}
    for label, name in enumerate(classes):
        other = classes[(label + 1) % len(classes)]
        for number, split in enumerate(rows):
            for i in range(PER_CLASS):
                stem = f"{number}{label:03d}{i:02d}"
                picture(root / "JPEGImages" / f"{stem}.jpg", label)
                objects = "".join(
                    f"<object><name>{n}</name><difficult>{d}</difficult></object>" for n, d in ((name, 0), (other, 1))
                )
                lines(root / "Annotations" / f"{stem}.xml", [f"<annotation>{objects}</annotation>"])
                rows[split].append(stem)
    for split, content in {**rows, "trainval": rows["train"] + rows["val"]}.items():
        lines(root / "ImageSets" / "Main" / f"{split}.txt", content)
    return {"train": PER_CLASS, "val": PER_CLASS, "trainval": 2 * PER_CLASS, "test": PER_CLASS}


WRITERS = {name: globals()[f"write_{name}"] for name in LEAF_OF}

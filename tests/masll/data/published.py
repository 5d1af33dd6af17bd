"""Folders of the shape of published data sets, a hundredth of their size.

Headers and file names are those of the official files, and the counts of each class those of the
papers (named in masll/data/layouts), so that the counts that a reader gives follow by `scaled`.
"""

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SCALE = 100

# Images of each class, from the papers and the challenge's pages.
HAM10000 = {
    "akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142
}  # fmt: skip
HAM10000_LESIONS = 7470
ISIC2016 = {"train": {"benign": 727, "malignant": 173}, "test": {"0.0": 304, "1.0": 75}}
ISIC2017 = {
    "train": {"melanoma": 374, "seborrheic_keratosis": 254, "": 1372},
    "validation": {"melanoma": 30, "seborrheic_keratosis": 42, "": 78},
    "test": {"melanoma": 117, "seborrheic_keratosis": 90, "": 393},
}
ISIC2018 = {
    "train": {
        "MEL": 1113, "NV": 6705, "BCC": 514, "AKIEC": 327, "BKL": 1099, "DF": 115, "VASC": 142
    },
    "validation": {"MEL": 21, "NV": 123, "BCC": 15, "AKIEC": 8, "BKL": 22, "DF": 1, "VASC": 3},
    "test": {"MEL": 171, "NV": 909, "BCC": 93, "AKIEC": 43, "BKL": 217, "DF": 44, "VASC": 35},
}  # fmt: skip
ISIC2019 = {
    "train": {
        "MEL": 4522, "NV": 12875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253,
        "SCC": 628, "UNK": 0,
    },
    "test": {
        "MEL": 1327, "NV": 2495, "BCC": 975, "AK": 374, "BKL": 660, "DF": 91, "VASC": 104,
        "SCC": 165, "UNK": 2047,
    },
}  # fmt: skip
ISIC2020 = {
    "unknown": 27124, "nevus": 5193, "melanoma": 584, "seborrheic keratosis": 135,
    "lentigo NOS": 44, "lichenoid keratosis": 37, "solar lentigo": 7, "cafe-au-lait macule": 1,
    "atypical melanocytic proliferation": 1,
}  # fmt: skip
ISIC2020_PATIENTS = 2056
ISIC2020_TEST = 10982
PH2 = {"0": 80, "1": 80, "2": 40}
DERM7PT = {
    "train": {"basal cell carcinoma": 19, "clark nevus": 256, "melanoma (in situ)": 90,
              "lentigo": 32, "seborrheic keratosis": 16},
    "validation": {"basal cell carcinoma": 7, "clark nevus": 100,
                   "melanoma (0.76 to 1.5 mm)": 61, "lentigo": 25, "seborrheic keratosis": 10},
    "test": {"basal cell carcinoma": 16, "clark nevus": 219, "melanoma metastasis": 101,
             "lentigo": 40, "seborrheic keratosis": 19},
}  # fmt: skip
MED_NODE = {"melanoma": 70, "naevus": 100}
_PREFIX_2017 = {"train": "Training", "validation": "Validation", "test": "Test_v2"}
_PART = {"train": "Training", "validation": "Validation", "test": "Test"}


def scaled(count: int) -> int:
    """How many of `count` a small folder has; no class of one vanishes."""
    return -(-count // SCALE)


def texts(counts: Mapping[str, int]) -> list[str]:
    """The class of each image of a small folder."""
    return [text for text, count in counts.items() for _ in range(scaled(count))]


def _content(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


_CONTENTS = {".jpg": _content("JPEG"), ".bmp": _content("BMP"), ".png": _content("PNG")}
_numbers = itertools.count(1)


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Bytes after the end of an image are no part of it, and make each file another one.
    path.write_bytes(_CONTENTS[path.suffix] + f"{next(_numbers)}".encode())


def _mask(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 12:28] = 255
    image = Image.fromarray(mask)
    (image.convert("1") if path.suffix == ".bmp" else image).save(path)  # PH2's have one bit


def _table(path: Path, header: Sequence[str] | None, rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*([header] if header else []), *rows])


def _one_hot(text: str, columns: Iterable[str]) -> list[float]:
    return [float(column == text) for column in columns]


def _names(count: int, start: int = 0) -> list[str]:
    return [f"ISIC_{number:07d}" for number in range(start, start + count)]


def isic2016(folder: Path) -> None:
    start = 0
    for split, counts in ISIC2016.items():
        prefix = f"ISBI2016_ISIC_Part3_{_PART[split]}"
        names = _names(len(texts(counts)), start)
        start += len(names)
        _table(folder / f"{prefix}_GroundTruth.csv", None, zip(names, texts(counts), strict=True))
        for name in names:
            _image(folder / f"{prefix}_Data" / f"{name}.jpg")
            masks = folder / f"ISBI2016_ISIC_Part1_{_PART[split]}_GroundTruth"
            _mask(masks / f"{name}_Segmentation.png")


def isic2017(folder: Path) -> None:
    start = 0
    for split, counts in ISIC2017.items():
        prefix = f"ISIC-2017_{_PREFIX_2017[split]}"
        names = _names(len(texts(counts)), start)
        start += len(names)
        columns = ("melanoma", "seborrheic_keratosis")
        _table(
            folder / f"{prefix}_Part3_GroundTruth.csv",
            ("image_id", *columns),
            [(n, *_one_hot(t, columns)) for n, t in zip(names, texts(counts), strict=True)],
        )
        if split != "test":
            _table(
                folder / f"{prefix}_Data" / f"{prefix}_Data_metadata.csv",
                ("image_id", "age_approximate", "sex"),
                [
                    (name, "unknown" if place == 0 else 55, "female")
                    for place, name in enumerate(names)
                ],
            )
        for name in names:
            _image(folder / f"{prefix}_Data" / f"{name}.jpg")
        (folder / f"{prefix}_Data" / f"{names[0]}_superpixels.png").write_bytes(b"not read")


def isic2018(folder: Path) -> None:
    start = 0
    for split, counts in ISIC2018.items():
        prefix = f"ISIC2018_Task3_{_PART[split]}"
        names = _names(len(texts(counts)), start)
        start += len(names)
        _table(
            folder / f"{prefix}_GroundTruth" / f"{prefix}_GroundTruth.csv",
            ("image", *counts),
            [(n, *_one_hot(t, counts)) for n, t in zip(names, texts(counts), strict=True)],
        )
        if split == "train":
            _table(
                folder / f"{prefix}_LesionGroupings.csv",
                ("image", "lesion_id", "diagnosis_confirm_type"),
                [
                    (n, lesion, "histopathology")
                    for n, lesion in zip(names, _lesions(len(names)), strict=True)
                ],
            )
        for name in names:
            _image(folder / f"{prefix}_Input" / f"{name}.jpg")


def isic2019(folder: Path) -> None:
    start = 0
    for split, counts in ISIC2019.items():
        prefix = f"ISIC_2019_{_PART[split]}"
        names = _names(len(texts(counts)), start)
        start += len(names)
        weights = ("score_weight", "validation_weight") if split == "test" else ()
        _table(
            folder / f"{prefix}_GroundTruth.csv",
            ("image", *counts, *weights),
            [
                (n, *_one_hot(t, counts), *(1.0 for _ in weights))
                for n, t in zip(names, texts(counts), strict=True)
            ],
        )
        lesion = ("lesion_id",) if split == "train" else ()
        _table(
            folder / f"{prefix}_Metadata.csv",
            ("image", "age_approx", "anatom_site_general", *lesion, "sex"),
            [
                (n, 45.0, "anterior torso", *([f"BCN_{place // 2:07d}"] * len(lesion)), "male")
                for place, n in enumerate(names)
            ],
        )
        for name in names:
            _image(folder / f"{prefix}_Input" / f"{name}.jpg")


def isic2020(folder: Path) -> None:
    diagnoses = texts(ISIC2020)
    names = _names(len(diagnoses))
    patients = scaled(ISIC2020_PATIENTS)
    _table(
        folder / "ISIC_2020_Training_GroundTruth_v2.csv",
        (
            *("image_name", "patient_id", "lesion_id", "sex", "age_approx"),
            *("anatom_site_general_challenge", "diagnosis", "benign_malignant", "target"),
        ),
        [
            (
                *(name, f"IP_{place % patients:07d}", f"IL_{place:07d}", "female", 45.0, "torso"),
                *(diagnosis, "malignant" if diagnosis == "melanoma" else "benign"),
                int(diagnosis == "melanoma"),
            )
            for place, (name, diagnosis) in enumerate(zip(names, diagnoses, strict=True))
        ],
    )
    for name in names:
        _image(folder / "train" / f"{name}.jpg")
    tested = _names(scaled(ISIC2020_TEST), len(names))
    _table(
        folder / "ISIC_2020_Test_Metadata.csv",
        ("image", "patient", "age_approx", "anatom_site_general", "sex"),
        [(name, "IP_9999999", 70.0, "", "male") for name in tested],
    )
    for name in tested:
        _image(folder / "ISIC_2020_Test_Input" / f"{name}.jpg")


def _lesions(images: int) -> list[str]:
    """As many lesions to an image as HAM10000 has."""
    lesions = scaled(HAM10000_LESIONS)
    return [f"HAM_{place * lesions // images:07d}" for place in range(images)]


def ham10000(folder: Path) -> None:
    classes = texts(HAM10000)
    names = _names(len(classes))
    _table(
        folder / "HAM10000_metadata.csv",
        ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"),
        [
            (lesion, name, dx, "histo", "80.0", "unknown" if dx == "df" else "male", "scalp")
            for lesion, name, dx in zip(_lesions(len(names)), names, classes, strict=True)
        ],
    )
    for place, name in enumerate(names):
        _image(folder / f"HAM10000_images_part_{1 + place % 2}" / f"{name}.jpg")
        masks = folder / "HAM10000_segmentations_lesion_tschandl"
        _mask(masks / f"{name}_segmentation.png")


def ph2(folder: Path) -> None:
    classes = texts(PH2)
    lines = [
        "||   Name ||   Histological Diagnosis || Clinical Diagnosis || Asymmetry | "
        "Pigment Network | Dots/Globules | Streaks | Regression Areas | Blue-Whitish Veil || "
        "  Colors   ||"
    ]
    for number, text in enumerate(classes):
        name = f"IMD{number:03d}"
        histology = "Melanoma" if text == "2" else " " * 24
        lines.append(
            f"|| {name} || {histology} ||                  {text} ||         0 |              AT |"
            "             A |       A |                A |                 A || 4  5      ||"
        )
        _image(folder / "PH2 Dataset images" / name / f"{name}_Dermoscopic_Image" / f"{name}.bmp")
        _mask(folder / "PH2 Dataset images" / name / f"{name}_lesion" / f"{name}_lesion.bmp")
    legends = ["", "==================", "Legends:", "\t0 - Common Nevus; 2 - Melanoma."]
    (folder / "PH2_dataset.txt").write_text("\r\n".join([*lines, *legends]))


def derm7pt(folder: Path) -> None:
    rows: list[tuple[object, ...]] = []
    for split, counts in DERM7PT.items():
        first = len(rows)
        for diagnosis in texts(counts):
            case = f"Nel{len(rows) + 1:03d}"
            clinic, derm = f"NEL/{case}.JPG", f"NEL/{case}_d.jpg"
            rows.append(
                (len(rows) + 1, diagnosis, 0, "low", "flat", "back", "male", clinic, derm, "", "")
            )
            _image(folder / "images" / derm)
            (folder / "images" / clinic).write_bytes(b"not read")
        name = {"validation": "valid"}.get(split, split)
        _table(
            folder / "meta" / f"{name}_indexes.csv",
            ("indexes",),
            [(number,) for number in range(first, len(rows))],
        )
    _table(
        folder / "meta" / "meta.csv",
        (
            *("case_num", "diagnosis", "seven_point_score", "level_of_diagnostic_difficulty"),
            *("elevation", "location", "sex", "clinic", "derm", "case_id", "notes"),
        ),
        rows,
    )


def med_node(folder: Path) -> None:
    for name, count in MED_NODE.items():
        for number in range(scaled(count)):
            _image(folder / name / f"{number}.jpg")  # the same names in both folders


def isic_archive(folder: Path) -> None:
    rows = [
        ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma Invasive"),
        ("Malignant", "Malignant melanocytic proliferations (Melanoma)", ""),
        ("Malignant", "Malignant epidermal proliferations", "Basal cell carcinoma"),
        ("Benign", "Benign melanocytic proliferations", "Nevus"),
        ("Benign", "", ""),
        ("Malignant", "", ""),
        ("Indeterminate", "", ""),
        ("", "", ""),
    ]
    names = _names(len(rows))
    _table(
        folder / "metadata.csv",
        (
            *("isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general"),
            *("diagnosis_1", "diagnosis_2", "diagnosis_3", "diagnosis_confirm_type", "image_type"),
            *("lesion_id", "patient_id", "sex"),
        ),
        [
            (
                name,
                "Hospital",
                "CC-0",
                60,
                "palms/soles",
                *row,
                "",
                "dermoscopic",
                "IL_1",
                "",
                "male",
            )
            for name, row in zip(names, rows, strict=True)
        ],
    )
    for name in names:
        _image(folder / f"{name}.jpg")
    (folder / "attribution.txt").write_text("not read")


MAKERS: dict[str, Callable[[Path], None]] = {
    "isic2016": isic2016,
    "isic2017": isic2017,
    "isic2018": isic2018,
    "isic2019": isic2019,
    "isic2020": isic2020,
    "ham10000": ham10000,
    "ph2": ph2,
    "derm7pt": derm7pt,
    "med-node": med_node,
    "isic-archive": isic_archive,
}


def make(name: str, folder: Path) -> Path:
    """A folder of the shape of the data set `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    MAKERS[name](folder)
    return folder

"""Image files as people name them: files, folders of them, and tables with a column of paths."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from masll.common.errors import InputError
from masll.data.files import read_table
from masll.data.reading import FORMATS
from masll.data.types import is_table


def image_files(named: Iterable[Path]) -> list[Path]:
    """The image files that some names mean, in their order.

    Args:
        named: a file stands for itself, whatever it is; a folder for the image files right in it,
            by name; a CSV file for its column `image`, of paths from the file's folder.

    Raises:
        InputError: a folder without image files, or a CSV file without the column or rows.
    """
    files: list[Path] = []
    for path in named:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if is_image(file))
            if not inside:
                raise InputError(f"the folder {path} holds no image files; name another, or files")
            files += inside
        elif is_table(str(path)):
            files += [path.parent / row["image"] for _, row in read_table(path, ("image",))]
        else:
            files.append(path)
    return files


def is_image(path: Path) -> bool:
    """Whether a file's name says that it is an image of a format that is read here.

    >>> is_image(Path("a/lesion.JPG")), is_image(Path("notes.txt"))
    (True, False)
    """
    Image.init()
    return Image.EXTENSION.get(path.suffix.lower()) in FORMATS

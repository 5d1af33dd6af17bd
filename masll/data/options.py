"""Which images a command reads, and how they become squares."""

from dataclasses import dataclass

from masll.common.options import check_fields, option
from masll.config import LEAST_PIXELS, MOST_PIXELS
from masll.data.reading import FITS


@dataclass(frozen=True)
class DataOptions:
    """Which images, and how they are stored. Shared by every command that reads images."""

    data: str = option(
        "synthetic",
        "ISIC 2017 folder or CSV file, here or on s3://, or the word synthetic or "
        "synthetic-fine, whose melanomas only a crop tells",
        metavar="PATH",
    )
    source_size: int | None = option(
        None,
        "side of the stored images, which crops are cut from (default: twice the image size)",
        least=LEAST_PIXELS,
        most=MOST_PIXELS,
    )
    fit: str = option(
        "squash", "how an image becomes a square: squash (the paper), pad or crop", choices=FITS
    )
    partial: bool = option(False, "leave out rows without an image and images without a row")

    def __post_init__(self) -> None:
        check_fields(self)

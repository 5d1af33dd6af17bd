"""STUDY/metadata.parquet: what is known of validation and test images beside their labels.

Age, sex, site and the like, as the images' source had them when the study began: with them a report
of subgroups needs no images. A study whose images have none has no such file, and neither have
studies of earlier versions.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tuning.study.checking import check_metadata
from tuning.study.damage import DamagedFile
from tuning.study.folder import StudyFolder

OWN = ("image_id", "split")  # columns that are no metadata


class KnownImage(NamedTuple):
    """An image, and what is known of it."""

    image_id: str
    split: str  # validation or test
    metadata: Mapping[str, str]  # by column; what is not known is missing, or ""


def write_metadata(folder: StudyFolder, images: Iterable[KnownImage]) -> None:
    """Write STUDY/metadata.parquet once, if anything is known of any image.

    A column of metadata that is called as one of OWN is left out.
    """
    listed = list(images)
    names = dict.fromkeys(name for image in listed for name, text in image.metadata.items() if text)
    columns = [name for name in names if name not in OWN]
    if not columns or folder.metadata.exists():
        return
    own = {name: [getattr(image, name) for image in listed] for name in OWN}
    known = {name: [image.metadata.get(name) or None for image in listed] for name in columns}
    table = pa.table({name: pa.array(v, pa.string()) for name, v in (own | known).items()})
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    folder.metadata.write_whole(content.getvalue().to_pybytes())


def read_metadata(folder: StudyFolder) -> pa.Table | None:
    """Columns image_id, split, and one of text for each kind of metadata, null where not known.

    Returns:
        None where there is no such file.

    Raises:
        InputError: it cannot be read, or is not what `write_metadata` writes.
    """
    path = folder.metadata
    try:
        with pq.ParquetFile(pa.BufferReader(path.read_bytes())) as file:
            schema = file.schema_arrow
            check_metadata(OWN, file.metadata.num_rows, schema.names, schema.types)
            rows = file.read(use_threads=False)
        for name in OWN:
            if rows[name].null_count:
                raise ValueError(f"column '{name}' is null")
        if len(rows["image_id"].unique()) < rows.num_rows:
            raise ValueError("an image_id stands twice")
        return rows
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFile(path, error) from error

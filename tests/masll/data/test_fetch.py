"""Data on S3: brought to a machine once, gone on with, and the same store as from a folder."""

import os
import shutil
import subprocess
import sys

import pytest

from masll import InputError
from masll.common.storage import any_path
from masll.data import find_source, open_store
from tests.support import ROOT


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MASLL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket(request, s3, isic_master) -> str:
    """A bucket of this test with the small data set in isic/, and what nobody reads beside it."""
    name = request.node.name.replace("_", "-")[5:60]
    s3.make_bucket(name)
    s3.put_folder(isic_master, f"{name}/isic")
    for other in ("ISIC-2017_Training_Data/ISIC_0000000_superpixels.png", "studies/x.parquet"):
        s3.ask("PUT", f"/{name}/isic/{other}", b"not read")
    return name


def files(folder) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def fetched(s3, bucket: str) -> list[str]:
    """Objects that were read so far."""
    got = [path for method, path in s3.requests() if method == "GET"]
    return [path.removeprefix(f"/{bucket}/") for path in got if path.startswith(f"/{bucket}/")]


def test_data_on_s3_gives_the_store_of_the_same_folder(s3, bucket, isic_master):
    source = find_source(f"s3://{bucket}/isic")
    assert source.records == find_source(str(isic_master)).records
    assert files(source.folder) == files(isic_master), "nothing else is fetched"
    made = open_store(source, 48)
    here = open_store(find_source(str(isic_master)), 48)
    assert made.index == here.index and made.folder != here.folder
    count = len(fetched(s3, bucket))
    assert open_store(find_source(f"s3://{bucket}/isic"), 48).folder == made.folder
    assert len(fetched(s3, bucket)) == count == len(files(isic_master)), "each file once"


def test_only_what_is_missing_or_has_changed_is_fetched_again(s3, bucket):
    folder = find_source(f"s3://{bucket}/isic").folder
    count = len(fetched(s3, bucket))
    images = sorted((folder / "ISIC-2017_Training_Data").iterdir())
    images[0].unlink()  # as if the fetch had been cut off
    images[1].write_bytes(images[1].read_bytes()[:-1])
    shutil.copyfile(images[3], images[2])
    s3.ask("DELETE", f"/{bucket}/isic/ISIC-2017_Training_Data/{images[4].name}")
    with pytest.raises(InputError, match=f"there is no .*{images[4].name}"):
        find_source(f"s3://{bucket}/isic")
    assert sorted(fetched(s3, bucket)[count:]) == [
        f"isic/ISIC-2017_Training_Data/{image.name}" for image in images[:3]
    ]


def test_one_process_fetches_while_the_others_wait(s3, bucket, isic_master):
    look = f"from masll.data import find_source; find_source('s3://{bucket}/isic')"
    started = [
        subprocess.Popen([sys.executable, "-c", look], cwd=ROOT, env=os.environ) for _ in range(2)
    ]
    assert [process.wait(timeout=60) for process in started] == [0, 0]
    assert len(fetched(s3, bucket)) == len(files(isic_master))


def test_a_csv_file_on_s3_brings_the_files_that_its_rows_name(bucket, isic_master):
    images = "ISIC-2017_Training_Data"
    names = sorted(path.name for path in (isic_master / images).iterdir())[:6]
    rows = [
        f"{images}/{name},{i % 2},{('train', 'validation', 'test')[i // 2]}"
        for i, name in enumerate(names)
    ]
    table = any_path(f"s3://{bucket}/isic/lesions.csv")
    table.write_whole("\n".join(["image,label,split", *rows]))
    source = find_source(str(table))
    assert [record.image_id for record in source.records] == [f"{images}/{n}" for n in names]
    assert files(source.table.parent) == {"lesions.csv", *(f"{images}/{name}" for name in names)}
    table.write_whole("\n".join(["image,label,split", *rows, "../secret.png,0,train"]))
    with pytest.raises(InputError, match="must be a path inside the table's folder"):
        find_source(str(table))


def test_a_place_without_data_is_named(bucket):
    with pytest.raises(InputError, match=f"no data at s3://{bucket}/nothing; name a folder or"):
        find_source(f"s3://{bucket}/nothing")
    with pytest.raises(InputError, match="cannot reach s3://nowhere/isic: there is no bucket"):
        find_source("s3://nowhere/isic")

"""Places here and on S3: the same methods, the same answers, whole files or none."""

import pytest

from masll import InputError
from masll.places import (
    S3Path,
    append_line,
    check_bucket,
    download,
    file_system,
    local_copy,
    parquet_fragments,
    place,
    upload,
    write_whole,
)


@pytest.fixture(params=["here", "s3"])
def folder(request, tmp_path):
    """An empty folder of either kind."""
    if request.param == "here":
        return tmp_path / "folder"
    s3 = request.getfixturevalue("s3")
    s3.make_bucket("places")
    return place(f"s3://places/{tmp_path.name}")


def test_a_file_is_read_back_listed_and_removed(folder):
    assert not folder.exists() and list((folder / "sub").glob("*")) == []
    write_whole(folder / "sub" / "a.json", "één")
    write_whole(folder / "sub" / "b.bin", b"\0" * 9_000_000)
    assert (folder / "sub" / "a.json").read_text(encoding="utf-8") == "één"
    assert len((folder / "sub" / "b.bin").read_bytes()) == 9_000_000
    assert [path.stem for path in (folder / "sub").glob("*.json")] == ["a"]
    assert (folder / "sub").is_dir() and (folder / "sub" / "a.json").exists()
    assert not (folder / "sub" / "a.json").is_dir()
    write_whole(folder / "sub" / "a.json", "again")
    assert (folder / "sub" / "a.json").read_bytes() == b"again"
    (folder / "sub" / "a.json").unlink()
    (folder / "sub" / "a.json").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError) as missing:
        (folder / "sub" / "a.json").read_bytes()
    assert missing.value.strerror == "No such file or directory"
    with pytest.raises(FileNotFoundError):
        (folder / "sub" / "a.json").unlink()
    assert [path.name for path in (folder / "sub").glob("*")] == ["b.bin"]


def test_lines_are_added_at_the_end(folder):
    write_whole(folder / "other", "")
    for line in ("one", "two"):
        append_line(folder / "log.jsonl", line)
    assert (folder / "log.jsonl").read_text() == "one\ntwo\n"


def test_parquet_files_come_by_name_without_hidden_ones(folder):
    assert parquet_fragments(folder / "trials") == {}
    for name in ("b.parquet", "a.parquet", ".c.parquet.partial", "_d.parquet", ".e.parquet"):
        write_whole(folder / "trials" / name, b"no Parquet, which nobody looks at here")
    assert list(parquet_fragments(folder / "trials")) == ["a.parquet", "b.parquet"]


def test_a_local_copy_has_every_file_below(folder):
    write_whole(folder / "config.json", "{}")
    write_whole(folder / "deep" / "er" / "x", b"1")
    with local_copy(folder) as here:
        files = {p.relative_to(here).as_posix() for p in here.rglob("*") if p.is_file()}
        assert files == {"config.json", "deep/er/x"}
    assert here.exists() == (not isinstance(folder, S3Path))


def test_names_are_written_as_they_are_read():
    assert str(place("s3://bucket//a/b/")) == "s3://bucket/a/b"
    assert place("s3://bucket/a").resolve() / "b" == place("s3://bucket/a/b")
    assert (place("s3://bucket/a/b.c").parent, place("s3://bucket/a/b.c").name) == (
        place("s3://bucket/a"),
        "b.c",
    )
    with pytest.raises(InputError, match="names no bucket; write it like s3://bucket/folder"):
        place("s3://")


def test_a_small_object_takes_one_request_and_a_listing_one(s3):
    s3.make_bucket("costs")
    folder = place("s3://costs/study")
    with s3.counted() as counts:
        write_whole(folder / "trials" / "x.parquet", b"x" * 10_000)
    assert counts == {"PUT": 1}
    with s3.counted() as counts:
        parquet_fragments(folder / "trials")
    assert counts == {"GET": 1}


def test_a_download_that_ends_before_its_size_is_told_and_leaves_nothing(s3, tmp_path):
    s3.make_bucket("short")
    folder = place("s3://short/data")
    write_whole(folder / "a", b"12345")
    listed = [stored._replace(size=6) for stored in folder.listed()]
    with pytest.raises(OSError, match="has not the 6 bytes of its listing"):
        download(folder, listed, tmp_path)
    assert not (tmp_path / "a").exists()
    download(folder, folder.listed(), tmp_path)
    assert (tmp_path / "a").stat().st_mtime_ns == folder.listed()[0].mtime_ns
    upload(tmp_path, folder, ["a"])


def test_an_upload_of_a_file_that_cannot_be_read_puts_nothing_there(s3, tmp_path):
    s3.make_bucket("put")
    (tmp_path / "good").write_bytes(b"x" * 100)
    (tmp_path / "spoilt").symlink_to("/proc/self/mem")  # opens, and fails on reading
    with pytest.raises(OSError, match="Input/output error"):
        upload(tmp_path, place("s3://put/model"), ["good", "spoilt"])
    assert [stored.name for stored in place("s3://put/model").listed()] == ["good"]


@pytest.mark.usefixtures("s3")
def test_what_is_wrong_with_a_bucket_is_one_line(monkeypatch):
    with pytest.raises(InputError, match="there is no bucket 'nowhere'"):
        check_bucket(place("s3://nowhere/study"))
    with pytest.raises(OSError) as error:
        write_whole(place("s3://nowhere/study/x"), b"")
    assert error.value.strerror == "there is no such bucket; make it, or name another one"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    file_system.cache_clear()
    with pytest.raises(InputError, match="the endpoint is not reachable; see AWS_ENDPOINT_URL"):
        check_bucket(place("s3://nowhere/study"))


def test_access_that_is_denied_says_what_it_takes(s3):
    s3.make_bucket("closed")
    s3.ask("POST", "/moto-api/reset-auth", b"0")  # from now on keys are asked for
    try:
        with pytest.raises(InputError) as error:
            check_bucket(place("s3://closed/study"))
        assert "access denied; it takes credentials" in str(error.value)
        with pytest.raises(OSError) as denied:
            write_whole(place("s3://closed/study/x"), b"")
        assert denied.value.strerror.startswith("AWS knows no such access key")
    finally:
        s3.ask("POST", "/moto-api/reset-auth", b"inf")

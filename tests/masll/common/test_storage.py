"""Paths here and on S3: the same methods, the same answers, whole files or none."""

import os
from pathlib import Path

import pytest

from masll import InputError
from masll.common.storage import LocalPath, any_path, download, whole_file, whole_folder
from masll.common.storage.s3 import file_system


@pytest.fixture(params=["here", "s3"])
def folder(request, tmp_path):
    """An empty folder of either kind."""
    if request.param == "here":
        return any_path(tmp_path / "folder")
    s3 = request.getfixturevalue("s3")
    s3.make_bucket("paths")
    return any_path(f"s3://paths/{tmp_path.name}")


def test_a_file_is_read_back_listed_and_removed(folder):
    assert not folder.exists() and list((folder / "sub").glob("*")) == []
    (folder / "sub" / "a.json").write_whole("één")
    (folder / "sub" / "b.bin").write_whole(b"\0" * 9_000_000)
    assert (folder / "sub" / "a.json").read_text(encoding="utf-8") == "één"
    assert len((folder / "sub" / "b.bin").read_bytes()) == 9_000_000
    assert [path.stem for path in (folder / "sub").glob("*.json")] == ["a"]
    assert (folder / "sub").is_dir() and (folder / "sub" / "a.json").exists()
    assert not (folder / "sub" / "a.json").is_dir()
    (folder / "sub" / "a.json").write_whole("again")
    assert (folder / "sub" / "a.json").read_bytes() == b"again"
    (folder / "sub" / "a.json").unlink()
    (folder / "sub" / "a.json").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError) as missing:
        (folder / "sub" / "a.json").read_bytes()
    assert missing.value.strerror == "No such file or directory"
    with pytest.raises(FileNotFoundError):
        (folder / "sub" / "a.json").unlink()
    assert [path.name for path in (folder / "sub").glob("*")] == ["b.bin"]


def test_parquet_files_come_by_name_without_hidden_ones(folder):
    assert (folder / "trials").parquet_files() == {}
    for name in ("b.parquet", "a.parquet", ".c.parquet.partial", "_d.parquet", ".e.parquet"):
        (folder / "trials" / name).write_whole(b"no Parquet, which nobody looks at here")
    assert list((folder / "trials").parquet_files()) == ["a.parquet", "b.parquet"]


def test_a_file_that_a_library_writes_is_put_at_the_end(folder):
    with (folder / "journal").local_file() as path:
        path.write_text("by a library")
    assert (folder / "journal").read_text() == "by a library"


def test_a_file_moves_to_a_folder_that_is_not_there_yet(folder):
    (folder / "a" / "x").write_whole("x")
    (folder / "a" / "x").move_to(folder / "b" / "c" / "x")
    assert (folder / "b" / "c" / "x").read_text() == "x" and not (folder / "a" / "x").exists()


def test_no_more_is_read_than_is_allowed(folder):
    (folder / "a").write_whole("12345")
    assert (folder / "a").read_bytes(most=5) == b"12345"
    with pytest.raises(OSError, match="more than the 4 bytes"):
        (folder / "a").read_text(most=4)


@pytest.mark.parametrize("name", ["pipe", "device", "loop"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=r"no regular file|symbolic links"):
        any_path(tmp_path / name).read_bytes()


def test_what_lies_in_a_folder_is_nothing_where_there_is_none(folder):
    assert list(folder.content()) == []
    (folder / "a").write_whole("x")
    assert [path.name for path in folder.content()] == ["a"]


def test_a_file_or_folder_that_an_error_interrupts_never_appears(tmp_path):
    for whole, fill in (
        (whole_file, lambda partial: partial.write_text("half")),
        (whole_folder, lambda partial: (partial / "half").write_text("half")),
    ):
        with pytest.raises(ZeroDivisionError), whole(tmp_path / "new") as partial:
            fill(partial)
            raise ZeroDivisionError
        assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_have_left_goes_and_what_is_being_written_may_stay(tmp_path):
    old, new, other = (tmp_path / name for name in (".a.partial", "b/.b.partial", ".c.parquet"))
    new.parent.mkdir()
    for path in (old, new, other):
        path.write_text("half")
    os.utime(old, (0, 0))
    LocalPath(tmp_path).remove_partials(unwritten=600)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)
    LocalPath(tmp_path).remove_partials()
    assert not new.exists() and other.exists()


def test_a_folder_that_cannot_be_made_is_named_with_its_option(tmp_path):
    (tmp_path / "file").write_text("")
    LocalPath(tmp_path / "new" / "study").check_writable("--study")
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(InputError, match=f"--study {path} is .*file.*; name a folder"):
            LocalPath(path).check_writable("--study")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"], "nothing was made"


def test_names_are_written_as_they_are_read():
    assert str(any_path("s3://bucket//a/b/")) == "s3://bucket/a/b"
    assert any_path("s3://bucket/a").resolve() / "b" == any_path("s3://bucket/a/b")
    assert (any_path("s3://bucket/a/b.c").parent, any_path("s3://bucket/a/b.c").name) == (
        any_path("s3://bucket/a"),
        "b.c",
    )
    with pytest.raises(InputError, match="names no bucket; write it like s3://bucket/folder"):
        any_path("s3://")


def test_a_small_object_takes_one_request_and_a_listing_one(s3):
    s3.make_bucket("costs")
    folder = any_path("s3://costs/study")
    with s3.counted() as counts:
        (folder / "trials" / "x.parquet").write_whole(b"x" * 10_000)
    assert counts == {"PUT": 1}
    with s3.counted() as counts:
        (folder / "trials").parquet_files()
    assert counts == {"GET": 1}


def test_a_download_that_ends_before_its_size_is_told_and_leaves_nothing(s3, tmp_path):
    s3.make_bucket("short")
    folder = any_path("s3://short/data")
    (folder / "a").write_whole(b"12345")
    listed = [stored._replace(size=6) for stored in folder.listed()]
    with pytest.raises(OSError, match="has not the 6 bytes of its listing"):
        download(folder, listed, tmp_path)
    assert not (tmp_path / "a").exists()
    download(folder, folder.listed(), tmp_path)
    assert (tmp_path / "a").stat().st_mtime_ns == folder.listed()[0].mtime_ns


@pytest.mark.usefixtures("s3")
def test_what_is_wrong_with_a_bucket_is_one_line(monkeypatch):
    with pytest.raises(InputError, match="there is no bucket 'nowhere'"):
        any_path("s3://nowhere/study").check_reachable()
    with pytest.raises(OSError) as error:
        (any_path("s3://nowhere/study/x")).write_whole(b"")
    assert error.value.strerror == "there is no such bucket; make it, or name another one"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    file_system.cache_clear()
    with pytest.raises(InputError, match="the endpoint is not reachable; see AWS_ENDPOINT_URL"):
        any_path("s3://nowhere/study").check_reachable()


def test_access_that_is_denied_says_what_it_takes(s3):
    s3.make_bucket("closed")
    s3.ask("POST", "/moto-api/reset-auth", b"0")  # from now on keys are asked for
    try:
        with pytest.raises(InputError) as error:
            any_path("s3://closed/study").check_reachable()
        assert "access denied; it takes credentials" in str(error.value)
        with pytest.raises(OSError) as denied:
            (any_path("s3://closed/study/x")).write_whole(b"")
        assert denied.value.strerror.startswith("AWS knows no such access key")
    finally:
        s3.ask("POST", "/moto-api/reset-auth", b"inf")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9", "http://127.0.0.1:9/gateway", "ftp://host"])
def test_an_endpoint_without_a_scheme_or_with_a_path_is_refused_by_name(monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    file_system.cache_clear()
    with pytest.raises(InputError, match=f"got '{endpoint}'; write AWS_ENDPOINT_URL like http://"):
        any_path("s3://bucket/study").check_reachable()
    file_system.cache_clear()


def test_a_file_is_synced_before_it_takes_its_place_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda h: (calls.append(Path(f"/proc/self/fd/{h}").readlink().name), fsync(h))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    LocalPath(tmp_path / "new" / "a").write_whole("x")
    assert calls == [tmp_path.name, ".a.partial", "replace", "new"]


def test_what_is_written_is_readable_by_the_group(tmp_path):
    before = os.umask(0o027)
    try:
        LocalPath(tmp_path / "a").write_whole("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_full_disk_names_the_file_it_had_no_room_for(tmp_path):
    target, full_disk = tmp_path / "a", Path("/dev/full")
    with pytest.raises(OSError) as full, whole_file(target), full_disk.open("w") as file:
        file.write("x")
    assert full.value.filename == str(tmp_path / "a") and not list(tmp_path.iterdir())

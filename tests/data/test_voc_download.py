"""The archive of a data set in the form of Pascal VOC: what is fetched and unpacked, and what is refused."""

import zipfile
from urllib.error import URLError

import pytest

from tests.voc import write_voc
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.data import voc_download
from yolo26_attention.data.datasets import DatasetInvalidError, DatasetMissingError
from yolo26_attention.data.voc import read_voc
from yolo26_attention.data.voc_download import fetch_voc
from yolo26_attention.plan.data_options import find_dataset

URL = "https://example.org/zoo.zip"


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive of a data set, and the number of times that it was fetched."""
    voc, file = write_voc(tmp_path / "zoo"), tmp_path / "zoo.zip"
    with zipfile.ZipFile(file, "w") as zipped:
        for path in sorted(voc.rglob("*")):
            zipped.write(path, f"repository/zoo/{path.relative_to(voc)}")
        zipped.writestr("repository/README.md", "read me")
    served = Served(file)
    monkeypatch.setattr(voc_download, "urlopen", served)
    return served


class Served:
    """Answers in place of a server."""

    def __init__(self, file):
        self.file, self.asked = file, []

    def __call__(self, url, timeout):
        self.asked.append((url, timeout))
        return self.file.open("rb")

    def rewrite(self, **members):
        with zipfile.ZipFile(self.file, "a") as zipped:
            for name, text in members.items():
                zipped.writestr(name, text)


def test_it_is_fetched_once_and_holds_what_is_needed(archive, tmp_path):
    folder = tmp_path / "out" / "archive"
    source = fetch_voc(URL, folder)
    assert source == folder / "repository/zoo" == fetch_voc(URL, folder)
    assert archive.asked == [(URL, voc_download.TIMEOUT)]
    assert [path.name for path in folder.iterdir()] == ["repository"]
    assert [path.name for path in (folder / "repository").iterdir()] == ["zoo"]
    assert read_voc(source, tmp_path / "a").digest == read_voc(tmp_path / "zoo", tmp_path / "b").digest


def test_a_data_set_is_fetched_when_it_is_asked_for_and_kept(archive, tmp_path, composed):
    digest = read_voc(tmp_path / "zoo", tmp_path).digest
    options = ("data=bccd", f"data.url={URL}", f"data.digest={digest}")
    with pytest.raises(ConfigError, match=rf"data=bccd is not here.*data.source=FOLDER.*{URL}: data.download=true"):
        find_dataset(composed(*options).data, tmp_path / "out", False, 1.0)
    assert not archive.asked
    fetched = find_dataset(composed(*options, "data.download=true").data, tmp_path / "out", False, 1.0)
    kept = find_dataset(composed(*options).data, tmp_path / "out", False, 1.0)
    named = find_dataset(composed("data=pascal_voc", f"data.source={tmp_path / 'zoo'}").data, tmp_path, False, 1.0)
    assert fetched.identity == kept.identity == named.identity
    assert len(archive.asked) == 1


def test_an_archive_of_something_else_is_refused(archive, tmp_path, composed):
    data = composed("data=bccd", f"data.url={URL}", "data.download=true").data
    with pytest.raises(ConfigError, match=r"is not the data set that data=bccd means.*data\.digest=42ef6437"):
        find_dataset(data, tmp_path / "out", False, 1.0)


def test_nothing_is_written_outside_the_folder(archive, tmp_path):
    archive.rewrite(**{"../../../Annotations/out.xml": "out", "/tmp/Annotations/absolute.xml": "out"})
    before = {path for path in tmp_path.rglob("*")}
    folder = tmp_path / "out"
    fetch_voc(URL, folder)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)} == before


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda a: a.file.write_bytes(b"<html>"), r"not a zip archive .*data\.source=FOLDER", id="no-zip"),
        pytest.param(
            lambda a: a.rewrite(**{f"other/{name}/x": "" for name in ("Annotations", "JPEGImages", "ImageSets/Main")}),
            r"has 2 folders with Annotations.*data\.source=FOLDER",
            id="two",
        ),
        pytest.param(lambda a: zipfile.ZipFile(a.file, "w").close(), "has 0 folders", id="empty"),
    ],
)
def test_an_archive_that_cannot_be_used_is_refused_and_leaves_nothing(archive, tmp_path, spoil, said):
    spoil(archive)
    with pytest.raises(DatasetInvalidError, match=rf"data\.url={URL} .*{said}"):
        fetch_voc(URL, tmp_path / "out" / "archive")
    assert not any((tmp_path / "out").iterdir())


def test_an_archive_that_unpacks_to_too_much_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(voc_download, "LARGEST", 1000)
    with pytest.raises(DatasetInvalidError, match=r"unpacks to .* GiB, more than .*unpack it yourself"):
        fetch_voc(URL, tmp_path / "out" / "archive")
    assert not any((tmp_path / "out").iterdir())


def test_a_download_that_fails_is_said_with_a_way_out(tmp_path, monkeypatch):
    def fail(url, timeout):
        raise URLError("no route")

    monkeypatch.setattr(voc_download, "urlopen", fail)
    with pytest.raises(
        DatasetMissingError, match=rf"{URL} cannot be downloaded \(URLError.*no route.*data.source=FOLDER"
    ):
        fetch_voc(URL, tmp_path / "out" / "archive")
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("url", ["http://example.org/a.zip", "file:///etc/passwd"])
def test_only_https_is_fetched(archive, tmp_path, url):
    with pytest.raises(DatasetInvalidError, match=r"begins with https://"):
        fetch_voc(url, tmp_path / "out")
    assert not archive.asked

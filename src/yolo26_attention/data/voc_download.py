"""Fetches the archive of a data set in the form of Pascal VOC."""

import http.client
import logging
import shutil
import zipfile
from pathlib import Path, PurePosixPath
from urllib.request import urlopen

from yolo26_attention.data.data_yaml import DatasetInvalidError, DatasetMissingError
from yolo26_attention.data.voc import FOLDERS, is_voc
from yolo26_attention.files.building import build_folder

log = logging.getLogger(__name__)

TIMEOUT = 60  # seconds without an answer
LARGEST = 8 * 1024**3  # bytes after unpacking; VOC 2012 has 2 GB
PARTS = {"Annotations", "JPEGImages", "ImageSets"}
ARCHIVE = "archive.zip"


def fetch_voc(url: str, folder: Path) -> Path:
    """Download and unpack an archive, unless `folder` exists; returns the folder of Pascal VOC in it.

    Only files below Annotations/, JPEGImages/ and ImageSets/ are unpacked, and none outside `folder`. `folder` appears
    when it is complete.

    Args:
        url: https address of a zip archive.
        folder: where to unpack it.

    Raises:
        DatasetMissingError: if it cannot be downloaded.
        DatasetInvalidError: if the address is not https, or the archive cannot be used.
        OSError: if the folder cannot be written.
    """
    if not url.startswith("https://"):
        raise DatasetInvalidError(f"data.url={url}: give an address that begins with https://")
    if not folder.exists():
        with build_folder(folder) as building:
            _download(url, building / ARCHIVE)
            _unpack(url, building / ARCHIVE, building)
            _voc_in(url, building)
            (building / ARCHIVE).unlink()
    return _voc_in(url, folder)


def _download(url: str, file: Path) -> None:
    log.info("Downloading %s.", url)
    try:
        with urlopen(url, timeout=TIMEOUT) as answer, file.open("wb") as copy:
            shutil.copyfileobj(answer, copy)
    except (OSError, http.client.HTTPException) as error:  # URLError and a timeout are OSErrors
        raise DatasetMissingError(
            f"data.download=true: {url} cannot be downloaded ({type(error).__name__}: {error}); try again, or get the "
            "data set by other means and give data.source=FOLDER"
        ) from error


def _unpack(url: str, archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            wanted = [member for member in opened.infolist() if PARTS & set(PurePosixPath(member.filename).parts)]
            if (size := sum(member.file_size for member in wanted)) > LARGEST:
                raise DatasetInvalidError(
                    f"data.url={url} unpacks to {size / 1024**3:.1f} GiB, more than {LARGEST / 1024**3:.0f}; unpack it "
                    "yourself and give data.source=FOLDER"
                )
            for member in wanted:
                opened.extract(member, folder)  # drops .. and absolute paths, and makes no links
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DatasetInvalidError(
            f"data.url={url} is not a zip archive that can be unpacked ({error}); give the address of one, or "
            "data.source=FOLDER"
        ) from error


def _voc_in(url: str, folder: Path) -> Path:
    found = [path.parent for path in folder.rglob("Annotations") if is_voc(path.parent)]
    if len(found) != 1:
        raise DatasetInvalidError(
            f"data.url={url} has {len(found)} folders with {', '.join(FOLDERS)}; it needs one: unpack it yourself and "
            "give data.source=FOLDER"
        )
    return found[0]

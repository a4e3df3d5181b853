"""Photographs as phones, Macs, spreadsheets and careless copies leave them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cortune.data.images import check_picture, open_rgb, read_size
from cortune.errors import InputError
from cortune.files import visible_files
from cortune.simulate.photographs import photograph_problems, read_labels
from cortune.simulate.spec import list_photographs

EXIF_ORIENTATION = 0x0112
NAMES = ("empty.jpg", "img1.jpg", "text.png")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(4):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"img{index}.jpg", quality=95)
    return tmp_path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_read_as_viewers_show_it(tmp_path, orientation):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30] = 255  # white in the upper left quarter
    stored = Image.fromarray(upright)
    # What a camera held that way stores, undone by the tag.
    undo = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}.get(orientation, [])
    for operation in undo:
        stored = stored.transpose(Image.Transpose(operation))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    path = tmp_path / "turned.png"
    stored.save(path, exif=exif)
    assert np.array_equal(np.asarray(open_rgb(path)), upright)
    jpeg = tmp_path / "turned.jpg"
    stored.save(jpeg, exif=exif, quality=100)
    assert read_size(jpeg) == open_rgb(jpeg).size == (60, 40)


def test_hidden_files_and_folders_are_no_photographs(folder):
    (folder / "._img0.jpg").write_bytes(b"\0\5\26\7" + b"\0" * 60)
    (folder / ".thumbnails").mkdir()
    (folder / "img0.jpg").rename(folder / ".thumbnails" / "img0.jpg")
    assert [path.name for path in list_photographs(folder)] == ["img1.jpg", "img2.jpg", "img3.jpg"]


def test_links_are_followed_once(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "img0.jpg").rename(elsewhere / "img0.jpg")
    (folder / "more").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "img9.jpg").symlink_to(elsewhere / "img0.jpg")
    names = sorted(path.relative_to(folder).as_posix() for path in visible_files(folder))
    assert names == ["img1.jpg", "img2.jpg", "img3.jpg", "img9.jpg", "more/img0.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_label_tables_of_any_spreadsheet_are_read(folder, encoding, delimiter):
    rows = [("File", " category"), ("img0.jpg", "Gebäude house"), ("img1.jpg", "face"), ("", "")]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    labels = read_labels(folder, list_photographs(folder), 20)
    assert labels[0] >= 0 and labels[1] >= 0 and labels[0] != labels[1]
    assert labels[2:] == [-1, -1]


def test_a_table_may_name_folders_as_windows_does(folder):
    (folder / "a").mkdir()
    (folder / "img0.jpg").rename(folder / "a" / "img0.jpg")
    (folder / "labels.csv").write_text("file,category\na\\img0.jpg,face\n")
    assert read_labels(folder, list_photographs(folder), 20)[0] >= 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file,category\nother.jpg,face\n", "none of which is a photograph"),
        (b"name,category\nimg0.jpg,face\n", "`file` and `category`"),
        (b"", "no readable text"),
        (b"\x81\x8d\x8f", "no readable text"),
    ],
)
def test_a_table_that_says_nothing_of_the_photographs_is_refused(folder, content, said):
    (folder / "labels.csv").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_labels(folder, list_photographs(folder), 20)


def test_empty_and_truncated_photographs_are_found_before_a_run(folder):
    assert list(photograph_problems(folder, 20)) == []
    (folder / "empty.jpg").touch()
    whole = (folder / "img1.jpg").read_bytes()
    (folder / "img1.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")
    problems = list(photograph_problems(folder, 20))
    assert [sum(name in each for each in problems) for name in NAMES] == [1] * 3
    with pytest.raises(InputError):
        check_picture(folder / "img1.jpg")

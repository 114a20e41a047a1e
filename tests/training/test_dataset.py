"""A data set out of an archive or a folder: which images, in which order, with which captions."""

import io
import os
import random
import tarfile
from functools import partial

import pytest
from PIL import Image

from easel.errors import InputError
from easel.training.buckets import shrink_to_cover
from easel.training.captions import Captions
from easel.training.dataset import read_dataset
from tests.support.picture_files import FORMATS, encoded, exif, four_corners, png, png_chunk
from tests.training.sets import faults, image_bytes, images, names
from tests.unit.archives.common import KINDS, make, make_zip


def small_square(image):
    return image.resize((16, 16))


@pytest.mark.parametrize("kind", KINDS)
def test_images_and_captions_of_an_archive(read, kind):
    members = [*images(3), ("0001.txt", b"a TOK on a table"), ("0002.txt", b"\n")]
    dataset = read(members, kind)
    assert names(dataset) == ["0000.png", "0001.png", "0002.png"]
    assert [example.caption for example in dataset.examples] == ["TOK", "a TOK on a table", "TOK"]
    assert [example.image.getpixel((5, 5)) for example in dataset.examples] == [(0, 0, 0), (16, 0, 0), (32, 0, 0)]
    assert (dataset.problems, dataset.duplicates, dataset.notes) == ((), (), ())


def test_order_and_digest_do_not_depend_on_the_archive(read):
    members = [*images(6), ("0003.txt", b"three"), ("0000 copy.png", image_bytes(0)), ("x.pdf", b"%PDF")]
    one = read(members)
    for seed in range(3):
        mixed = random.Random(seed).sample(members, len(members))
        for kind in ("zip", "tar.gz"):
            other = read(mixed, kind)
            assert (names(other), other.digest) == (names(one), one.digest)
            assert (other.problems, other.duplicates) == (one.problems, one.duplicates)


def test_digest_follows_pixels_and_captions_and_not_the_size_that_is_kept(read):
    one = read([*images(3), ("0000.txt", b"a")])
    assert read([*images(3), ("0000.txt", b"b")]).digest != one.digest
    assert read([*images(3, first=1), ("0001.txt", b"a")]).digest != one.digest
    small = read([*images(3), ("0000.txt", b"a")], keep=small_square)
    assert small.digest == one.digest
    assert small.examples[0].image.size == (16, 16)
    assert small.examples[0].size == one.examples[0].size == (40, 32)


def test_images_are_kept_as_large_as_their_bucket_needs(read):
    members = [("a.png", image_bytes(1, (400, 300))), ("b.png", image_bytes(2, (4000, 20))), *images(1)]
    a, b = (example.image for example in read(members, keep=partial(shrink_to_cover, resolution=128)).examples[1:])
    assert a.size == (144, 108) or min(a.width / 144, a.height / 112) >= 1
    assert a.width * a.height < 1.2 * 128 * 128
    assert b.width / b.height < 21 / 8  # its middle: all of it would be 4000 x 20


def test_same_pixels_are_reported_and_trained_once(read):
    members = [*images(3), ("0000 copy.png", image_bytes(0)), ("zzz.bmp.gif", image_bytes(1, format="GIF"))]
    dataset = read(members)
    assert names(dataset) == ["0000 copy.png", "0001.png", "0002.png"]
    assert dataset.duplicates == (("0000.png", "0000 copy.png"), ("zzz.bmp.gif", "0001.png"))
    assert not dataset.problems


def test_of_the_same_pixels_the_one_with_a_caption_is_trained(read):
    members = [*images(3), ("0000 copy.png", image_bytes(0)), ("0000.txt", b"zero"), ("zero.png", image_bytes(0))]
    dataset = read(members)
    assert (dataset.examples[0].name, dataset.examples[0].caption) == ("0000.png", "TOK zero")
    assert dataset.duplicates == (("0000 copy.png", "0000.png"), ("zero.png", "0000.png"))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_whole_and_broken(read, format):
    whole = encoded(four_corners(), format)
    dataset = read([("good", whole), ("cut", whole[: len(whole) // 2]), *images(2)])
    assert names(dataset) == ["0000.png", "0001.png", "good"]
    assert list(faults(dataset)) == ["cut"]
    assert "damaged" in faults(dataset)["cut"]
    assert not faults(dataset)["cut"].startswith("cut")


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1", "RGBA", "LA", "I;16"])
def test_every_kind_of_pixels_becomes_rgb(read, mode):
    image = four_corners("L").convert("I").point(lambda value: value * 257).convert("I;16") if mode == "I;16" else None
    data = encoded(image or four_corners(mode), "JPEG" if mode == "CMYK" else "PNG")
    dataset = read([("a", data), *images(2)])
    assert dataset.examples[2].image.mode == "RGB"


def test_orientation_is_applied_and_the_first_image_of_an_animation_taken(read):
    turned = encoded(four_corners(size=(64, 48)), "JPEG", exif=exif(6))
    stream = io.BytesIO()
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    dataset = read([("turned.jpg", turned), ("moving.gif", stream.getvalue()), *images(1)])
    moving, upright = dataset.examples[1:]
    assert upright.image.size == upright.size == (48, 64)
    assert moving.image.getpixel((3, 3))[2] < 100


def test_colours_that_cannot_be_kept_are_noted_and_the_image_used(read):
    hdr = png(1, 1, 8, 2, [b"\xff\0\0"], png_chunk(b"cICP", bytes([9, 16, 0, 1])))
    dataset = read([("hdr.png", hdr), ("zzz.png", hdr), *images(2)])
    assert names(dataset) == ["0000.png", "0001.png", "hdr.png"]
    assert [note.name for note in dataset.notes] == ["hdr.png"]
    assert dataset.notes[0].fault.startswith("is in HDR (PQ)")


def test_what_systems_add_is_left_out_without_a_word(read):
    junk = ["__MACOSX/._0000.png", "__MACOSX/a/0000.png", "._0001.png", ".DS_Store", "a/Thumbs.db", "desktop.ini"]
    dataset = read([*images(3), *((name, b"junk") for name in junk)])
    assert len(dataset.examples) == 3
    assert not dataset.problems


def test_other_files_are_named_with_what_they_are(read):
    inner = make_zip(images(5))
    members = [*images(3), ("more.zip", inner), ("notes.md", b"# hi"), ("a.svg", b"<svg/>"), ("empty.png", b"")]
    told = faults(read(members))
    assert list(told) == ["a.svg", "empty.png", "more.zip", "notes.md"]
    for name, phrase in (("more.zip", "a ZIP archive"), ("a.svg", "an SVG drawing"), ("empty.png", "empty")):
        assert phrase in told[name]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nested_folders_and_names_of_windows(read, kind):
    members = [(f"set\\deep\\{name}", data) for name, data in images(3)]
    dataset = read([*members, ("set\\deep\\0001.txt", b"from Windows")], kind)
    assert names(dataset) == [f"set/deep/000{k}.png" for k in range(3)]
    assert dataset.examples[1].caption == "TOK from Windows"


def test_folder_of_windows_in_a_zip_is_no_file(read):
    assert not read([("set\\", b""), *images(3)]).problems


def test_names_of_macos_and_dos_in_a_zip(read):
    """Neither has the flag of UTF-8: macOS writes it all the same, other programs the code page of DOS."""
    data = make_zip([("gr1111e.png", image_bytes(0)), ("gr22e.png", image_bytes(1)), ("plain.png", image_bytes(2))])
    data = data.replace(b"1111", "öß".encode()).replace(b"22", "öß".encode("cp437"))
    dataset = read.bytes(data.replace(b"gr\x94\xe1e", b"DR\x94\xe1E"))
    assert names(dataset) == ["DRößE.png", "größe.png", "plain.png"]


def test_names_that_differ_only_in_case(read):
    members = [("a.png", image_bytes(1)), ("A.png", image_bytes(2)), ("b.PNG", image_bytes(3))]
    dataset = read([*members, ("a.txt", b"small"), ("A.txt", b"large"), ("B.TXT", b"other case")])
    assert {example.name: example.caption for example in dataset.examples} == {
        "A.png": "TOK large",
        "a.png": "TOK small",
        "b.PNG": "TOK other case",
    }
    assert not dataset.problems


def test_names_that_harm_a_terminal_are_escaped(read):
    names_ = ["\x1b[2Jred.png", "a\nb.png", "\u202egnp.exe", "x" * 5000 + ".png"]
    info = [tarfile.TarInfo(name) for name in names_]
    dataset = read([(one, image_bytes(k)) for k, one in enumerate(info)], "tar")
    assert all(example.name.isprintable() and len(example.name) <= 200 for example in dataset.examples)
    assert "\\x1b[2Jred.png" in names(dataset)


def test_name_with_a_nul_ends_there_as_in_every_zip_reader(read):
    data = make_zip([("aXb.png", image_bytes(5)), *images(2)]).replace(b"aXb.png", b"a\0b.png")
    assert names(read.bytes(data)) == ["0000.png", "0001.png", "a"]


def test_a_folder_reads_as_an_archive_of_it(read, tmp_path):
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    members = [*images(2), ("deep/c.png", image_bytes(7)), ("deep/c.txt", b"seven"), (".DS_Store", b"x")]
    for name, data in members:
        (folder / name).write_bytes(data)
    dataset = read_dataset(folder, Captions())
    assert dataset == read(members)
    assert names(dataset) == ["0000.png", "0001.png", "deep/c.png"]


def test_links_of_a_folder_stay_inside(tmp_path):
    folder, outside = tmp_path / "mine", tmp_path / "secret.png"
    folder.mkdir()
    outside.write_bytes(image_bytes(9))
    for name, data in images(3):
        (folder / name).write_bytes(data)
    (folder / "out.png").symlink_to(outside)
    (folder / "away").symlink_to(tmp_path, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "inside.png").symlink_to(folder / "0002.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    dataset = read_dataset(folder, Captions())
    assert names(dataset) == ["0000.png", "0001.png", "0002.png"]
    assert dataset.duplicates == (("inside.png", "0002.png"),)
    told = faults(dataset)
    assert list(told) == ["away", "gone.png", "loop", "out.png", "pipe.png"]
    assert "leaves the folder" in told["out.png"]
    assert "leaves the folder" in told["away"]
    assert "no regular file" in told["pipe.png"]
    assert "cannot be read (No such file" in told["gone.png"]


def test_too_few_usable_images_are_refused_with_each_fault(refusal):
    members = [
        *images(2),
        ("copy.png", image_bytes(1)),
        ("a.txt", b"x"),
        ("b.bmp", b"BM"),
        ("c.png", b"\x89PNG\r\n\x1a\n"),
    ]
    lines = refusal(make("zip", members)).split("\n  ")
    assert "must have at least 3 images that can be used, not 2 images" in lines[0]
    assert [line.partition(":")[0] for line in lines[1:]] == ["a.txt", "b.bmp", "c.png", "copy.png"]
    assert "a BMP" in lines[2]
    assert "damaged" in lines[3]
    assert lines[4] == "copy.png: the same pixels as 0001.png."


def test_a_refusal_lists_fifty_files_at_most(refusal):
    lines = refusal(make("zip", [(f"{k:03}.png", b"no image") for k in range(120)])).split("\n  ")
    assert len(lines) == 52
    assert lines[-1] == "and 70 more"


@pytest.mark.parametrize(
    ("data", "phrase"), [(b"", "it is empty"), (image_bytes(1), "it is PNG"), (b"Rar!\x1a\7", "it is")]
)
def test_what_is_no_archive_is_refused_with_what_it_is(refusal, data, phrase):
    assert phrase in refusal(data)


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read \\(No such file"):
        read_dataset(tmp_path / "nothing.zip", Captions())

"""Captions: how they are read, matched and made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.errors import InputError
from easel.training.captions import Captions, match_captions, read_caption
from tests.training.sets import faults, images


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a dog", "a dog"),
        (b"\xef\xbb\xbfa dog\r\n", "a dog"),
        ("a dög".encode(), "a dög"),
        ("a dög".encode("utf-16"), "a dög"),
        (b"\xfe\xff" + "a dög".encode("utf-16-be"), "a dög"),
        (b"a\x00 d\x1b[31mog\x07\n\n on\ta\x0bmat", "a d[31mog on a mat"),
        (b"", ""),
        (b" \n", ""),
        (b"\xef\xbb\xbf", ""),
    ],
)
def test_caption_files(data, text):
    assert read_caption(data) == text


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        ("a dög".encode("latin-1"), "not UTF-8"),
        (b"\xff\xfea", "not UTF-8"),
        (b"x" * 8_001, "more than 8000 bytes"),
    ],
)
def test_captions_that_are_refused(data, phrase):
    with pytest.raises(InputError, match=phrase):
        read_caption(data)


@pytest.mark.parametrize(
    ("captions", "text", "made"),
    [
        (Captions(), None, "TOK"),
        (Captions(), "", "TOK"),
        (Captions(), "a dog", "TOK a dog"),
        (Captions(), "a TOK dog", "a TOK dog"),
        (Captions(), "TOKEN of love", "TOK TOKEN of love"),
        (Captions(), "a tok", "TOK a tok"),
        (Captions(), "(TOK)", "(TOK)"),
        (Captions(prefix="a photo of"), None, "a photo of TOK"),
        (Captions(prefix="a photo of TOK,"), "on a table", "a photo of TOK, on a table"),
        (Captions(prefix="a photo of TOK,"), None, "a photo of TOK,"),
        (Captions(suffix=", in oil"), "a dog", "TOK a dog, in oil"),
        (Captions(suffix="in the style of TOK"), "a dog", "a dog in the style of TOK"),
        (Captions(suffix="in the style of TOK"), None, "in the style of TOK"),
        (Captions("my dog", " the ", " now "), "big one", "the my dog big one now"),
        (Captions("a+b"), "a+b", "a+b"),
    ],
)
def test_trigger_word_prefix_and_suffix(captions, text, made):
    assert captions.of(text) == made


@given(st.text(), st.text("ab ,.T", max_size=9), st.text("ab ,.T", max_size=9))
def test_the_trigger_word_is_in_every_caption_on_one_line(text, prefix, suffix):
    made = Captions("T O", prefix, suffix).of(text)
    assert "T O" in made
    assert made == " ".join(made.split())


@pytest.mark.parametrize("word", ["", " ", "a\nb", "a\x00", "x" * 51, "\u202eTOK"])
def test_trigger_words_that_are_refused(word):
    with pytest.raises(InputError, match="trigger_word must be 1 to 50 characters"):
        Captions(word)


@pytest.mark.parametrize("field", ["prefix", "suffix"])
@pytest.mark.parametrize("text", ["a\nb", "x" * 501])
def test_prefixes_and_suffixes_that_are_refused(field, text):
    with pytest.raises(InputError, match=f"caption_{field} must be at most 500"):
        Captions(**{field: text})


def test_a_caption_belongs_to_the_image_of_its_name():
    images = ["a/1.png", "b/1.png", "2.png", "2.jpg", "x.y.png", "cafe\u0301.png"]
    captions = ["a/1.txt", "2.txt", "x.y.txt", "x.txt", "caf\xe9.txt", "B/1.TXT"]
    assert match_captions(images, captions) == {
        "a/1.png": "a/1.txt",
        "b/1.png": "B/1.TXT",
        "2.png": "2.txt",
        "2.jpg": "2.txt",
        "x.y.png": "x.y.txt",
        "cafe\u0301.png": "caf\xe9.txt",
    }


def test_a_name_that_two_captions_could_mean_gets_none():
    assert match_captions(["DOG.png"], ["dog.txt", "Dog.txt"]) == {}


def test_captions_without_an_image_are_reported(read):
    told = faults(read([*images(3), ("extra.txt", b"x"), ("broken.png", b"\x89PNG\r\n\x1a\n"), ("broken.txt", b"x")]))
    assert list(told) == ["broken.png", "extra.txt"]
    assert "no image has this name" in told["extra.txt"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_broken_caption_leaves_its_image_with_the_trigger_word(read, kind):
    dataset = read([*images(3), ("0000.txt", b"y" * 10_000_000), ("0001.txt", b"\xff")], kind)
    assert [example.caption for example in dataset.examples] == ["TOK"] * 3
    told = faults(dataset)
    assert told["0000.txt"] == "the caption has more than 8000 bytes: make it shorter. Its image is trained without it."
    assert "not UTF-8" in told["0001.txt"]


def test_a_broken_caption_of_a_broken_image(read):
    told = faults(read([*images(3), ("z.png", b"\x89PNG\r\n\x1a\n"), ("z.txt", b"\xff")]))
    assert told["z.txt"] == "the caption is not UTF-8: save it as UTF-8."

"""Files that nobody vouches for: refused or skipped by name, in bounded memory and time, never misread."""

import io
import json
import os
import struct
import time
import warnings
import zipfile
import zlib

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from benchmarks.fuzz_files import OUR_KINDS, Fuzz, peak
from keras_gen.datasets import Batches, ImageFolder, image_folder
from keras_gen.models.archive import check_archive

MIB = 2**20


@pytest.fixture
def folder(tmp_path):
    """One class with two good pictures, `1.png` and `9.png`."""
    (tmp_path / "only").mkdir()
    for k in (1, 9):
        Image.new("RGB", (8, 8), (k, k, k)).save(tmp_path / "only" / f"{k}.png")
    return tmp_path


def png(width, height, data=b""):
    """A PNG of 8-bit grey with that header and those bytes as its compressed pixels, its checksums right."""
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def hostile_picture(file, how):
    """Write the picture `file`, hostile in one way."""
    if how == "bomb":  # 9,000 x 9,000 zeros in 79 kB
        file.write_bytes(png(9000, 9000, zlib.compress(bytes(9001 * 9000))))
    elif how == "huge header":
        file.write_bytes(png(2**31 - 1, 2**31 - 1))
    elif how == "short":
        file.write_bytes(png(1000, 1000, zlib.compress(bytes(5000))))
    elif how == "postscript":
        file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n")
    elif how == "other format":  # one that Pillow reads, and nobody asked for
        file.write_bytes(b"P5 8 8 255\n" + bytes(64))
    elif how == "sparse":
        with open(file, "wb") as stream:
            stream.write(png(8, 8)[:33])
            stream.truncate(2**40)
    elif how == "loop":
        file.symlink_to(file)
    elif how == "pipe":
        os.mkfifo(file)
    elif how == "device":
        file.symlink_to("/dev/zero")
    elif how == "float":
        Image.fromarray(np.zeros((8, 8), "float32")).save(file, format="TIFF")
    else:
        file.write_bytes({"empty": b"", "text": b"hello" * 100, "cut": png(8, 8, zlib.compress(bytes(72)))[:50]}[how])


HOSTILE = ["bomb", "huge header", "short", "postscript", "sparse", "loop", "pipe", "device", "float", "empty", "text",
           "cut", "other format"]  # fmt: skip


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_picture_is_refused_by_name(folder, how):
    """A ValueError names the file; under five seconds and 20 MiB."""
    hostile_picture(folder / "only" / "5.png", how)
    before, start = peak(reset=True), time.perf_counter()
    with pytest.raises(ValueError, match="readable picture.*5.png"):
        image_folder(folder)
    assert time.perf_counter() - start < 5 and peak() - before < 20 * MIB


def test_pictures_are_skipped_with_a_warning_that_counts_and_names(folder):
    """All at once, they are left out; labels stay with their pictures."""
    for k, how in enumerate(HOSTILE[:7]):
        hostile_picture(folder / "only" / f"{k + 2}.png", how)
    with pytest.warns(UserWarning, match="Skipped 7.*2.png.*6.png.*and 2 more"):
        x, y, _ = image_folder(folder, on_error="skip")
    assert x[:, 0, 0, 0].tolist() == [1, 9] and y.tolist() == [0, 0]


def test_a_skipped_picture_is_replaced_by_the_next(folder):
    """One by one, batches keep their size; what was skipped is counted and named; the same each time."""
    for k, how in ((3, "cut"), (4, "empty")):
        hostile_picture(folder / "only" / f"{k}.png", how)
    dataset = Batches(ImageFolder(folder, on_error="skip"), 4)
    with pytest.warns(UserWarning, match="Skipped 1 of 4 pictures so far, the last: .*3.png"):
        x, _ = dataset[0]
    assert x[:, 0, 0, 0].tolist() == [1, 9, 9, 9]
    assert sorted(file.name for file in dataset.source.skipped) == ["3.png", "4.png"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # each is told once
        np.testing.assert_array_equal(dataset[0][0], x)


def test_nothing_but_hostile_pictures_is_an_error(folder):
    """Skipping all of them ends."""
    for k in (1, 9):
        hostile_picture(folder / "only" / f"{k}.png", "cut")
    with pytest.raises(ValueError, match="Received: none of 2"), pytest.warns(UserWarning):
        ImageFolder(folder, on_error="skip")[0]
    with pytest.raises(ValueError, match="Received: none of 2"):
        image_folder(folder, on_error="skip")


def test_a_class_that_leads_in_a_circle_is_refused(folder):
    """A link to the folder above is one class without pictures, not an endless walk."""
    (folder / "up").symlink_to(folder)
    with pytest.raises(ValueError, match="up. Received: none"):
        image_folder(folder)


def graded(shape):
    return np.linspace(0, 255, int(np.prod(shape))).reshape(shape).astype("uint8")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_is_brought_to_one(tmp_path, mode, channels):
    """A picture of any mode has the channels asked for, and nearly the colours it had."""
    (tmp_path / "only").mkdir()
    form = "tiff" if mode in ("CMYK", "YCbCr") else "png"
    Image.fromarray(graded((8, 8, 3))).convert(mode).save(tmp_path / "only" / f"1.{form}")
    x, _, _ = image_folder(tmp_path, channels=channels)
    assert x.shape == (1, 8, 8, channels) and x[0, 0, 0, 0] < 40 and x[0, -1, -1, 0] > 215
    assert channels < 4 or (x[..., 3] == 255).all()


def test_a_palette_may_be_transparent(tmp_path):
    """The colours stay, and the alpha where there is room for it."""
    picture = Image.fromarray(graded((8, 8))).convert("P")
    (tmp_path / "only").mkdir()
    picture.save(tmp_path / "only" / "1.png", transparency=bytes(range(255, -1, -1)))
    plain, clear = image_folder(tmp_path)[0], image_folder(tmp_path, channels=4)[0]
    np.testing.assert_array_equal(plain, clear[..., :3])
    np.testing.assert_array_equal(clear[0, ..., 3], 255 - np.asarray(picture))


def test_sixteen_bits_become_the_upper_eight(tmp_path):
    """Not clipped at 255."""
    (tmp_path / "only").mkdir()
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype("uint16")
    Image.fromarray(values).save(tmp_path / "only" / "1.png")
    np.testing.assert_array_equal(image_folder(tmp_path, channels=1)[0][0, :, :, 0], values >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(tmp_path, orientation):
    """All eight orientations of EXIF give the same picture."""
    x = graded((4, 6, 3))
    stored = {1: x, 2: x[:, ::-1], 3: x[::-1, ::-1], 4: x[::-1], 5: x.transpose(1, 0, 2), 6: np.rot90(x, 1),
              7: x[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(x, -1)}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "only").mkdir()
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "only" / "1.png", exif=exif)
    np.testing.assert_array_equal(image_folder(tmp_path)[0][0], x)


# ----------------------------------------------------------------------------------------------------- labels


@pytest.fixture
def labelled(tmp_path):
    for k in range(4):
        Image.new("RGB", (8, 8), (k, k, k)).save(tmp_path / f"{k}.png")
    return tmp_path


def table(folder, *lines, header="file,label"):
    (folder / "labels.csv").write_text("\n".join([header, *lines]))
    return folder / "labels.csv"


GOOD = ("0.png,7", "1.png,5", "2.png,7", "3.png,0")


def test_labels_are_read_from_a_table(labelled):
    """In any order of lines and columns, numbers as they are."""
    rows = [",".join(["note", *line.split(",")[::-1]]) for line in GOOD[::-1]]
    x, y, class_names = image_folder(labelled, labels=table(labelled, *rows, header="more,label,file"))
    assert (y.tolist(), x[:, 0, 0, 0].tolist(), class_names) == ([7, 5, 7, 0], [0, 1, 2, 3], None)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (GOOD[:3], "3.png has no line"),
        ((*GOOD, "1.png,6"), "line 6: 1.png is listed more than once"),
        ((*GOOD, "8.png,6"), "line 6: '8.png' is no picture of the folder"),
        ((*GOOD, "../secret.png,6"), "'../secret.png' is no picture"),
        *(((f"0.png,{bad}", *GOOD[1:]), "line 2: label") for bad in ("", "nan", "1.5", "-1", "inf", "3000000000")),
        (("0.png", *GOOD[1:]), "line 2: label ''"),
    ],
)
def test_a_table_with_holes_is_refused_by_line(labelled, lines, words):
    """Missing, doubled and strange names, and what is no whole number."""
    with pytest.raises(ValueError, match=words):
        image_folder(labelled, labels=table(labelled, *lines))


def test_holes_are_skipped_with_a_warning(labelled):
    """Pictures without a label, or with two, are left out."""
    lines = ("0.png,7", "1.png,nan", "2.png,7", "2.png,8", "8.png,1")
    with pytest.warns(UserWarning, match="Skipped 4.*line 3: label 'nan' of 1.png.*2.png.*8.png.*3.png has no line"):
        x, y, _ = image_folder(labelled, labels=table(labelled, *lines), on_error="skip")
    assert (y.tolist(), x[:, 0, 0, 0].tolist()) == ([7], [0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "name the columns"),
        (b"id,class\n0.png,1", "name the columns"),
        (b"file,label\n\xff\xfe.png,1", "UTF-8"),
        (b'file,label\n"0.png,1', "CSV"),
        (b"file,label\n" + b"0" * 140000, "CSV"),
        (b"file,label\n" + b"0.png,1\n" * 2**18, "at most"),
    ],
)
def test_what_is_no_table_is_refused(labelled, content, words):
    """Empty, of other columns, of other encoding, of endless fields or lines."""
    (labelled / "labels.csv").write_bytes(content)
    with pytest.raises(ValueError, match=f"{words}.*labels.csv|labels.csv.*{words}"):
        image_folder(labelled, labels=labelled / "labels.csv", on_error="skip")


# ----------------------------------------------------------------------------------------------- saved models


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The parts of a small saved model, by name."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    file = tmp_path_factory.mktemp("saved") / "good.keras"
    model.save(file)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(file, parts, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in parts.items() if isinstance(parts, dict) else parts:
            archive.writestr(name, content)
    return file


def spoiled_weights(content, how):
    """The HDF5 file `content` with one weight replaced."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as store:
        group = store["layers/dense/vars"]
        del group["0"]
        if how == "declared":  # 3 GiB, of which nothing is stored
            group.create_dataset("0", (2**15, 3 * 2**13), "float32", chunks=(2**10, 2**10), compression="gzip")
        elif how == "soft link":
            group["0"] = h5py.SoftLink("/layers/dense/vars/1")
        elif how == "external link":
            group["0"] = h5py.ExternalLink("/etc/passwd", "/x")
        elif how == "external data":
            group.create_dataset("0", (4, 16), "float32", external=[("/etc/hostname", 0, 256)])
        elif how == "virtual":
            group.create_virtual_dataset("0", h5py.VirtualLayout((4, 16), "float32"))
        elif how == "circle":
            group["0"] = store["layers"]
        elif how == "objects":
            group.create_dataset("0", data=["text"] * 64, dtype=h5py.string_dtype())
    return buffer.getvalue()


HOSTILE_ARCHIVES = {
    "config bomb": (lambda p: {**p, "config.json": b" " * 64 * MIB}, zipfile.ZIP_DEFLATED, "config.json declares"),
    "large config": (lambda p: {**p, "config.json": b" " * 17 * MIB}, zipfile.ZIP_STORED, "more than"),
    "deep config": (lambda p: {**p, "config.json": b"[" * 10**5 + b"]" * 10**5}, zipfile.ZIP_STORED, "recursion"),
    "no config": (lambda p: {n: c for n, c in p.items() if n != "config.json"}, zipfile.ZIP_STORED, "should hold"),
    "no weights": (lambda p: {n: c for n, c in p.items() if "weights" not in n}, zipfile.ZIP_STORED, "should hold"),
    "assets bomb": (lambda p: {**p, "assets/a": bytes(64 * MIB)}, zipfile.ZIP_DEFLATED, "assets/a declares"),
    "up and out": (lambda p: {**p, "assets/../../a": b"a"}, zipfile.ZIP_STORED, "no saved model has a part"),
    "absolute": (lambda p: {**p, "/etc/a": b"a"}, zipfile.ZIP_STORED, "no saved model has a part"),
    "pickle": (lambda p: {**p, "model.pkl": b"a"}, zipfile.ZIP_STORED, "no saved model has a part"),
    "no json": (lambda p: {**p, "config.json": b"{"}, zipfile.ZIP_STORED, "Expecting"),
}  # fmt: skip


@pytest.mark.parametrize("how", HOSTILE_ARCHIVES)
def test_a_hostile_archive_is_refused(tmp_path, saved, how):
    """By its parts: sizes, names, what is missing; in five seconds and 40 MiB."""
    change, compression, words = HOSTILE_ARCHIVES[how]
    file = pack(tmp_path / "bad.keras", change(saved), compression)
    before, start = peak(reset=True), time.perf_counter()
    with pytest.raises(ValueError, match=f"bad.keras.*{words}"):
        check_archive(file)
    assert time.perf_counter() - start < 5 and peak() - before < 40 * MIB


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("declared", "declares 3221225472 bytes and holds 0"),
        ("soft link", "SoftLink"),
        ("external link", "ExternalLink"),
        ("external data", "no array of numbers"),
        ("virtual", "no array of numbers"),
        ("circle", "there twice"),
        ("objects", "no array of numbers"),
    ],
)
@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_hostile_weights_are_refused(tmp_path, saved, how, words, ending):
    """In an archive and by themselves: sizes not held, links, data from elsewhere, circles, objects."""
    weights = spoiled_weights(saved["model.weights.h5"], how)
    if ending == ".keras":
        file = pack(tmp_path / "bad.keras", {**saved, "model.weights.h5": weights})
    else:
        file = tmp_path / "bad.weights.h5"
        file.write_bytes(weights)
    with pytest.raises(ValueError, match=f"bad.*{words}"):
        check_archive(file)


def test_a_part_that_is_there_twice_is_refused(tmp_path, saved):
    """Which of the two Keras reads is not known to who looks."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = pack(tmp_path / "bad.keras", [*saved.items(), ("config.json", b"{}")])
    with pytest.raises(ValueError, match="twice"):
        check_archive(file)


@pytest.mark.parametrize("part", ["model.weights.h5", "assets/words"])
def test_a_changed_bit_is_seen(tmp_path, saved, part):
    """The archive's checksums are insisted on, which Keras's loader does not on every Python."""
    parts = {**saved, "assets/words": b"a long list of words" * 10}
    file = pack(tmp_path / "bad.keras", parts)
    content = bytearray(file.read_bytes())
    content[content.find(parts[part]) + len(parts[part]) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="CRC"):
        check_archive(file)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_good_archives_pass(tmp_path, saved, compression):
    """As Keras writes it, packed again, and weights alone; and Keras loads what passed."""
    file = pack(tmp_path / "good.keras", saved, compression)
    check_archive(file)
    model = keras.saving.load_model(file)
    model.save_weights(tmp_path / "good.weights.h5")
    check_archive(tmp_path / "good.weights.h5")


def test_what_keras_refuses_itself(tmp_path, saved):
    """`safe_mode` holds: no lambda, no name that is no Keras object, nothing written outside."""
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)]).save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="arbitrary code"):
        keras.saving.load_model(tmp_path / "lambda.keras")
    for module, name in (("os", "system"), ("builtins", "eval"), ("pickle", "loads"), ("keras.utils", "get_file")):
        config = {"module": module, "class_name": name, "config": {}, "registered_name": None}
        file = pack(tmp_path / "name.keras", {**saved, "config.json": json.dumps(config)})
        with pytest.raises((TypeError, ValueError)):
            keras.saving.load_model(file)
    file = pack(tmp_path / "slip.keras", {**saved, f"assets{'/..' * 20}{tmp_path}/out": b"a"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.saving.load_model(file)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------------- fuzz

NO_CHECKSUM = {"jpeg", "bmp", "gif", "webp", "tiff", "labels csv", "weights.h5"}


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_random_bytes_give_a_right_load_or_a_clean_error(tmp_path, kind):
    """20 changed files of each kind; where the format has checksums, nothing else is ever read."""
    fuzz = Fuzz(kind, tmp_path)
    allowed = {"right", "refused"} | ({"other"} if kind in NO_CHECKSUM else set())
    outcomes = [fuzz.outcome(seed) for seed in range(20)]
    assert {name for name, _ in outcomes} <= allowed, outcomes
    assert "refused" in {name for name, _ in outcomes}

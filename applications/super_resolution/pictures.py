"""A picture file as arrays and back, with all that is not pixels: what upscaling keeps, changes and refuses.

    grey             stays grey (but in WebP, which has none), 8 bits or 16; 1 bit becomes 8. 32-bit integers and floats
                     are refused: their range is unknown
    colours          8 bits. Of colours with 16 bits a channel the upper 8 are read, with a note
    palettes         become RGB
    CMYK             becomes RGB, with a note; its colour profile is left out
    alpha            kept as a channel of its own; a transparent palette entry or colour becomes one
    EXIF             kept. A picture stored turned is turned upright, and the tag that said so is taken out; sizes in
                     pixels are those of the new picture. Tags that describe how a TIFF is stored are left out
    ICC profile      kept
    many frames      the first one, with a note

A file is read within the bounds of `keras_gen.datasets.pictures`: known formats, found by the content, a declared size
of at most `max_pixels` before anything is decoded, checksums of PNG, no truncated files.
"""

import dataclasses
import warnings

import numpy as np

from applications.files import Failure, one_line
from keras_gen.datasets.pictures import FORMATS, MAX_PIXELS

ENDINGS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}, "TIFF": {"compression": "tiff_lzw"}}
LONGEST = {"JPEG": 65535, "WEBP": 16383}  # pixels of a side
ORIENTATION, EXIF_FOLDER, GPS_FOLDER, WIDTH, HEIGHT = 0x0112, 0x8769, 0x8825, 0xA002, 0xA003
STORAGE = {
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, ORIENTATION, 277, 278, 279, 280, 281, 284, 288, 289,
    290, 291, 292, 293, 297, 301, 317, 318, 319, 320, 322, 323, 324, 325, 330, 332, 338, 339, 340, 341, 347, 512, 513,
    514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 700, 33723, 34377, 34675,
}  # fmt: skip


@dataclasses.dataclass
class Picture:
    """Values in [0, 1]: `colour` `(h, w, 1 or 3)` and `alpha` `(h, w, 1)` or None, float32; `bits` 8 or 16."""

    colour: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8
    exif: object = None
    icc: bytes | None = None
    notes: tuple = ()


def library():
    """Pillow's `Image`, `ImageOps`.

    Raises:
        Failure: it is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise Failure("reading pictures needs Pillow: pip install 'keras_gen[plots]'") from error
    return Image, ImageOps


def most_bytes(max_pixels=MAX_PIXELS):
    """Of a file that holds `max_pixels`: 8 each and 1 MiB."""
    return 8 * max_pixels + 2**20


def read(open_stream, name, max_pixels=MAX_PIXELS):
    """The `Picture` in the stream that `open_stream()` gives.

    Raises:
        Failure: it is no picture that can be used; it names the picture and the reason.
    """
    libraries = library()
    with open_stream() as stream, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            picture = _form(*_opened(*libraries, stream, max_pixels))
        except Exception as error:  # a damaged file makes Pillow raise nearly every type
            raise Failure(f"{name}: {_reason(libraries[0], error)}") from error
    said = tuple(one_line(w.message) for w in caught if not issubclass(w.category, DeprecationWarning))
    return dataclasses.replace(picture, notes=picture.notes + said)


def _reason(Image, error):
    if isinstance(error, Image.UnidentifiedImageError):
        return f"no picture that can be read ({', '.join(FORMATS)}), or damaged"
    return one_line(error)


def _opened(Image, ImageOps, stream, max_pixels):
    """The picture, upright, its format, EXIF and notes."""
    picture = Image.open(stream, formats=FORMATS)
    if picture.width * picture.height > max_pixels:
        raise ValueError(f"it has {picture.width} x {picture.height} pixels, more than --max-pixels {max_pixels}")
    if picture.format == "PNG":
        picture.verify()  # uses the object up
        stream.seek(0)
        picture = Image.open(stream, formats=FORMATS)
    notes = []
    if picture.format in ("GIF", "PNG", "WEBP", "TIFF") and getattr(picture, "is_animated", False):
        notes.append(f"{picture.n_frames} frames, of which the first one is taken")
    if _deep(picture, stream) and not _is_deep_grey(picture):
        notes.append("16 bits a channel, of which the upper 8 are taken (16 are kept of grey pictures alone)")
    form, exif = picture.format, _kept_exif(Image, picture)
    return ImageOps.exif_transpose(picture), form, exif, notes


def _deep(picture, stream):
    """Whether a PNG or TIFF has 16 bits a channel; Pillow does not say."""
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(258, (8,))) > 8
    position = stream.tell()
    stream.seek(24)
    depth = stream.read(1)
    stream.seek(position)
    return picture.format == "PNG" and depth == b"\x10"


def _is_deep_grey(picture):
    return picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG")


def _form(picture, form, exif, notes):
    icc = picture.info.get("icc_profile")
    if picture.mode.startswith("I;16") or (picture.mode == "I" and form == "PNG"):
        values = np.asarray(picture).astype("float32") / np.float32(65535)
        return Picture(values[..., None], None, 16, exif, icc, tuple(notes))
    if picture.mode in ("I", "F"):
        raise ValueError(f"its values are of mode {picture.mode}, of unknown range; save them as 8 or 16 bits")
    if picture.mode == "CMYK":
        notes, icc = [*notes, "CMYK, converted to RGB; its colour profile, if any, is left out"], None
    alpha = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
    mode = ("L" if picture.mode in ("1", "L", "LA", "La") else "RGB") + ("A" if alpha else "")
    values = np.asarray(picture.convert(mode)).astype("float32") / np.float32(255)
    values = values[..., None] if values.ndim == 2 else values
    colour, rest = (values[..., :-1], values[..., -1:]) if alpha else (values, None)
    return Picture(colour, rest, 8, exif, icc, tuple(notes))


def _kept_exif(Image, picture):
    """A copy without what describes the storage, or None if nothing is left."""
    found, kept = picture.getexif(), Image.Exif()
    for tag, value in found.items():
        if tag not in (EXIF_FOLDER, GPS_FOLDER, *STORAGE):
            kept[tag] = value
    folders = {folder: dict(found.get_ifd(folder)) for folder in (EXIF_FOLDER, GPS_FOLDER)}
    for folder, values in folders.items():
        if values:
            kept.get_ifd(folder).update(values)
    return kept if len(kept) or any(folders.values()) else None


def check_fits(picture, target, scale):
    """Refuse, before anything is computed, what the format of `target` cannot hold.

    Raises:
        Failure: it names the format and another one.
    """
    form = ENDINGS[target.suffix.lower()]
    side = scale * max(picture.colour.shape[:2])
    if form == "JPEG" and picture.alpha is not None:
        raise Failure(f"{target}: JPEG holds no transparency; take .png, .webp or .tif")
    if form in ("JPEG", "WEBP") and picture.bits == 16:
        raise Failure(f"{target}: {form} holds 8 bits alone, the picture has 16; take .png or .tif")
    if side > LONGEST.get(form, side):
        raise Failure(f"{target}: {form} holds {LONGEST[form]} pixels a side, the result has {side}; take .png")


def write(picture, target, form=None):
    """Write a `Picture` as the file `target`, in the format of its ending or `form`."""
    form = form or ENDINGS[target.suffix.lower()]
    options = {**OPTIONS.get(form, {}), "icc_profile": picture.icc}
    if picture.exif is not None:
        options["exif"] = _resized(picture.exif, *picture.colour.shape[:2])
        options["compression"] = None  # Pillow's compressed TIFF cannot hold folders of tags
    with open(target, "wb") as stream:
        encoded(picture).save(stream, format=form, **{k: v for k, v in options.items() if v is not None})


def encoded(picture):
    """The picture as Pillow's."""
    Image, _ = library()
    parts = [picture.colour] + ([] if picture.alpha is None else [picture.alpha])
    top = 2**picture.bits - 1
    values = np.concatenate(parts, axis=-1)
    values = np.round(np.clip(values, 0, 1) * np.float32(top)).astype(f"uint{picture.bits}")
    return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)


def _resized(exif, height, width):
    folder = exif.get_ifd(EXIF_FOLDER)
    for tag, value in ((WIDTH, width), (HEIGHT, height)):
        if tag in folder:
            folder[tag] = value
    return exif.tobytes()

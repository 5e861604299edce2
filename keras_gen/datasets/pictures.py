"""One picture from a file that nobody vouches for, as an array.

What is checked, in this order, each before the next can cost anything:

    the entry      a regular file (opening a pipe would wait for ever), not empty, not longer than the pixels
                   that it may hold: 8 bytes each and 1 MiB
    the format     PNG, JPEG, BMP, GIF, WebP or TIFF, found by the content; Pillow's other readers, one of which
                   starts a PostScript interpreter, are never tried
    the size       height times width, as the header declares it, at most `max_pixels`
    the checksums  those of every chunk of a PNG, of which Pillow's decoder alone passes some over; other formats have
                   none, so a damaged JPEG may well decode, to other pixels
    the pixels     complete: a truncated file is refused, not filled with grey

Then the picture is brought to one form: turned upright (EXIF); 16 bits a value become the upper 8; palettes, CMYK and
the rest are converted to the mode asked for, in which a missing alpha is 255 and a superfluous one is dropped.
"""

import numpy as np

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
MAX_PIXELS = 2**26  # 8192 x 8192: 256 MiB at four bytes a pixel


def read_picture(file, size, mode, max_pixels=MAX_PIXELS):
    """A picture as an array.

    Args:
        file: A `Path`.
        size: `None`, or `(height, width)`: cut in the middle to that ratio, resampled to that size.
        mode: Pillow's mode: "L", "RGB" or "RGBA".
        max_pixels: The greatest number of pixels decoded. Pillow has a limit of its own, 178,956,970.

    Returns:
        `uint8`, `(height, width, channels)`, channels 1, 3 or 4 by the mode.

    Raises:
        ImportError: If Pillow is not installed.
        ValueError: If the file is no picture that can be used; it names the file and the reason.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("Reading pictures needs Pillow: pip install 'keras_gen[plots]'") from error
    try:
        _check_entry(file, max_pixels)
        with open(file, "rb") as stream:
            picture = _to_mode(Image, *_decoded(Image, ImageOps, stream, max_pixels), mode)
        if size is not None:
            picture = ImageOps.fit(picture, size[::-1], Image.Resampling.LANCZOS)
    except Exception as error:  # a damaged file makes Pillow raise nearly every type, KeyError among them
        raise ValueError(f"Expected a readable picture. Received: {file}: {error or type(error).__name__}") from error
    array = np.asarray(picture)
    return array if array.ndim == 3 else array[:, :, None]


def _check_entry(file, max_pixels):
    if not file.is_file():
        raise ValueError("it is no regular file, or a link that leads nowhere")
    length, most = file.stat().st_size, 8 * max_pixels + 2**20
    if not 0 < length <= most:
        raise ValueError(f"it has {length} bytes; expected 1 to {most} for {max_pixels} pixels")


def _decoded(Image, ImageOps, stream, max_pixels):
    """The picture, upright, and the name of its format."""
    picture = Image.open(stream, formats=FORMATS)
    if picture.width * picture.height > max_pixels:
        raise ValueError(f"it has {picture.height} x {picture.width} pixels; `max_pixels` is {max_pixels}")
    if picture.format == "PNG":
        picture.verify()  # uses the object up
        stream.seek(0)
        picture = Image.open(stream, formats=FORMATS)
    return ImageOps.exif_transpose(picture), picture.format


def _to_mode(Image, picture, form, mode):
    if picture.mode.startswith("I;16") or (picture.mode == "I" and form == "PNG"):
        picture = Image.fromarray((np.asarray(picture).astype("uint32") >> 8).astype("uint8"))
    if picture.mode in ("I", "F"):
        raise ValueError(f"its values are of mode {picture.mode}, of unknown range; save them as 8 or 16 bits")
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert(mode)

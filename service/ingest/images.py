"""Image files: what the header says, and the pixels as bytes, grey or RGB.

Pillow is given the list of formats: it must not try its many others, some of which run programs.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from threading import RLock
from typing import IO, Any

import numpy as np

# The plugins are named, so that Pillow does not import all that it has to find them.
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

MAX_PIXELS = 2**24
MAX_IMAGE_BYTES = 2**26
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
_PLUGINS = (PngImagePlugin, JpegImagePlugin, BmpImagePlugin, GifImagePlugin, WebPImagePlugin)
_WEBP = b"RIFF"
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF87a", b"GIF89a", _WEBP)
_GREY_MODES = ("1", "L", "LA", "I;16", "I;16B")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_LARGE_PIXELS = 2**22
# A large image takes up to 300 MB for a moment: one at a time.
_one_large = RLock()

# Pillow compares twice this with the size, some formats before they take memory for it (WebP).
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Size = tuple[int, int]


class BadImage(Exception):
    """A file that is no image for us; the code, and why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Header:
    """Width and height as the image is meant to be seen; whether it has no colours."""

    size: Size
    is_grey: bool


def read_header(stream: IO[bytes]) -> Header:
    """What a file says of itself, before its pixels are unpacked.

    Raises:
        BadImage: `image_format_not_allowed`, `image_too_many_pixels`, `image_corrupt`.
    """
    with _image(stream) as image:
        width, height = image.size
        turned = _orientation(image) >= 5
        return Header((height, width) if turned else (width, height), _is_grey(image))


def read_pixels(data: bytes, size: Size, grey: bool) -> Any:
    """The pixels of a file, uint8 (H, W) or (H, W, 3), stretched to ``size`` (width, height) if need be.

    Raises:
        BadImage: as `read_header`; `image_corrupt` also for a file that ends too soon.
    """
    with _image(io.BytesIO(data)) as image:
        if image.width * image.height < _LARGE_PIXELS:
            return _pixels(image, size, grey)
        with _one_large:
            return _pixels(image, size, grey)


@contextmanager
def _image(stream: IO[bytes]) -> Iterator[Image.Image]:
    """An opened image; whatever goes wrong with it in the block is the file's fault."""
    prefix = stream.read(16)
    if not prefix.startswith(_SIGNATURES):
        raise BadImage("image_format_not_allowed", f"images are {', '.join(FORMATS)}.")
    # WebP takes the memory for its pixels as soon as it is opened.
    turn = _one_large if prefix.startswith(_WEBP) else nullcontext()
    try:
        with turn, Image.open(stream, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError as error:
        raise BadImage("image_too_many_pixels", f"it has more than {MAX_PIXELS:,} pixels.") from error
    except Exception as error:
        # Pillow's decoders raise nearly anything over bytes that are not what they should be.
        raise BadImage("image_corrupt", "the image is cut short or damaged.") from error


def _pixels(image: Image.Image, size: Size, grey: bool) -> Any:
    turn = _orientation(image)
    target = size[::-1] if turn >= 5 else size
    if image.size != target:
        # A JPEG can be unpacked at a half, a quarter or an eighth: faster, and smaller meanwhile.
        image.draft(None, (2 * target[0], 2 * target[1]))
    flat = _flat(image, grey)
    if flat.size != target:
        flat = flat.resize(target, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(flat.transpose(_TURNS[turn]) if turn in _TURNS else flat)


def _flat(image: Image.Image, grey: bool) -> Image.Image:
    """Without palette, transparency (what is behind is white) or more than 8 bits a channel."""
    image.load()
    if image.mode.startswith("I;16"):
        # The upper byte, which is what Pillow takes of 16-bit colours.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return image.convert("L" if grey else "RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF's 1 to 8: how the camera was held. 1 where nothing, or nonsense, is said."""
    if image.format == "PNG" and "exif" not in image.info:
        # Pillow would unpack the pixels to look behind them.
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        # A damaged note about an image is no damage to the image.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_grey(image: Image.Image) -> bool:
    if image.mode != "P":
        return image.mode in _GREY_MODES
    palette = image.palette
    if palette is None:
        return False
    colours = bytes(palette.palette)
    step = len(palette.rawmode or palette.mode)
    return colours[0::step] == colours[1::step] == colours[2::step]

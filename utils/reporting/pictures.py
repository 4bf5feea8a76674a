"""Pictures for people, as uint8 arrays: slices with label contours, label maps, contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from utils.errors import UserError
from utils.runs.files import replacing

# Background, then labels 1..4: yellow, blue, green, magenta; each stands out from black and white.
PALETTE = ((0, 0, 0), (245, 195, 0), (40, 145, 240), (0, 185, 110), (240, 40, 130))
COLOURS = ("yellow", "blue", "green", "pink")  # of the classes from 1 on
PAPER = 255  # grey of gaps and margins
FONT = cv2.FONT_HERSHEY_SIMPLEX
ROW_SCALE = 2  # contours are drawn on enlarged slices


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Maps an image [...] from [0,1] to uint8 0..255; values beyond are clipped."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def enlarge(picture: np.ndarray, scale: int) -> np.ndarray:
    """Repeats every pixel: [H,W,...] becomes [H*scale,W*scale,...] of the same type."""
    return np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1)


def draw_contour(
    grey: np.ndarray,
    label: np.ndarray,
    colours: Sequence[Sequence[int]] = PALETTE,
    scale: int = 3,
) -> np.ndarray:
    """Draws each class' border over a slice, one pixel wide and inside the class.

    The slice is enlarged first, so that the lines leave most of a small lesion visible.

    Args:
        grey: [H,W], uint8 or float in [0,1].
        label: [H,W] int; 0 has no border.
        colours: RGB of each class, the background's first.
        scale: pixels of the picture per pixel of the slice and side, at least 1.

    Returns:
        uint8 [H*scale,W*scale,3].

    Raises:
        UserError: shapes that differ or a label without a colour.
    """
    from skimage.segmentation import find_boundaries  # late, as in `charts`: it takes long

    grey, label = np.asarray(grey), np.asarray(label)
    if grey.ndim != 2 or grey.shape != label.shape:
        raise UserError(
            f"draw_contour needs a slice and a label [H,W] of one size, found {grey.shape} and "
            f"{label.shape}; drop extra axes and resize one of them."
        )
    _check_label(label, len(colours))
    picture = _as_colour(enlarge(grey if grey.dtype == np.uint8 else to_uint8(grey), scale))
    label = enlarge(label, scale)
    for value in np.unique(label[label > 0]):
        picture[find_boundaries(label == value, mode="inner")] = colours[value]
    return picture


def label_picture(label: np.ndarray, colours: Sequence[Sequence[int]] = PALETTE) -> np.ndarray:
    """Colours a label map [H,W]: uint8 [H,W,3]; UserError for a label without a colour."""
    label = np.asarray(label)
    _check_label(label, len(colours))
    return np.array(colours, np.uint8)[label]


def palette_with_brain(first_lesion: int = 2) -> tuple[tuple[int, int, int], ...]:
    """Returns the colours where labels from 1 to before `first_lesion` are normal brain: greys."""
    greys = ((30 + 60 * label,) * 3 for label in range(1, first_lesion))
    return (PALETTE[0], *greys, *PALETTE[2:])


def slice_rows(
    images: np.ndarray, label: np.ndarray, colours: Sequence[Sequence[int]] = PALETTE
) -> list[list[np.ndarray]]:
    """Returns one row of pictures per modality, lesion outlined.

    images is [N,H,W,M] in [0,1], label [N,H,W] in 0..len(colours) - 1, 0 where no lesion is.
    """
    return [
        [draw_contour(*pair, colours, ROW_SCALE) for pair in zip(images[..., i], label)]
        for i in range(images.shape[-1])
    ]


def plain_row(maps: np.ndarray) -> list[np.ndarray]:
    """Returns one row of grey pictures of maps [N,H,W] in [0,1], enlarged like the slices."""
    return [to_uint8(np.kron(image, np.ones((ROW_SCALE, ROW_SCALE)))) for image in maps]


def label_row(labels: np.ndarray, colours: Sequence[Sequence[int]] = PALETTE) -> list[np.ndarray]:
    """Returns one row of coloured label pictures [N,H,W], enlarged like the slices."""
    block = np.ones((ROW_SCALE, ROW_SCALE), int)
    return [label_picture(np.kron(mask, block), colours) for mask in labels]


def grid(
    rows: Sequence[Sequence[np.ndarray]],
    gap: int = 2,
    titles: Sequence[str] = (),
    headers: Sequence[str] = (),
) -> np.ndarray:
    """Places pictures in rows on white paper; a short row leaves its end empty.

    Cells are as large as the largest picture; one that is smaller by a whole factor is enlarged.

    Args:
        rows: pictures uint8 [H,W,3] or [H,W].
        gap: pixels between cells.
        titles: one text per row, written on its left (ASCII); none by default.
        headers: one text per column, written above it (ASCII); none by default.

    Returns:
        uint8 [height,width,3].

    Raises:
        UserError: no picture, a wrong type, sizes that do not fit, or a wrong number of titles or
            headers.
    """
    cells = [np.asarray(cell) for row in rows for cell in row]
    if not cells or (titles and len(titles) != len(rows)):
        raise UserError(
            f"grid needs at least one picture and a title for every row or none, found "
            f"{len(cells)} pictures in {len(rows)} rows and {len(titles)} titles."
        )
    height, width = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    margin = _title_margin(titles, height)
    columns = max(len(row) for row in rows)
    size = (len(rows) * (height + gap) - gap, margin + columns * (width + gap) - gap, 3)
    sheet = np.full(size, PAPER, np.uint8)
    for i, row in enumerate(rows):
        top = i * (height + gap)
        for j, cell in enumerate(row):
            left = margin + j * (width + gap)
            sheet[top : top + height, left : left + width] = _fit(cell, height, width)
    for i, title in enumerate(titles):
        scale = _font_scale(height)
        middle = i * (height + gap) + height // 2 + round(10 * scale)
        cv2.putText(sheet, title, (4, middle), FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    lefts = [margin + j * (width + gap) for j in range(columns)]
    return _add_headers(sheet, headers, lefts, width) if headers else sheet


def _add_headers(
    sheet: np.ndarray, headers: Sequence[str], lefts: Sequence[int], width: int
) -> np.ndarray:
    """Returns the sheet below a band with a text in the middle of every column."""
    if len(headers) != len(lefts):
        raise UserError(
            f"grid needs a header for every column or none, found {len(headers)} headers for "
            f"{len(lefts)} columns."
        )
    scale = min(max(width / 180, 0.4), 0.6)
    band = np.full((round(40 * scale) + 6, *sheet.shape[1:]), PAPER, np.uint8)
    for text, left in zip(headers, lefts):
        length = cv2.getTextSize(text, FONT, scale, 1)[0][0]
        place = (max(0, left + (width - length) // 2), len(band) - round(12 * scale))
        cv2.putText(band, text, place, FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([band, sheet])


def _check_label(label: np.ndarray, num_classes: int) -> None:
    if label.size and (label.min() < 0 or label.max() >= num_classes):
        raise UserError(
            f"The label map must hold 0..{num_classes - 1}, one value per colour, found "
            f"{label.min()}..{label.max()}; check its label scheme."
        )


def _as_colour(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[..., np.newaxis], 3, axis=2) if picture.ndim == 2 else picture


def _fit(cell: np.ndarray, height: int, width: int) -> np.ndarray:
    cell = np.asarray(cell)
    factor = height // cell.shape[0]
    colour = _as_colour(enlarge(cell, factor))
    if cell.dtype != np.uint8 or colour.shape != (height, width, 3):
        raise UserError(
            f"A picture in the grid must be uint8 and fill {height}x{width} pixels when enlarged "
            f"by a whole factor, found {cell.dtype} {cell.shape}; convert it with to_uint8 or "
            "resize it."
        )
    return colour


def _font_scale(height: int) -> float:
    return min(max(height / 240, 0.45), 0.8)


def _title_margin(titles: Sequence[str], height: int) -> int:
    widths = [cv2.getTextSize(title, FONT, _font_scale(height), 1)[0][0] for title in titles]
    return max(widths) + 12 if titles else 0


def write_png(path: Path, picture: np.ndarray) -> None:
    """Writes a picture uint8 [H,W,3] or [H,W] as a PNG file, whole or not at all.

    Raises ValueError for anything else, such as intensities in [0,1], which would be black.
    """
    if picture.dtype != np.uint8 or picture.shape[2:] not in ((), (3,)):
        raise ValueError(
            f"A picture must be uint8 [H,W,3] or [H,W], found {picture.dtype} {picture.shape}; "
            "`grid`, `plain_row` and `to_uint8` make such"
        )
    content = cv2.imencode(".png", _as_colour(picture)[..., ::-1])[1].tobytes()
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)  # cv2.imwrite would hide a failure

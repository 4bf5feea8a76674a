"""Which part of a volume becomes slices: ranges, size and scaling, as the user configures them."""

from dataclasses import dataclass
from typing import Optional

from data.brats.label_schemes import check_scheme
from data.brats.layouts import layout_text
from data.grids import SPACING
from utils.errors import Rule, UserError, check_fields, one_of

MINMAX, PERCENTILE, SLICE_MAXIMUM = "minmax", "percentile", "slice_maximum"
SCALINGS = (MINMAX, PERCENTILE, SLICE_MAXIMUM)


@dataclass(frozen=True)
class SliceConfig:
    """Which part of each volume becomes slices, their size and their scaling.

    Ranges are half-open and count voxels of 1 mm, from the feet, the front and the right, in a
    frame that lies in the middle of each volume: half of the difference of their sizes, rounded
    down, lies in front of it.

    Args:
        slices: Axial slices, first and one past the last.
        rows: Rows kept of each slice, first and one past the last, in voxels.
        columns: Columns kept of each slice, first and one past the last, in voxels.
        downsample: Whole factor by which cropped rows and columns shrink (1 keeps every voxel).
        label_scheme: What the label values mean: a release, or such as 1=necrosis,2=oedema; needed
            where names and dataset.json do not tell.
        min_brain_pixels: Keep slices with more non-zero pixels than this in every modality (0 keeps
            all).
        resize: Side in pixels to which square crops shrink by area interpolation, in place of
            downsample.
        scaling: minmax (minimum and maximum of each volume become 0 and 1), percentile (the 99.9th
            percentile of the brain becomes 1, brighter voxels are clipped) or slice_maximum (each
            modality of a slice is divided by its largest value).
        frame: Number of slices, rows and columns of the grid in which the ranges count, by default
            the BRATS grid; it lies in the middle of each volume.
        resample: Resample volumes whose voxels are not 1 mm wide to 1 mm, images linearly and
            labels by the nearest value; otherwise they are refused.
        layout: YAML file that tells which files hold which modality, for unknown file names; the
            run keeps its content.

    Raises:
        UserError: an empty or negative range, a factor that does not divide the crop, values that
            exclude each other, an unknown label scheme or a layout that cannot be read.
    """

    # As in the thesis; its released code took slices [50,105].
    slices: tuple[int, int] = (55, 105)
    rows: tuple[int, int] = (38, 222)
    columns: tuple[int, int] = (48, 192)
    downsample: int = 1
    label_scheme: Optional[str] = None
    min_brain_pixels: int = 0
    resize: Optional[int] = None
    scaling: str = MINMAX
    frame: tuple[int, int, int] = (155, 240, 240)
    resample: bool = False
    layout: Optional[str] = None

    def __post_init__(self) -> None:
        check_scheme(self.label_scheme)
        if self.layout is not None:  # a run records what the file says: resumed, it needs no file
            object.__setattr__(self, "layout", layout_text(self.layout))
        for name in ("slices", "rows", "columns"):
            start, stop = getattr(self, name)
            if not 0 <= start < stop:
                raise UserError(
                    f"--slicing.{name} must be a range 0 <= first < end, found {start} {stop}."
                )
            if name != "slices" and (self.downsample < 1 or (stop - start) % self.downsample):
                raise UserError(
                    f"--slicing.downsample must be a divisor of the {stop - start} {name}, "
                    f"found {self.downsample}; change it or --slicing.{name}."
                )
        sides = Rule("three numbers of 1 or more", lambda sides: min(sides) >= 1)
        check_fields(self, "--slicing.", scaling=one_of(SCALINGS), frame=sides)
        height, width = self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]
        if not 0 <= self.min_brain_pixels < height * width:
            raise UserError(
                f"--slicing.min_brain_pixels must be 0 or more and less than the {height * width} "
                f"pixels of a crop, found {self.min_brain_pixels}; change it or the crop."
            )
        if self.resize is None:
            return
        if self.downsample != 1:
            raise UserError(
                f"--slicing.resize {self.resize} excludes --slicing.downsample {self.downsample}; "
                "give one of the two."
            )
        if height != width or not 1 <= self.resize <= height:
            raise UserError(
                "--slicing.resize needs a square crop and a side of 1 up to the crop's, found "
                f"{self.resize} for {height} rows and {width} columns; change it, --slicing.rows "
                "or --slicing.columns."
            )


def output_size(config: SliceConfig) -> tuple[int, int]:
    """Returns height and width of the prepared slices in pixels."""
    if config.resize is not None:
        return config.resize, config.resize
    (top, bottom), (left, right) = config.rows, config.columns
    return (bottom - top) // config.downsample, (right - left) // config.downsample


def pixel_size(config: SliceConfig) -> float:
    """Returns height and width of a prepared pixel in mm."""
    return SPACING * (config.rows[1] - config.rows[0]) / output_size(config)[0]


def voxel_size(config: SliceConfig) -> tuple[float, float, float]:
    """Returns depth, height and width in mm of the voxels that prepared slices make up."""
    return SPACING, pixel_size(config), pixel_size(config)

"""Figures 14 to 16 of the thesis (5.7): random maps, a walk through their codes, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.slice_sets import Slices
from data.synthetic_sets.building import Draft, MapSampler, random_maps
from data.synthetic_sets.files import read_rows
from experiments.configs.figures import DIVERSITY, SAMPLES, WALK
from experiments.engine.experiment import Experiment, Task
from experiments.engine.recording import command
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.systems.structure_gan.evaluation import held_out, synthetic
from experiments.systems.structure_gan.maps import decode_codes, map_decoder
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from models.structure_gan.latent_walk import straight_walk, swapping_walk
from utils.errors import UserError
from utils.metrics.images import pairwise_overlap
from utils.metrics.segmentation import dice
from utils.reporting.pictures import grid, label_row, plain_row, to_uint8, write_png
from utils.reporting.tables import bullets, page
from utils.runs.files import write_text
from utils.seeding import derive_seed


def finish(run: Run, title: str, text: str, notes: list[str], figures: Mapping[str, float]) -> None:
    """Writes the figure's page and its numbers, and prints where it is."""
    key = run.experiment.key
    where = f"Data: {run.data_note}.", f"Command: `{command(run)}`; seed {run.config.seed}."
    write_text(run.path / f"{key}.md", page([f"# {title}", text, bullets([*where, *notes])]))
    run.update_metrics({f"{key}/{name}": value for name, value in figures.items()})
    print(run.path / f"{key}.md")


def draw_diversity(run: Run) -> None:
    """Fig. 14: a sheet of random maps, as drawn and filtered, and how alike they are."""
    source, config = run.source, run.config
    count = config.side**2
    first, filtered, after_retries = first_and_filtered(
        source, count, derive_seed(config.seed, "figure14")
    )
    real = held_out(source).structure
    real = real[np.linspace(0, len(real) - 1, min(count, len(real))).astype(int)]
    sets = {"as_drawn": first, "filtered": filtered, "extracted": real}
    overlaps = {name: mean_overlap(maps) for name, maps in sets.items()}
    replaced = int((first != filtered).any(axis=(1, 2)).sum())
    write_png(run.path / "figure14.png", map_sheet(first, filtered, config.side))
    titles = ("as drawn", "filtered", "extracted")
    numbers = ", ".join(f"{title} {v:.3f}" for title, v in zip(titles, overlaps.values()))
    finish(
        run,
        "Figure 14: random structure maps",
        f"{count} random maps as drawn (left) and filtered by Algorithm 3 (right), {replaced} of "
        "them later draws.",
        [
            "Mean overlap (Dice of the lines) of all pairs of maps; lower is more diverse, and the "
            f"value of maps extracted from held-out slices is the mark to meet: {numbers}."
        ],
        {
            **{f"{name}/overlap": value for name, value in overlaps.items()},
            "replaced": replaced,
            "after_retries": after_retries,
        },
    )


def first_and_filtered(run: Run, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns random maps as drawn, the same after filtering, and how many never passed.

    Both are uint8 [count,H,W]. Place k of the second set holds place k of the first if that passed
    the run's filter (Algorithm 3), and else the first later draw that did.
    """
    decode, config = map_decoder(run), run.config.dataset
    sampler = MapSampler(decode, config, seed)
    first = []
    for start in range(0, count, config.batch_size):
        drafts = [Draft(i) for i in range(start, min(start + config.batch_size, count))]
        first.append(decode(sampler.seeds(drafts))[0][: len(drafts)])
    filtered, _, after_retries = random_maps(decode, count, config, seed)
    return np.concatenate(first)[..., 0].astype(np.uint8), filtered[..., 0], after_retries


def mean_overlap(maps: np.ndarray) -> float:
    """Returns the mean Dice of the lines over all pairs of maps [N,H,W]; lower is more diverse."""
    return float(pairwise_overlap(maps[np.newaxis])[0])


def map_sheet(first: np.ndarray, filtered: np.ndarray, side: int) -> np.ndarray:
    """Returns both sets of side * side maps [N,H,W] beside each other, an empty column between."""
    blank = [np.full(first.shape[1:], 255, np.uint8)]
    rows = [
        [*map(to_uint8, first[i : i + side]), *blank, *map(to_uint8, filtered[i : i + side])]
        for i in range(0, side * side, side)
    ]
    headers = [""] * (2 * side + 1)
    headers[side // 2], headers[side + 1 + side // 2] = "as drawn", "filtered"
    return grid(rows, headers=headers)


def draw_walk(run: Run) -> None:
    """Fig. 15: structure maps on a walk between random codes.

    The steps are coordinate swapping and linear interpolation.
    """
    source, config = run.source, run.config
    rng = np.random.default_rng(derive_seed(config.seed, "figure15"))
    *corners, centre = rng.standard_normal([5, source.config.structure.code_size])
    ends = (np.stack(corners), centre, config.side)
    walks = {
        "swapping": swapping_walk(*ends, config.edge_stride, config.centre_stride),
        "straight": straight_walk(*ends),
    }
    overlaps = {}
    for name, codes in walks.items():
        maps = decode_codes(source, codes.reshape(-1, codes.shape[-1]))
        maps = maps.reshape(config.side, config.side, *maps.shape[1:])
        sheet = grid([[to_uint8(one) for one in row] for row in maps])
        write_png(run.path / f"figure15_{name}.png", sheet)
        overlaps[name] = neighbour_overlap(maps)
    finish(
        run,
        "Figure 15: a walk through the latent codes",
        f"Four random codes in the corners, a fifth in the centre, {config.side}x{config.side} "
        "maps.",
        [
            "Swapping: along the border each step replaces one coordinate in "
            f"{config.edge_stride} by the next corner's, towards the centre one in "
            f"{config.centre_stride} by the centre's (released script). Places that have replaced "
            "all coordinates repeat their goal.",
            "Straight: the same places by linear interpolation between the codes.",
            "Mean overlap (Dice of the lines) of neighbours: swapping "
            f"{overlaps['swapping']:.3f}, straight {overlaps['straight']:.3f}; 1 means that "
            "neighbours are equal.",
        ],
        {f"{name}/overlap": value for name, value in overlaps.items()},
    )


def neighbour_overlap(maps: np.ndarray) -> float:
    """Returns the mean Dice of the lines of neighbours in a square of maps [R,C,H,W]."""
    size = maps.shape[2:]
    across = dice(maps[:, :-1].reshape(-1, *size), maps[:, 1:].reshape(-1, *size))
    down = dice(maps[:-1].reshape(-1, *size), maps[1:].reshape(-1, *size))
    return float(np.nanmean(np.concatenate([across, down])))


def draw_samples(run: Run) -> None:
    """Fig. 16: synthetic samples: mask, structure map, lesion label and four modalities."""
    config, source = run.config, run.source
    table = read_rows(source.synthetic)
    numbers = np.flatnonzero(table["selected"]) if config.selected else np.arange(len(table))
    if not len(numbers):
        raise UserError(
            "The trained run's lesion filter kept no sample, but --selected asks for those; leave "
            "it out"
        )
    chosen = np.sort(np.random.default_rng(config.seed).permutation(numbers)[: config.samples])
    slices = synthetic(source).choose(chosen)
    write_png(run.path / "figure16.png", sample_sheet(slices, source.prepared.dataset.channels))
    kept = "kept by the lesion filter" if config.selected else "unfiltered"
    finish(
        run,
        "Figure 16: synthetic samples",
        f"Columns are samples {', '.join(map(str, chosen))} of the trained run's set, drawn at "
        f"random, {kept}. Labels: yellow necrosis, blue oedema, green non-enhancing, magenta "
        "enhancing.",
        [],
        {"samples": len(chosen)},
    )


def sample_sheet(slices: Slices, channels: Sequence[str]) -> np.ndarray:
    """Returns rows of masks (organ white), maps, labels and channels: uint8 [H,W,3]."""
    rows = [
        plain_row(1 - slices.outside),
        plain_row(slices.structure),
        label_row(slices.label),
        *(plain_row(slices.images[..., i]) for i in range(len(channels))),
    ]
    return grid(rows, titles=("mask", "map", "label", *channels))


FIGURE14 = Experiment(
    "experiments/figure14_diversity.py",
    "Thesis Fig. 14: a sheet of random structure maps, as drawn and filtered, and how alike they "
    "are.",
    DIVERSITY,
    stages=(Task("draw", draw_diversity),),
    key="figure14",
    sources=Finished(TRAIN_BRATS),
)
FIGURE15 = Experiment(
    "experiments/figure15_latent_walk.py",
    "Thesis Fig. 15: structure maps along a walk between random latent codes, by coordinate "
    "swapping and by linear interpolation.",
    WALK,
    stages=(Task("draw", draw_walk),),
    key="figure15",
    sources=Finished(TRAIN_BRATS),
)
FIGURE16 = Experiment(
    "experiments/figure16_samples.py",
    "Thesis Fig. 16: synthetic samples: mask, structure map, lesion label and four modalities.",
    SAMPLES,
    stages=(Task("draw", draw_samples),),
    key="figure16",
    sources=Finished(TRAIN_BRATS),
)

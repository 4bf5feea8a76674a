"""The measuring tool: counted operations, turns, one stage, and what it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import tensorflow as tf

from data.brats.slices import output_size
from experiments import benchmark
from experiments.benchmarking.stages import (
    SYSTEMS,
    resized,
    stage_size,
    stage_width,
    widened,
    with_batches,
)
from experiments.configs.brats import PRESETS, TRAININGS
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from tests.data.trees import write_tree
from utils.benchmarking import timing
from utils.benchmarking.convolutions import Convolution, forward_convolutions, step_flops
from utils.benchmarking.profiling import operation_shares
from utils.errors import UserError
from utils.runs.exits import exit_code

KEYS = {
    *("stage", "width", "size", "batch_size", "precision", "devices", "repeats"),
    *("step_ms", "step_ms_quartiles", "plain_step_ms", "plain_step_ms_quartiles", "speedup"),
    *(
        "images_per_s",
        "data_wait",
        "conv_gflop",
        "plain_conv_gflop",
        "conv_gflops",
        "conv_fraction",
        "peak_mib",
    ),
    *("processor", "gpus", "versions", "operations"),
}


def run(*words: object) -> int:
    argv = [str(word) for word in words]
    return exit_code(lambda: benchmark.main(argv), benchmark._after_interrupt)


def step_graph(frozen: bool) -> tf.Graph:
    """A 3x3 convolution with stride 2, a 1x1 one, and the update of both or of the first alone."""
    image = tf.ones([2, 8, 6, 3])
    first = tf.Variable(tf.ones([3, 3, 3, 5]))
    second = tf.Variable(tf.ones([1, 1, 5, 4]))

    @tf.function(autograph=False)
    def step(image: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            maps = tf.nn.conv2d(tf.nn.conv2d(image, first, 2, "SAME"), second, 1, "VALID")
            loss = tf.reduce_sum(maps)
        gradients = tape.gradient(loss, [first, second])
        for variable, gradient in zip([first, second], gradients[: 1 if frozen else 2]):
            variable.assign_sub(gradient)
        return loss

    return step.get_concrete_function(image).graph


FIRST = 2 * (2 * 4 * 3 * 5) * (3 * 3 * 3)  # outputs, products for each: 6480
SECOND = 2 * (2 * 4 * 3 * 4) * (1 * 1 * 5)  # 960


def test_operations_are_counted_by_hand():
    # The image has no gradient; that of the maps between goes through the second kernel.
    assert step_flops(step_graph(frozen=False)) == 2 * FIRST + 3 * SECOND == 15840
    assert step_flops(step_graph(frozen=True)) == 2 * FIRST + 2 * SECOND == 14880


def test_forward_convolutions_are_found_with_their_numbers():
    first = Convolution((2, 8, 6, 3), (3, 3, 3, 5), (1, 2, 2, 1), "SAME", "float32", (2, 4, 3, 5))
    second = Convolution((2, 4, 3, 5), (1, 1, 5, 4), (1, 1, 1, 1), "VALID", "float32", (2, 4, 3, 4))
    assert forward_convolutions(step_graph(frozen=True)) == {first: 1, second: 1}
    assert (first.flops, second.flops) == (FIRST, SECOND)
    for convolution in (first, second):
        assert tuple(convolution.bare()().shape) == convolution.output
    same = tf.function(lambda x: tf.nn.conv2d(x, w, 1, "SAME") + tf.nn.conv2d(2 * x, w, 1, "SAME"))
    w = tf.ones([3, 3, 1, 1])
    graph = same.get_concrete_function(tf.ones([1, 4, 4, 1])).graph
    assert list(forward_convolutions(graph).values()) == [2]


def test_actions_take_turns_and_the_first_is_left_out(monkeypatch):
    monkeypatch.setattr(timing, "timed", lambda action: (action(), None))
    seen: list[str] = []

    def action(name: str):
        return lambda: lambda: seen.append(name) or float(len(seen))

    times = timing.interleaved({"a": action("a"), "b": action("b")}, 2)
    assert "".join(seen) == "abbaab" and times == {"a": [4.0, 5.0], "b": [3.0, 6.0]}
    assert timing.Spread.of([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)


def test_the_longest_operation_has_the_largest_share():
    x = tf.ones([1000, 1000])
    product = tf.function(lambda: tf.reduce_sum(tf.sqrt(x @ x @ x @ x)))
    product()
    shares = operation_shares(product)
    longest = list(shares)[0]  # with oneDNN _MklMatMul
    assert "MatMul" in longest and 0.5 < shares[longest] < 1
    assert "Sqrt" in shares and list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of a short run of one tiny stage on two cases, and the folder of the file.

    The stage trains G alone, whose products are counted by hand below.
    """
    folder = tmp_path_factory.mktemp("benchmark")
    data = write_tree(folder / "data", "brats2023", shape=(90, 232, 204))
    words = ("--preset", "tiny", "--stage", "pretraining", "--data", data)
    words += ("--slicing.label_scheme", "brats2023")
    words += ("--size", "32x24", "--width", 2, "--batch_size", 1, "--cache", folder / "cache")
    file, tiny = folder / "speed.json", PRESETS["tiny"]
    alone = replace(tiny.synthesis.pretraining, adversarial=0.0)
    alone = replace(tiny, synthesis=replace(tiny.synthesis, pretraining=alone))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", alone)
        assert run(*words, "--repeats", 2, "--profile", "--json", file) == 0
        long = json.loads(file.read_text())
        assert run(*words, "--quick", "--json", file, "--overwrite") == 0
    return long, json.loads(file.read_text()), file


def test_a_layout_that_cannot_be_read_is_told_at_once(tmp_path, capsys):
    words = ("--data", tmp_path, "--slicing.layout", tmp_path / "none.yaml")
    assert run(*words) == 2
    assert f"--slicing.layout {tmp_path / 'none.yaml'} must be a YAML file" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_figures_fit_each_other(rows):
    (row,), _, _ = rows
    assert set(row) == KEYS
    assert (row["stage"], row["width"], row["size"]) == ("pretraining", 2, "32x24")
    assert (row["batch_size"], row["precision"], row["devices"]) == (1, "float32", 1)
    assert row["repeats"] == 2 and row["gpus"] == []
    assert row["speedup"] == pytest.approx(row["plain_step_ms"] / row["step_ms"])
    assert 0 <= row["data_wait"] <= 1 and row["images_per_s"] > 0 and row["peak_mib"] > 100
    seconds = row["conv_gflop"] / row["conv_gflops"]
    assert row["conv_fraction"] == pytest.approx(1000 * seconds / row["step_ms"])
    for name in ("step_ms", "plain_step_ms"):
        low, high = row[f"{name}_quartiles"]
        assert 0 < low <= row[name] <= high
    kinds = " ".join(row["operations"])
    assert "Conv2DBackpropFilter" in kinds and "FusedBatchNormGradV3" in kinds
    assert re.search(r", \d+ CPUs$", row["processor"]) and "2.15" in row["versions"]["tensorflow"]


@pytest.mark.slow
def test_a_quick_run_leaves_out_the_reference(rows):
    (long,), (row,), _ = rows
    left_out = {"plain_step_ms", "plain_step_ms_quartiles", "speedup", "plain_conv_gflop"}
    assert {name for name, value in row.items() if value is None} == left_out | {"operations"}
    assert set(row) == KEYS and row["repeats"] == benchmark.QUICK_REPEATS
    assert row["conv_gflop"] == long["conv_gflop"]
    header = benchmark.screen_table([row]).splitlines()[2]
    assert "step_ms" in header and "plain" not in header and "speedup" not in header


@pytest.mark.slow
def test_a_whole_step_is_counted_by_the_networks_table(rows):
    (row,), _, _ = rows
    # The tables of models/networks/unet.py at width 2: pixels * channels in * channels out, row by
    # row from conv1 to lastconv; the encoder runs once, the decoder for four modalities.
    encoder = 768 * (6 * 2 + 2 * 2) + 192 * (2 * 2 + 2 * 4 + 4 * 4)
    encoder += 48 * (4 * 4 + 4 * 8 + 8 * 8) + 12 * 8 * 8
    skips = 48 * 8 * 4 + 192 * 4 * 2 + 768 * 2 * 2  # one half of what three rows join
    doubling = 48 * 8 * 8 + 192 * 4 * 4 + 768 * 2 * 2
    others = (
        12 * 8 * 8 + 48 * (8 * 4 + 4 * 4) + 192 * (4 * 2 + 2 * 2) + 768 * (2 * 2 + 2 * 2 + 2 * 1)
    )
    first = 2 * 9 * 768 * 6 * 2  # whose input, maps and label, has no gradient
    # The skips' part is computed once, too, and 16 products of four doubled pixels stand for 36.
    forward = 2 * 9 * (encoder + skips + 4 * (others + doubling * 16 / 36))
    assert row["conv_gflop"] == pytest.approx((3 * forward - first) / 1e9)
    # In the reference the encoder runs four times, and every product is made.
    whole = 2 * 9 * 4 * (encoder + skips + others + doubling)
    assert row["plain_conv_gflop"] == pytest.approx((3 * whole - 4 * first) / 1e9)


@pytest.mark.slow
def test_rows_are_replaced_only_when_told(rows, capsys):
    _, _, file = rows
    before = file.read_text()
    assert run("--json", file) == 2
    assert "exists; add --overwrite or choose another" in capsys.readouterr().err
    assert file.read_text() == before


def test_the_table_has_its_columns():
    row = dict.fromkeys(benchmark.COLUMNS, 1.0)
    row.update(precision="float32", devices=1, repeats=3, processor="P, 2 CPUs", gpus=[])
    common, _, header, _, first = benchmark.screen_table([row]).splitlines()
    assert common == "float32, 1 device(s), 3 repeats; P, 2 CPUs"
    assert [name.strip() for name in header.strip("|").split("|")] == list(benchmark.COLUMNS)
    assert first.count("1.00") == 12


def test_the_profile_leaves_out_what_takes_next_to_nothing():
    rows = [{"stage": "structure", "operations": {"Conv2D": 0.989, "Adam": 0.011, "Add": 0.001}}]
    table = benchmark.profile_table(rows).splitlines()[2:]
    assert table == ["| structure | Conv2D | 0.989 |", "| structure | Adam | 0.011 |"]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(96, 72), (24, 24), (184, 144), (240, 240)])
def test_any_size_that_the_networks_halve_fits_every_stage(preset, size):
    config = widened(resized(PRESETS[preset], size), 6)
    assert output_size(config.slicing) == size
    for name in ("rows", "columns"):
        start, stop = getattr(config.slicing, name)
        assert 0 <= start < stop <= 240 and abs(240 - start - stop) <= 1  # the middle
    assert {stage_size(config, stage) for stage in TRAININGS} == {size}
    assert {stage_width(config, stage) for stage in TRAININGS} == {6}
    assert config.synthesis.discriminator_width == 6


def test_sizes_of_samr_are_those_that_are_asked_for():
    samr = SYSTEMS[1]
    config = samr.widened(samr.resized(samr.experiment.presets["demo"], (96, 64)), 6)
    config = with_batches(config, 3)
    for stage in samr.stages:
        assert samr.size(config, stage) == (96, 64) and samr.width(config, stage) == 6
        assert getattr(config.schedule, stage).batch_size == 3
    assert config.samr.discriminator_width == config.samr.segmenter_width == 6


@pytest.mark.slow
def test_stages_of_samr_are_measured(tmp_path):
    file = tmp_path / "speed.json"
    words = ("--preset", "tiny", "--stage", "segmenter,gan", "--width", 2, "--repeats", 2)
    assert run(*words, "--batch_size", 1, "--json", file) == 0
    segmenter, gan = json.loads(file.read_text())
    assert set(gan) == KEYS and (segmenter["stage"], gan["stage"]) == ("segmenter", "gan")
    assert (gan["width"], gan["size"], gan["batch_size"]) == (2, "32x24", 1)
    assert segmenter["plain_conv_gflop"] == pytest.approx(segmenter["conv_gflop"])
    assert gan["plain_conv_gflop"] > 1.2 * gan["conv_gflop"]  # G runs three times


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--stage structure,train", "--stage is 'structure,train'; choose from structure, segm"),
        ("--stage synthesis,gan", "pretraining, synthesis, or from segmenter, gan"),
        ("--stage gan --size 90x72", "--size has 90x72 pixels; height and width must be divisible"),
        ("--stage gan --size 248x8", "--size is 248x8; give sides of 8 to 240 pixels"),
        ("--size 96", "--size is '96'; give height and width in pixels, such as 96x72"),
        ("--size 90x72", "--size has 90x72 pixels; height and width must be divisible"),
        ("--size 248x8", "--size is 248x8; give sides of 8 to 240 pixels"),
        ("--preset thesis --size 16x16", "shrinks 16x16 pixels to a single one"),
        ("--width 1", "--width is 1; give 2 or more"),
        ("--repeats 0", "--repeats is 0; give 1 or more"),
        ("--devices 0", "--devices is 0; give 1 or more"),
        ("--devices 2 --batch_size 3", "--batch_size is 3 but 2 devices train together"),
        ("--data no/such", "no/such does not exist or is not a folder; check --data"),
    ],
)
def test_bad_usage_ends_with_2(words, sentence, capsys):
    assert run(*words.split()) == 2
    assert sentence in capsys.readouterr().err


def test_help_says_how_it_is_counted(capsys):
    with pytest.raises(SystemExit) as caught:
        benchmark.parse(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for words in ("Conv2DBackpropFilter", "as the original graph makes it"):
        assert words in text


def test_a_stage_is_named_once():
    system, stages = benchmark.chosen_stages("synthesis, structure,synthesis")
    assert system.experiment is TRAIN_BRATS and stages == ["structure", "synthesis"]
    system, stages = benchmark.chosen_stages("gan,segmenter")
    assert system.experiment is TRAIN_SAMR and stages == ["segmenter", "gan"]
    with pytest.raises(UserError):
        benchmark.chosen_stages("")

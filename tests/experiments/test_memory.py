"""The estimate of a training's memory against a process."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from experiments.engine.plan import PROCESS_MIB
from tests.experiments.conftest import train
from utils.runs.environment import REPOSITORY

# Makes three updates and prints the estimate and the process' most memory, MiB.
MEASURE = f"""
import resource, sys
from dataclasses import replace
sys.path.insert(0, {str(REPOSITORY)!r})
from utils.runs.environment import prepare_tensorflow
prepare_tensorflow()
import tensorflow as tf
from data.brats.with_brain import BRATS_WITH_BRAIN
from data.contract import batch_shapes
from experiments.benchmarking.stages import widened
from experiments.configs import samr
from experiments.configs.brats import THESIS
from experiments.engine.plan import step_memory
from models.samr.gan import SAMR
from models.samr.segmenter import LabelNet
from models.structure_gan.guidance import brats_guides
from models.structure_gan.registration import Registration
from models.lesions import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Synthesis
tf.keras.mixed_precision.set_global_policy(sys.argv[2])
config = widened(THESIS, 32)
learnable = dict(initializer="he_normal")  # in 16 bits too
structure = replace(config.structure, map_size=(256, 256), halvings=5, **learnable)
segmentation = replace(config.segmentation, **learnable)
registration = replace(config.registration, **learnable)
synthesis = replace(config.synthesis, **learnable)
def build_synthesis():
    guides = Registration(registration, 1), Segmentation(segmentation)
    return Synthesis(synthesis, brats_guides(*guides, synthesis))
size = tuple(map(int, sys.argv[3].split("x")))
def build_gan():
    settings = replace(samr.THESIS.samr, width=8, down_samplings=4, discriminator_width=32)
    return SAMR(settings, 4, 5, tf.zeros([50, *size, 4]).numpy(), 1)
system = {{
    "structure": lambda: StructureGAN(structure),
    "segmentation": lambda: Segmentation(segmentation),
    "registration": lambda: Registration(registration, 1),
    "synthesis": build_synthesis,
    "segmenter": lambda: LabelNet(samr.THESIS.segmenter, 4, 5, 1),
    "gan": build_gan,
}}[sys.argv[1]]()
batch_size = {{"segmentation": 4, "segmenter": 8, "gan": 4}}.get(sys.argv[1], 1)
memory = step_memory(system, BRATS_WITH_BRAIN, batch_size, size)
shapes = batch_shapes(BRATS_WITH_BRAIN, batch_size, size)
batch = {{key: tf.zeros(*each) for key, each in shapes.items()}}
step = tf.function(system.train_step, autograph=False)
for _ in range(3):
    step(batch)
print(sum(memory) / 2**20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
"""


@pytest.mark.slow
def test_the_plan_divides_batches_among_devices(capsys):
    lines = []
    for devices in ("1", "2"):
        words = ("--preset=tiny", "--stages=segmentation", "--dry-run", f"--devices={devices}")
        assert train(*words) == 0
        text = capsys.readouterr().out
        lines.append(float(re.search(r"segmentation +\d+ steps of batch 4 +(\d+) MiB", text)[1]))
    assert 0.4 * lines[0] < lines[1] < 0.7 * lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "stage, size",
    [
        *((name, "184x144") for name in ("structure", "segmentation", "registration", "synthesis")),
        *((name, size) for name in ("segmenter", "gan") for size in ("128x128", "256x256")),
    ],
)
def test_the_estimate_is_within_30_percent_of_a_process(stage, size, precision):
    command = [sys.executable, "-c", MEASURE, stage, precision, size]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    estimate, measured = map(float, result.stdout.split())
    expected = estimate + PROCESS_MIB
    print(f"{stage} {size} {precision}: estimated {expected:.0f} MiB, measured {measured:.0f} MiB")
    assert expected == pytest.approx(measured, rel=0.3)

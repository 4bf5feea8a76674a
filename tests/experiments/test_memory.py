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
from data.brats.dataset import BRATS
from data.contract import batch_shapes
from experiments.benchmarking.stages import widened
from experiments.configs.brats import THESIS
from experiments.engine.plan import step_memory
from models.structure_gan.registration import Registration
from models.structure_gan.segmentation import Segmentation
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
    return Synthesis(synthesis, Registration(registration, 1), Segmentation(segmentation))
system = {{
    "structure": lambda: StructureGAN(structure),
    "segmentation": lambda: Segmentation(segmentation),
    "registration": lambda: Registration(registration, 1),
    "synthesis": build_synthesis,
}}[sys.argv[1]]()
batch_size = 4 if sys.argv[1] == "segmentation" else 1
memory = step_memory(system, BRATS, batch_size, (184, 144))
shapes = batch_shapes(BRATS, batch_size, (184, 144))
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
@pytest.mark.parametrize("stage", ["structure", "segmentation", "registration", "synthesis"])
def test_the_estimate_is_within_30_percent_of_a_process(stage, precision):
    command = [sys.executable, "-c", MEASURE, stage, precision]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    estimate, measured = map(float, result.stdout.split())
    expected = estimate + PROCESS_MIB
    print(f"{stage} {precision}: estimated {expected:.0f} MiB, measured {measured:.0f} MiB")
    assert expected == pytest.approx(measured, rel=0.3)

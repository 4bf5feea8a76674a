"""Pictures that tables keep are rendered anew when the weights behind them have changed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from data.slice_sets import Slices
from experiments.systems.baselines.rivals import baseline, baseline_images
from experiments.tables.ablation import training
from experiments.tables.ablation.variants import COMPLETE

SIZE = (2, 3, 3)


class Stub(SimpleNamespace):
    """A run whose one network paints everything with the number of its checkpoint."""

    def trained(self, stage):
        images = tf.fill([*SIZE, 4], float(self.checkpoint))
        return SimpleNamespace(synthesize=lambda batch: {"images": images})

    def weights_hash(self, stage: str) -> str:
        return str(self.checkpoint)


@pytest.mark.parametrize("which", ["baseline", "variant"])
def test_other_weights_give_other_pictures(tmp_path, monkeypatch, which):
    source = SimpleNamespace(
        config=SimpleNamespace(dataset=SimpleNamespace(batch_size=2)),
    )
    run = Stub(path=tmp_path, source=source, config=SimpleNamespace(seed=0), checkpoint=1)
    maps = np.zeros(SIZE, np.uint8)
    matched = Slices(np.zeros((*SIZE, 4)), maps, structure=maps, outside=maps)
    monkeypatch.setattr(training, "variant_run", lambda run, *_, **__: run)

    def images() -> np.ndarray:
        if which == "baseline":
            return baseline_images(run, baseline("gan_sharp"), maps)
        return training.variant_slices(run, "thesis", COMPLETE, matched).images

    assert images().mean() == 1
    run.trained = lambda stage: 1 / 0  # with the same weights nothing is rendered
    assert images().mean() == 1
    del run.trained
    run.checkpoint = 2
    assert images().mean() == 2

"""Configuration of Table 1: how long its variants are trained, and on how many maps measured."""

from dataclasses import dataclass, replace

from utils.errors import NOT_NEGATIVE, at_least, check_fields


@dataclass(frozen=True)
class Table1Config:
    """Everything that determines the table besides the trained run; written to config.json.

    Args:
        seed: of weights, order and noise of all variants, and of pairs and unmatched labels; with
            the trained run's seed and lengths, F and pre-trainings like its own are taken from it.
        samples: largest number of maps and labels of the trained run's synthetic set on which all
            variants are evaluated.
        pairs: number of random pairs of a synthetic and a real slice for MS-SSIM.
        examples: number of maps in the strip of pictures.
        pretraining_steps: updates of each pre-training; 0 = those of the trained run.
        steps: adversarial updates of each variant; 0 = those of the trained run.
        noise_learning_rate: learning rate of G and D of variant A if the other variants are
            pre-trained; 0 = the learning rates of the others.
    """

    seed: int = 0
    samples: int = 2000
    pairs: int = 2000
    examples: int = 2
    pretraining_steps: int = 0
    steps: int = 0
    noise_learning_rate: float = 0.0

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--",
            samples=at_least(2),
            pairs=at_least(1),
            examples=at_least(1),
            pretraining_steps=at_least(0),
            steps=at_least(0),
            noise_learning_rate=NOT_NEGATIVE,
        )


THESIS = Table1Config()
# The demo's adversarial steps refine slowly what it learned at 2e-3; A has nothing to refine.
DEMO = replace(THESIS, samples=200, pairs=1000, noise_learning_rate=1e-3)
TINY = replace(DEMO, samples=8, pairs=20, pretraining_steps=4, steps=2)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}

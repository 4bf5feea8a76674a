"""Plans, trains and applies nnU-Net v2: run by judge_nnunet.py in nnU-Net's own environment.

Nothing of this project is imported: that environment has torch, not TensorFlow.

    nnUNet_raw=.. nnUNet_preprocessed=.. nnUNet_results=.. python _nnunet.py REQUEST.json

REQUEST.json: dataset (its number), name, seed, epochs, iterations, device, and the folders images
and predictions.
"""

import json
import os
import sys


def main(request: dict) -> None:
    """Leaves a label file in `predictions` for each case in `images`."""
    import numpy as np
    import torch
    from batchgenerators.utilities.file_and_folder_operations import join, load_json
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    np.random.seed(request["seed"])
    torch.manual_seed(request["seed"])
    number, device = request["dataset"], torch.device(request["device"])
    extract_fingerprints([number], num_processes=2, check_dataset_integrity=True)
    plan_experiments([number])
    preprocess([number], configurations=("2d",), num_processes=(2,))
    folder = join(os.environ["nnUNet_preprocessed"], request["name"])
    plans, dataset = (load_json(join(folder, f)) for f in ("nnUNetPlans.json", "dataset.json"))
    plans["continue_training"] = False  # read by version 2.8
    trainer = nnUNetTrainer(plans, "2d", "all", dataset, device=device)
    trainer.num_epochs = request["epochs"]
    trainer.num_iterations_per_epoch = request["iterations"]
    trainer.num_val_iterations_per_epoch = 1
    trainer.run_training()
    predictor = nnUNetPredictor(device=device, perform_everything_on_device=device.type != "cpu")
    predictor.initialize_from_trained_model_folder(
        trainer.output_folder_base, ("all",), "checkpoint_final.pth"
    )
    predictor.predict_from_files(
        request["images"],
        request["predictions"],
        num_processes_preprocessing=1,
        num_processes_segmentation_export=1,
    )


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        main(json.load(file))

"""Ranges the code is written for; the exact, tested versions are in constraints.txt."""

from setuptools import find_packages, setup

TENSORFLOW = "2.15.1"
PACKAGES = ("models", "losses", "data", "experiments", "utils")

setup(
    name="synthetic-labelled-mri",
    version="0.1.0",
    description="GANs that synthesise registered multi-modality brain MRI with a lesion label",
    license="Apache-2.0",
    license_files=["LICENSE", "experiments/pages/niivue/LICENSES.txt"],
    packages=find_packages(include=[*PACKAGES, *(f"{package}.*" for package in PACKAGES)]),
    package_data={"experiments": ["**/*.yaml", "pages/*", "pages/niivue/*", "weights/*"]},
    python_requires=">=3.9,<3.12",
    install_requires=[
        # The last pair that supports each other: addons 0.23 refuses TensorFlow >= 2.16.
        f"tensorflow=={TENSORFLOW}",
        "tensorflow-addons==0.23.0",
        "numpy>=1.23.5,<2",
        # From 4.12 on OpenCV asks for NumPy 2, which TensorFlow 2.15 refuses.
        "opencv-python>=4.7,<4.12",
        # Earlier releases read a truncated .mha without an error.
        "SimpleITK>=2.4",
        "pillow>=9.5",
        "scikit-image>=0.21",
        "scipy>=1.10",
        "pandas>=1.5.3",
        "matplotlib>=3.7",
        "nilearn>=0.10",
        # Reads NIfTI; nilearn brings it, and this is the oldest release that was tested.
        "nibabel>=5.3.3",
        # Deals nnU-Net's folds; nilearn brings it, and this is the oldest release that was tested.
        "scikit-learn>=1.6.1",
        "tqdm>=4.64",
        "docstring-parser>=0.15",  # reads the help of options; jsonargparse needs it, too
        "jsonargparse[signatures]>=4.27,<5",
        "PyYAML>=6.0.1",
        # TensorBoard 2.15 imports pkg_resources, which later releases warn about and then drop.
        "setuptools>=64,<80.9",
    ],
    extras_require={
        "gpu": [f"tensorflow[and-cuda]=={TENSORFLOW}"],
        "test": [
            "pytest>=7.4",
            "pytest-xdist>=3.6",
            "ruff>=0.17",
            "surface-distance>=0.1",
            "pycocotools>=2.0.8",
            "playwright>=1.60",  # opens the local pages in a Chromium that is installed already
        ],
    },
)

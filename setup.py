"""Packaging: the package ``deep3dmap``, the configs as ``deep3dmap/configs``, and the command ``deep3dmap``."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
EXTRAS = ("tests", "h3ds", "mesh", "render", "video", "viewer", "weights")


def requirements(name: str) -> list[str]:
    """The lines of ``requirements/NAME.txt`` that name a package."""
    lines = (HERE / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def long_description() -> str:
    """The README, where the source has one."""
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


setup(
    name="deep3dmap",
    version=runpy.run_path(str(HERE / "deep3dmap" / "version.py"))["__version__"],
    description="A modular toolbox for 3D reconstruction from images",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[*find_packages(include=["deep3dmap", "deep3dmap.*"]), "deep3dmap.configs"],
    # configs/ stands at the top of the source and inside the package once installed
    package_dir={
        "deep3dmap": "deep3dmap",
        "deep3dmap.configs": "configs"
    },
    package_data={
        "deep3dmap.configs": ["**/*.py", "**/*.md"],
        "deep3dmap.frameworks.h3dnet": ["assets/*"],
        "deep3dmap.frameworks.neuralrecon": ["assets/*"],
        "deep3dmap.frameworks.prnet": ["assets/*"],
        "deep3dmap.frameworks.stylegan2": ["assets/*"],
        "deep3dmap.structures": ["assets/*"],
        "deep3dmap.visualization": ["assets/**/*"]
    },
    install_requires=requirements("core"),
    extras_require={extra: requirements(extra)
                    for extra in EXTRAS},
    entry_points={"console_scripts": ["deep3dmap = deep3dmap.cli.app:main"]},
    zip_safe=False,
)

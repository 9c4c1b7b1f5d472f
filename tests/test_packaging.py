"""What looks at models of one's own needs torch, numpy, scipy and pandas, whatever else the book needs."""

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("torch", "numpy", "scipy", "pandas")
MODULES = ("anatomy", "audit", "command", "coordinate_check", "diagnose", "gains", "initializers", "normalization")
MODULES += ("propagation", "recognize", "schemes", "sentinel")

# Run before everything else: what is not allowed is not there, as in an environment without it.
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def closure(packages: tuple[str, ...]) -> set[str]:
    """The packages and all that they require, by their canonical names."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            lines = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:  # on another platform
            continue
        waiting += [line.name for line in lines if line.marker is None or line.marker.evaluate({"extra": ""})]
    return found


def blocked() -> set[str]:
    """All that can be imported here and belongs to no package that is needed, the present one aside."""
    allowed = closure(NEEDED)
    return {
        module
        for module, owners in packages_distributions().items()
        if module != "tutorial_utils" and not {canonicalize_name(owner) for owner in owners} & allowed
    }


def run(code: str, *path: Path) -> str:
    lines = [BLOCKER.format(blocked=blocked()), *(f"sys.path.insert(0, {str(folder)!r})" for folder in path), code]
    return subprocess.check_output([sys.executable, "-c", "\n".join(lines)], text=True, stderr=subprocess.STDOUT)


def test_the_blocker_blocks() -> None:
    assert {"matplotlib", "sklearn", "tqdm", "IPython", "pytest"} <= blocked()
    code = "try:\n    import matplotlib\nexcept ModuleNotFoundError as error: print(error.name)"
    assert run(code) == "matplotlib\n"


@pytest.mark.slow
def test_looking_at_a_model_needs_four_packages() -> None:
    assert run(f"import {', '.join(f'tutorial_utils.{name}' for name in MODULES)}; print('fine')") == "fine\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: a build leaves folders behind."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    code = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (found,) = source.glob("*.whl")
    return found


TRY = """
import json, torch, tutorial_utils
from tutorial_utils.audit import audit, main
from tutorial_utils.diagnose import diagnose
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.ReLU(), torch.nn.Linear(30, 5))
print(tutorial_utils.__file__)
print(list(audit(model).scheme))
print(type(diagnose(model, torch.randn(40, 20), torch.sum)).__name__)
print(main(["torch.nn:PReLU"]))
"""


@pytest.mark.slow
def test_the_wheel_works_without_what_the_book_needs(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:  # all that installing a wheel of pure Python does
        archive.extractall(installed)
    lines = run(TRY, installed).splitlines()
    assert lines[0].startswith(str(installed)) and lines[1] == "['default', 'default', 'default', 'default']"
    assert lines[2] == "Diagnosis" and lines[-1] == "0"


def test_the_wheel_asks_for_four_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    wanted = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    unconditional = {one.name: str(one.specifier) for one in wanted if one.marker is None}
    assert set(unconditional) == set(NEEDED) and unconditional["torch"] == ">=2.6"

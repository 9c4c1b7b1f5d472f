"""The shape of the package: arrows point down, drawing stays out of measuring, everything public explains itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tutorial_utils

PACKAGE = Path(tutorial_utils.__file__).parent
# From the bottom up; a module may import those on lower levels only.
LEVELS = [
    {
        "data",
        "gains",
        "normalization",
        "stats",
        "schemes",
        "shapeset",
        "checkpoint",
        "optimizers",
        "command",
        "sentinel",
    },
    {"initializers", "networks", "recognize"},
    {"propagation", "training", "runs", "stack", "anatomy"},
    {"audit", "coordinate_check"},
    {"plotting", "diagnose", "defaults", "sweep", "laboratory"},
    {"claims", "exercises", "explore"},
    {"grading"},
]
DRAWING = {"plotting", "explore"}
MODULES = sorted(
    {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")} - {"__init__"}
)


def source(module: str) -> str:
    """The text of a module, or of all files of one that is a folder."""
    paths = sorted((PACKAGE / module).glob("*.py")) or [PACKAGE / f"{module}.py"]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def imported_modules(source: str) -> set[str]:
    """The modules of this package that a source text imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return {name.split(".")[1] for name in names if name.startswith("tutorial_utils.")} & set(MODULES)


def level(module: str) -> int:
    return next(number for number, members in enumerate(LEVELS) if module in members)


def test_every_module_has_a_level() -> None:
    assert sorted(set.union(*LEVELS)) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_down(module: str) -> None:
    upward = [name for name in imported_modules(source(module)) - {module} if level(name) >= level(module)]
    assert not upward, f"{module} imports {upward}, which is not below it"


def test_the_reader_of_imports_sees_every_form() -> None:
    inside = "def f():\n    from tutorial_utils.plotting import color"
    forms = f"import tutorial_utils.data\nfrom tutorial_utils import gains\n{inside}"
    assert imported_modules(forms) == {"data", "gains", "plotting"}


def test_measuring_needs_no_drawing() -> None:
    imports = ", ".join(f"tutorial_utils.{name}" for name in MODULES if name not in DRAWING)
    code = f"import sys, {imports}; print({{'matplotlib', 'ipywidgets', 'IPython'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize("module", [name for name in MODULES if name not in DRAWING])
def test_every_module_that_computes_shows_an_example(module: str) -> None:
    assert ">>>" in source(module)


def test_every_module_has_its_page_of_the_reference() -> None:
    pages = {path.stem for path in (PACKAGE.parents[1] / "book" / "api").glob("*.md")} - {"index"}
    assert pages == set(MODULES)


def public_functions() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{module}.{node.name}", node)
        for module in sorted(set(MODULES) - {"claims", "exercises"})  # these make streams: one a seed, one an answer
        for node in ast.parse(source(module)).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize(("name", "node"), public_functions(), ids=[name for name, _ in public_functions()])
def test_randomness_comes_from_a_keyword_only_generator(name: str, node: ast.FunctionDef) -> None:
    called = {call.func.attr for call in ast.walk(node) if isinstance(call, ast.Call) if hasattr(call.func, "attr")}
    assert not called & {"manual_seed", "seed", "Generator"}
    assert "generator" not in [argument.arg for argument in node.args.args]

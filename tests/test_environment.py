"""Binder's environment and the lock say the same as pyproject.toml."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repo2docker.app import Repo2Docker
from repo2docker.buildpacks import CondaBuildPack

import setup

ROOT = setup.ROOT
LOCK = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line[0] not in "# "]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DEPENDENCIES = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]


@pytest.fixture
def binder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The build pack that repo2docker chooses for this project."""
    monkeypatch.chdir(ROOT)
    app = Repo2Docker()
    packs = (pack(app.base_image) for pack in app.buildpacks)
    yield next(pack for pack in packs if pack.detect())


def pip_lines(binder: Any) -> list[str]:
    (section,) = [item["pip"] for item in binder.environment_yaml["dependencies"] if isinstance(item, dict)]
    return list(section)


def versions(package: str) -> list[str]:
    """The locked versions of `package`: one, or one for each marker."""
    name = canonicalize_name(package)
    return [str(pin.specifier).removeprefix("==") for pin in LOCK if canonicalize_name(pin.name) == name]


def test_binder_reads_environment_yml(binder: Any) -> None:
    assert isinstance(binder, CondaBuildPack)
    assert Path(binder.binder_path("environment.yml")) == Path("environment.yml")
    assert binder.python_version == "3.11"


def test_nothing_overrides_environment_yml() -> None:
    assert [name for name in ("binder", ".binder", "Dockerfile") if (ROOT / name).exists()] == []


def test_binder_copies_the_project_before_it_installs(binder: Any) -> None:
    assert not binder._should_preassemble_env  # -e . and the constraints are in the project


def test_binder_installs_the_locked_torch_from_the_cpu_index(binder: Any) -> None:
    assert f"--extra-index-url {setup.CPU_INDEX}" in pip_lines(binder)
    assert [f"torch=={version}+cpu" for version in versions("torch")] == [
        line for line in pip_lines(binder) if line.startswith("torch")
    ]


def test_binder_keeps_to_the_lock_and_installs_extras_that_exist(binder: Any) -> None:
    assert "--constraint requirements.lock" in pip_lines(binder)
    (project,) = [line for line in pip_lines(binder) if line.startswith("-e ")]
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", project)
    assert extras and set(extras[1].split(",")) <= set(EXTRAS) and "chapters" in extras[1]


@pytest.mark.parametrize("dependency", DEPENDENCIES)
def test_the_lock_meets_every_dependency(dependency: str) -> None:
    wanted = Requirement(dependency)
    locked = versions(wanted.name)
    assert locked, f"{wanted.name} is not in requirements.lock; run: make lock"
    assert [version for version in locked if version not in wanted.specifier] == []


def test_the_package_takes_any_recent_torch_and_the_chapters_one() -> None:
    (package,) = [Requirement(line) for line in PROJECT["dependencies"] if line.startswith("torch")]
    (chapters,) = [Requirement(line) for line in EXTRAS["chapters"] if line.startswith("torch")]
    assert {part.operator for part in package.specifier} == {">="}
    assert {part.operator for part in chapters.specifier} == {">=", "<"}


def test_the_lock_pins_exactly() -> None:
    assert [str(pin) for pin in LOCK if [part.operator for part in pin.specifier] != ["=="]] == []


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_says_what_it_is_for(extra: str) -> None:
    assert re.search(rf"^# .+\n{extra} = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_versions_of_the_project_agree() -> None:
    assert f"version: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_contributing_says_of_every_tool_why_it_is_ours() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Tools, and why they are ours")[2]
    tools = {path.name for folder in ("tools", "book/_ext") for path in (ROOT / folder).glob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", table)) == tools

"""The same explorer in JupyterLab: with a kernel Python is asked for what the page does not hold."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from explorer_moves import spot
from explorer_reading import READ, frame_problems
from playwright.sync_api import Browser, Locator, Page, expect

PATIENCE = 60  # seconds for anything that a busy computer may take long to do
MEASURE = """
import pandas as pd
from ipywidgets import interact
from tutorial_utils.explore import Choice, Explorer, Lines, Slider

def decay(start, rate):
    if rate == 0.9:
        raise ValueError("rate = 0.9 is refused")
    return pd.DataFrame({"step": range(8), "loss": [start * rate**k for k in range(8)]})

explorer = Explorer(decay, name="decay", controls=[Choice("start", [1, 2]), Slider("rate", [0.25, 0.5, 0.75])],
                    charts=[Lines(x="step", y="loss", y_limits=(0, 2))], start={"rate": 0.5},
                    say=lambda rows, start, rate: f"From {start} by {rate:.4g} to {rows.loss.iloc[-1]:.3g}")
"""
CELLS = [
    MEASURE.strip(),
    "explorer",
    '_ = interact(lambda start: print(f"It was run with {start}"), start=[1, 2])',
]


def notebook(path: Path, outputs: list[Any] | None = None) -> None:
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nb.cells[1].outputs = outputs or []
    nbformat.write(nb, path)


def python_side() -> Any:
    """The explorer of the notebook, made here."""
    names: dict[str, Any] = {}
    exec(MEASURE, names)
    return names["explorer"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"JupyterLab did not start:\n{log.read_text('utf-8')}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab of our own, with settings of its own, that asks nobody for news."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "settings").mkdir()
    quiet = {"@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"}}
    (folder / "settings" / "overrides.json").write_text(json.dumps(quiet))
    notebook(folder / "run.ipynb")
    page = {"text/html": python_side().html(), "text/plain": "<explorer decay>"}
    notebook(folder / "stored.ipynb", [nbformat.v4.new_output("execute_result", page, execution_count=1)])
    token, port, log = secrets.token_hex(16), free_port(), folder / "lab.log"
    options = {
        **{"ServerApp.root_dir": folder, "ServerApp.ip": "127.0.0.1", "ServerApp.port": port},
        **{"ServerApp.port_retries": 0, "ServerApp.open_browser": False, "ServerApp.allow_root": True},
        **{
            "IdentityProvider.token": token,
            "LabApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
        },
        **{"LabApp.app_settings_dir": folder / "settings", "LabApp.user_settings_dir": folder / "user"},
        **{
            "LabApp.workspaces_dir": folder / "workspaces",
            "LabApp.news_url": "",
            "FileCheckpoints.checkpoint_dir": folder / "old",
        },
    }
    places = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with log.open("wb") as output:
        environment = os.environ | places | {"IPYTHONDIR": str(folder / "ipython"), "OMP_NUM_THREADS": "1"}
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        wait_for(f"http://127.0.0.1:{port}/api?token={token}", server, log)
        yield f"http://127.0.0.1:{port}/doc/tree/{{}}?token={token}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.fixture(scope="module")
def opened(chromium: Browser, lab: str) -> Iterator[Page]:
    """The notebook, run from top to bottom."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(lab.format("run.ipynb"))
    page.locator(".jp-Notebook .jp-Cell").nth(len(CELLS) - 1).wait_for()
    page.wait_for_function("jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".explorer svg[role=img]").wait_for()
    yield page
    context.close()


@pytest.fixture
def explorer(opened: Page) -> Locator:
    return opened.locator(".jp-OutputArea .explorer")


def wait_until_it_says(explorer: Locator, words: str) -> None:
    expect(explorer.get_by_role("status")).to_have_text(words, timeout=PATIENCE * 1000)


def problems(explorer: Locator, **state: Any) -> list[str]:
    here = python_side()
    frame = json.loads(json.dumps(here.frame(state)))
    wait_until_it_says(explorer, frame["say"])
    shown = [str(state["start"]), f"{state['rate']:g}"]
    return frame_problems(json.loads(json.dumps(here.data())), frame, shown, explorer.evaluate(READ))


def test_it_starts_where_it_was_told_to(explorer: Locator) -> None:
    assert problems(explorer, start=1, rate=0.5) == []


def test_between_the_stops_python_is_asked(explorer: Locator) -> None:
    slider, mouse = explorer.locator("input"), explorer.page.mouse
    mouse.move(*spot(slider, 1))
    mouse.down()
    mouse.move(*spot(slider, 1.5), steps=5)
    mouse.up()
    value = float(slider.get_attribute("aria-valuetext") or "nan")
    assert 0.5 < value < 0.75
    assert problems(explorer, start=1, rate=value) == []
    explorer.locator("select").select_option(index=1)
    assert problems(explorer, start=2, rate=value) == []
    explorer.locator("select").select_option(index=0)


def test_arrow_keys_move_the_control_and_not_the_cell(explorer: Locator) -> None:
    slider = explorer.locator("input")
    active = (
        "[...document.querySelectorAll('.jp-Notebook .jp-Cell')].findIndex((cell) => cell.matches('.jp-mod-active'))"
    )
    slider.evaluate("(element) => { element.value = 0; element.dispatchEvent(new Event('input')); }")
    slider.focus()
    before = explorer.page.evaluate(active)
    for key, rate in [("ArrowRight", 0.5), ("ArrowUp", 0.75), ("ArrowLeft", 0.5), ("ArrowDown", 0.25), ("End", 0.75)]:
        slider.press(key)
        assert problems(explorer, start=1, rate=rate) == []
    slider.press("Shift+ArrowLeft")
    value = float(slider.get_attribute("aria-valuetext") or "nan")
    assert value not in (0.25, 0.5, 0.75) and problems(explorer, start=1, rate=value) == []
    assert explorer.page.evaluate(active) == before
    assert slider.evaluate("(element) => element === document.activeElement")


def test_the_address_of_the_notebook_stays(explorer: Locator) -> None:
    explorer.locator("input").press("Home")
    assert problems(explorer, start=1, rate=0.25) == []
    explorer.page.wait_for_timeout(400)
    assert "#" not in explorer.page.url


def test_interact_runs_again(opened: Page) -> None:
    choice = opened.locator(".jp-OutputArea .widget-dropdown select")
    expect(opened.get_by_text("It was run with 1")).to_be_visible(timeout=PATIENCE * 1000)
    choice.select_option(label="2")
    expect(opened.get_by_text("It was run with 2")).to_be_visible(timeout=PATIENCE * 1000)
    expect(opened.get_by_text("It was run with 1")).to_have_count(0)


def test_a_notebook_that_was_not_run_shows_the_table(opened: Page) -> None:
    opened.evaluate("jupyterapp.commands.execute('docmanager:open', { path: 'stored.ipynb' })")
    caption = opened.locator(".jp-OutputArea caption")
    expect(caption).to_have_text("From 1 by 0.5 to 0.00781", timeout=PATIENCE * 1000)
    stored = opened.locator(".jp-NotebookPanel:visible .jp-OutputArea-output").first.inner_text()
    assert "0.00781" in stored and "columns" not in stored

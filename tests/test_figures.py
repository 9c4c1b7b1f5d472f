"""The schematics of the chapters: one style, small files, colors that mean what they mean in the figures."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from figures import LEGIBLE, STATED, shrink, sized
from icons import used
from PIL import Image

import pictures
from notebooks import ROOT
from tutorial_utils import plotting, schemes

DRAWINGS = sorted((ROOT / "book" / "assets" / "schematics").glob("*.svg"))
STYLE = re.compile(r"<style>(.*?)</style>", re.S)


def style(path: Path) -> str:
    return STYLE.findall(path.read_text("utf-8"))[0]


def test_all_have_the_same_style() -> None:
    assert len({style(path) for path in DRAWINGS}) == 1


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_is_small_has_a_title_and_states_its_size(path: Path) -> None:
    assert path.stat().st_size < 6000
    root = ElementTree.parse(path).getroot()
    assert root[0].tag.endswith("title") and root[0].text
    width, height = (int(root.attrib[name]) for name in ("width", "height"))
    wide, high = map(int, root.attrib["viewBox"].split()[2:])
    assert STATED.search(path.read_text("utf-8")) and height == pytest.approx(width * high / wide, abs=1)


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_takes_colors_and_text_from_the_style_alone(path: Path) -> None:
    root = ElementTree.parse(path).getroot()
    given = {name for node in root.iter() for name in node.attrib}
    assert not given & {"style", "fill", "stroke", "font-size", "color"}
    named = {name for node in root.iter() for name in node.attrib.get("class", "").split()}
    assert named <= set(re.findall(r"\.([a-z]+)\b", style(path)))


def test_every_drawing_is_shown_on_a_page() -> None:
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "book").rglob("*.md"))
    assert not [path.name for path in DRAWINGS if f"schematics/{path.name}" not in pages]


def test_colors_mean_what_they_mean_in_the_figures() -> None:
    light = dict(re.findall(r"\.(\w+)\{color:(#\w+)\}", style(DRAWINGS[0]).partition("@media")[0]))
    known = {name: plotting.color(name).lower() for name in ("batch", "layer", "running", "relu")}
    known |= {"blue": schemes.BLUE.lower(), "red": schemes.VERMILION.lower()}
    assert {name: light[name] for name in known} == known


def test_a_page_gets_the_size_of_its_figures(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("one.svg", "two.png")}
    files["one.svg"].write_text('<svg viewBox="0 0 480 200" width="600" height="250">')
    Image.new("RGB", (30, 20)).save(files["two.png"])
    page = '<p><img alt="A and B" src="../_images/one.svg" /></p><img src="../_images/two.png"><img src="other.svg" />'
    wanted = page.replace('alt="A', 'loading="lazy" width="600" height="250" alt="A')
    phone = f'style="--legible: {LEGIBLE * 30:.0f}px"'  # a drawing of lines is legible at the width of a phone
    wanted = wanted.replace('src="../_images/two', f'loading="lazy" width="30" height="20" {phone} src="../_images/two')
    assert sized(page, files) == wanted


def test_a_picture_becomes_smaller_and_looks_the_same(tmp_path: Path) -> None:
    path = tmp_path / "overview.png"
    path.write_bytes((ROOT / "book" / "assets" / "overview.png").read_bytes())
    before = path.read_bytes()
    shrink(path)
    after = path.read_bytes()
    assert len(after) < 0.6 * len(before)
    assert pictures.distance(*(base64.b64encode(data).decode() for data in (before, after))) <= pictures.TOLERANCE


def test_an_icon_is_kept_if_a_page_names_it_or_a_style_draws_it() -> None:
    style = (
        r'.fa-sun:before,.fa-day:before{content:"\f185"}.fa-moon:before{content:"\f186"}.tip::after{--sign: "\f128"}'
    )
    assert set(used({"sun"}, style)) == {0xF185, 0xF128}

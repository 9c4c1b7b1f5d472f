import base64

import pytest

import overview
import pictures


@pytest.mark.slow
@pytest.mark.parametrize("name", overview.PICTURES)
def test_the_pictures_outside_the_chapters_are_what_the_package_draws(name: str) -> None:
    stored, fresh = (overview.ASSETS / name).read_bytes(), overview.draw(name)
    difference = pictures.distance(base64.b64encode(stored).decode(), base64.b64encode(fresh).decode())
    assert difference <= pictures.TOLERANCE, "mend with: python tools/overview.py"

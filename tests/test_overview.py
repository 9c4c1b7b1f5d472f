import base64

import pytest

import overview
import pictures


@pytest.mark.slow
def test_the_picture_of_the_readme_is_what_the_package_draws() -> None:
    stored, fresh = overview.PICTURE.read_bytes(), overview.draw()
    difference = pictures.distance(base64.b64encode(stored).decode(), base64.b64encode(fresh).decode())
    assert difference <= pictures.TOLERANCE, "mend with: python tools/overview.py"

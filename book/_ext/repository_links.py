"""Repository, Binder and Colab buttons, computed from the one setting in ``pyproject.toml``.

Until ``[project.urls] Repository`` is set there is no button at all rather than a broken one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

sys.path.append(str(Path(__file__).parents[2] / "tools"))

import links


def theme_options(repository: str | None) -> dict[str, Any]:
    """Return the theme's options for a repository, or for none: Jupyter Book's default is its own."""
    if repository is None:
        return {"repository_url": "", "launch_buttons": {}}
    return {
        "repository_url": repository,
        "repository_branch": links.BRANCH,
        "path_to_docs": "book",
        "use_repository_button": True,
        "use_issues_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }


def _set_options(app: Sphinx, config: Config) -> None:
    config.html_theme_options.update(theme_options(links.repository()))


def setup(app: Sphinx) -> dict[str, bool]:
    """Set the options before the theme reads them."""
    app.connect("config-inited", _set_options, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

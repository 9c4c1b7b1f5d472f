"""tools/website.py: what it builds is whole, or it is not there."""

import threading
import urllib.request

import pytest

import website


@pytest.fixture
def project(tmp_path):
    """A project with a book of one page, in a folder with spaces in its name."""
    root = tmp_path / "a project"
    for name in (
        "src/tutorial_utils/code.py",
        "tools/links.py",
        "tools/website.py",
        "pyproject.toml",
        "requirements.lock",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    (root / "book").mkdir()
    (root / "book" / "_config.yml").write_text("title: Small\nexecute: {execute_notebooks: 'off'}\n")
    (root / "book" / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    (root / "book" / "intro.md").write_text("# First\n")
    return root


def test_build_again_and_break(project, capsys):
    page = website.site(project) / "intro.html"
    assert website.build(project) == 0
    assert "Open file:///" in capsys.readouterr().out and "First" in page.read_text("utf-8")

    built = page.stat().st_mtime_ns
    assert website.build(project) == 0 and page.stat().st_mtime_ns == built, "nothing changed, so nothing is built"
    capsys.readouterr()

    (project / "book" / "intro.md").write_text("# Second\n\n{ref}`nowhere`\n")
    for _ in range(2):  # a warning must not be forgotten by the second attempt
        assert website.build(project) == 1
        captured = capsys.readouterr()
        assert "undefined label: 'nowhere'" in captured.err and "out of date" in captured.err and not captured.out
        assert "First" in page.read_text("utf-8") and not website.is_current(project)
    assert [path.name for path in page.parents[1].iterdir()] == ["html"], "no draft is left behind"


def test_a_failed_first_build_leaves_no_site(project, capsys):
    (project / "book" / "intro.md").write_text("# First\n\n{ref}`nowhere`\n")
    assert website.build(project) == 1
    assert not website.site(project).exists()


@pytest.mark.parametrize("name", ["src/tutorial_utils/code.py", "book/_ext/new.py", "requirements.lock"])
def test_every_input_counts(project, name):
    before = website.digest(project)
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("changed")
    assert website.digest(project) != before


def test_what_is_built_does_not_count(project):
    before = website.digest(project)
    (project / "book" / "_build").mkdir()
    (project / "book" / "_build" / "x.html").write_text("x")
    assert website.digest(project) == before


def test_serve_without_a_site(project, capsys):
    assert website.serve(0, project) == 1
    assert "make book" in capsys.readouterr().err


def test_serve(project, capsys, monkeypatch):
    website.site(project).mkdir(parents=True)
    (website.site(project) / "index.html").write_text("hello")

    class Once(website.ThreadingHTTPServer):
        def serve_forever(self):
            thread = threading.Thread(target=super().serve_forever)
            thread.start()
            with urllib.request.urlopen(f"http://127.0.0.1:{self.server_port}/") as answer:
                assert answer.read() == b"hello"
            self.shutdown()
            thread.join()

    monkeypatch.setattr(website, "ThreadingHTTPServer", Once)
    assert website.serve(0, project) == 0
    assert "Open http://127.0.0.1:" in capsys.readouterr().out


def test_serve_on_a_port_in_use(project, capsys):
    website.site(project).mkdir(parents=True)
    (website.site(project) / "index.html").write_text("hello")
    with website.ThreadingHTTPServer(("127.0.0.1", 0), website.SimpleHTTPRequestHandler) as taken:
        assert website.serve(taken.server_port, project) == 1
    assert "cannot be used" in capsys.readouterr().err

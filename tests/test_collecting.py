"""What came in is given to whom it is from: folders, archives, the downloads of learning platforms, a roster."""

import io
import os
import shutil
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest

import course
from tutorial_utils.grading import cli, collecting, inbox, roster

pytestmark = pytest.mark.slow


@pytest.fixture
def in_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty course folder, which is the current one."""
    folder = tmp_path / "my course"
    course.make(folder, [])
    monkeypatch.chdir(folder)
    return folder


UNKNOWN = 315_700_000
"""Seconds: what a zip says that knows no time."""


def place(path: Path, text: str = "{}", when: float = UNKNOWN) -> None:
    """A file, of a time if one is given; without one, nobody can say when it was handed in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))


def collected() -> dict[str, str]:
    """What was collected, by student."""
    return {path.parts[1]: path.read_text() for path in Path("submitted").glob("*/ps1/ps1.ipynb")}


# --- folders and archives -----------------------------------------------------------------------------


def test_every_way_of_handing_in_is_collected(in_course: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    place(inbox / "ada" / "ps1.ipynb", "ada")
    place(inbox / "ada" / ".ipynb_checkpoints" / "ps1-checkpoint.ipynb")
    place(inbox / "ada" / "other.ipynb")
    place(inbox / "bob" / "deep" / "ps1 (2).ipynb", "bob")
    place(inbox / "Carl Gauss.ipynb", "carl")
    place(inbox / "dora" / "a.ipynb")
    place(inbox / "dora" / "b.ipynb")
    place(inbox / "emmy" / "notes.txt")
    lines = collecting.collect("ps1", inbox)
    assert collected() == {"ada": "ada", "bob": "bob", "Carl_Gauss": "carl", "dora": "", "emmy": ""}
    assert lines == [
        "Carl_Gauss: the name was 'Carl Gauss'",
        "ada: 2 notebooks, of which ps1.ipynb was taken",
        "bob: the file was called ps1 (2).ipynb",
        "dora: 2 notebooks, none of them called ps1.ipynb",
        "emmy: no notebook",
    ]


def test_a_class_packed_one_folder_too_deep_is_noticed(in_course: Path, tmp_path: Path) -> None:
    for name in ("ada", "bob"):
        place(tmp_path / "inbox" / "all" / name / "ps1.ipynb")
    assert collecting.collect("ps1", tmp_path / "inbox") == ["all: 2 notebooks, 2 of them called ps1.ipynb"]


def test_a_folder_and_a_notebook_of_one_name_are_one_student(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "ada.ipynb")
    place(tmp_path / "inbox" / "ada" / "ps1.ipynb", "in the folder")
    assert len(collecting.collect("ps1", tmp_path / "inbox")) == 1
    assert Path("submitted/ada/ps1/ps1.ipynb").read_text() == "in the folder"


def test_an_umlaut_is_one_letter_whatever_system_packed_it(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / unicodedata.normalize("NFD", "Zoë") / "ps1.ipynb")
    cli.collect("ps1", tmp_path / "inbox")
    assert [path.name for path in Path("submitted").iterdir()] == [unicodedata.normalize("NFC", "Zoë")]


def test_who_hands_in_again_replaces_the_file_and_its_time(in_course: Path, tmp_path: Path) -> None:
    place(Path("submitted/ada/ps1/ps1.ipynb"), "first")
    place(Path("submitted/ada/ps1/timestamp.txt"), "2026-01-01 10:00:00 UTC")
    place(tmp_path / "inbox" / "ada.ipynb", "second")
    assert collecting.collect("ps1", tmp_path / "inbox") == ["ada: an earlier file was replaced"]
    assert [path.read_text() for path in Path("submitted/ada/ps1").iterdir()] == ["second"]


def test_an_archive_is_collected(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "ada" / "ps1.ipynb", "ada")
    os.utime(tmp_path / "inbox" / "ada" / "ps1.ipynb", (946_684_800 + 86_400,) * 2)
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "inbox")
    assert collecting.collect("ps1", Path(archive)) == [
        "ada: collected; handed in 2000-01-02 00:00:00 UTC, the time of its entry in the archive"
    ]


def test_nothing_of_an_archive_lands_outside_and_the_rest_is_collected(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "ada" / "ps1.ipynb", "ada")
    (tmp_path / "inbox" / "out").symlink_to("/")
    archive = shutil.make_archive(str(tmp_path / "all"), "gztar", tmp_path / "inbox")
    assert collecting.collect("ps1", Path(archive)) == ["ada: collected", "'./out' is a link, and was left out"]


def test_links_lead_nowhere(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "secret.ipynb", "secret")
    (tmp_path / "inbox" / "eve").mkdir(parents=True)
    (tmp_path / "inbox" / "eve" / "ps1.ipynb").symlink_to(tmp_path / "secret.ipynb")
    (tmp_path / "inbox" / "mallory").symlink_to(tmp_path)
    assert collecting.collect("ps1", tmp_path / "inbox") == ["eve: no notebook"]
    assert Path("submitted/eve/ps1/ps1.ipynb").read_text() == ""


def test_two_students_never_become_one(in_course: Path, tmp_path: Path) -> None:
    for name in ("a b", "a_b", "A-b"):
        place(tmp_path / "inbox" / f"{name}.ipynb", name)
    cli.collect("ps1", tmp_path / "inbox")
    assert len(list(Path("submitted").glob("*/ps1/ps1.ipynb"))) == 3
    assert Path("submitted/a_b/ps1/ps1.ipynb").read_text() == "a_b"


# --- what is left out, and who is told ----------------------------------------------------------------


def pack(path: Path, entries: dict[str, str | tarfile.TarInfo]) -> Path:
    """A tar of texts, and of members that are no files."""
    with tarfile.open(path, "w") as tar:
        for name, content in entries.items():
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.name = name
            member.size = len(content) if isinstance(content, str) else 0
            tar.addfile(member, io.BytesIO(content.encode()) if isinstance(content, str) else None)
    return path


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../ada/ps1.ipynb", "nowhere"])
def test_a_member_that_is_no_file_costs_its_student_only(
    kind: bytes, target: str, in_course: Path, tmp_path: Path
) -> None:
    entries = {"ada/ps1.ipynb": "ada", "eve/ps1.ipynb": link(target, kind), "zoe/ps1.ipynb": "zoe"}
    lines = collecting.collect("ps1", pack(tmp_path / "all.tar", entries))
    assert collected() == {"ada": "ada", "eve": "", "zoe": "zoe"}
    assert lines[:3] == ["ada: collected", "eve: no notebook", "zoe: collected"]
    assert "'eve/ps1.ipynb' is a link" in lines[3]


@pytest.mark.parametrize("name", ["/ada.ipynb", "../ada.ipynb", "x/../../ada.ipynb", "C:/ada.ipynb", "..\\ada.ipynb"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_leads_out_is_left_out_and_named(kind: str, name: str, in_course: Path, tmp_path: Path) -> None:
    path = tmp_path / f"all.{kind}"
    if kind == "tar":
        pack(path, {name: "evil", "bob.ipynb": "bob"})
    else:
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.writestr(zipfile.ZipInfo(name), "evil")
            zipped.writestr("bob.ipynb", "bob")
    lines = collecting.collect("ps1", path)
    assert collected() == {"bob": "bob"}
    assert any("leads out of the archive" in line for line in lines)
    assert not list(tmp_path.glob("**/ada.ipynb"))


def test_a_students_own_archive_is_opened_and_a_broken_one_named(in_course: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    for who in ("ada", "bob"):
        place(folder / who / "note.txt")
    place(folder / "bob" / "work.zip", "PK no zip")
    with zipfile.ZipFile(folder / "ada" / "work.zip", "w") as zipped:
        zipped.writestr("deep/ps1.ipynb", "ada")
    lines = collecting.collect("ps1", folder)
    assert collected() == {"ada": "ada", "bob": ""}
    assert "bob: no notebook; work.zip could not be unpacked: File is not a zip file" in lines


# --- learning platforms -------------------------------------------------------------------------------

NAMES = {
    "Ada Lovelace_4711_assignsubmission_file_/ps1.ipynb": "ada",
    "Ada Lovelace_4711_assignsubmission_file/Any name.ipynb": "ada",
    "Ada Lovelace_4711_assignsubmission_file_ps1.ipynb": "ada",
    "Ada_Lovelace_4711_assignsubmission_file_/ps1.ipynb": "ada",
    "Participant_4711_assignsubmission_file_/ps1.ipynb": "ada",
    "lovelaceada_4711_98765_ps1.ipynb": "ada",
    "lovelaceada_LATE_4711_98765_ps1-2.ipynb": "ada",
    "somebody_4711_98765_ps1 (1).ipynb": "ada",
    "ADA.ipynb": "ada",
    "a.lovelace@uni.example.ipynb": "ada",
    "a.lovelace/ps1.ipynb": "ada",
    "Lovelace, Ada.ipynb": "ada",
    "Lovelace Ada/ps1.ipynb": "ada",
    "Zoë O'Neil_99_assignsubmission_file_/ps1.ipynb": "zoe7",
    "oneilzoe_99_1_ps1.ipynb": "zoe7",
    "Zoe ONeil.ipynb": "zoe7",
    "King de Noel_1_assignsubmission_file_/ps1.ipynb": "king",
    "denoelking_5_6_ps1.ipynb": "king",
}
ROSTER = """id;name;E-Mail;LMS
ada;Ada Lovelace;a.lovelace@uni.example;4711
zoe7;Zoë O'Neil;zoe@uni.example;99
king;King de Noel;;
"""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["folder", "zip", "gztar"])
def test_every_name_that_a_platform_gives_leads_to_its_student(
    name: str, kind: str, in_course: Path, tmp_path: Path
) -> None:
    place(Path("roster.csv"), ROSTER)
    place(tmp_path / "inbox" / name, "hers")
    packed = tmp_path / "inbox"
    if kind != "folder":
        packed = Path(shutil.make_archive(str(tmp_path / "all"), kind, tmp_path / "inbox"))
    lines = collecting.collect("ps1", packed)
    assert collected() == {NAMES[name]: "hers"}
    assert lines[-1].startswith("nothing came from ")


def test_a_folder_around_the_class_is_looked_into(in_course: Path, tmp_path: Path) -> None:
    place(Path("roster.csv"), ROSTER)
    place(tmp_path / "inbox" / "submissions" / "ada.ipynb", "hers")
    collecting.collect("ps1", tmp_path / "inbox")
    assert collected() == {"ada": "hers"}


def test_without_a_roster_a_platforms_name_is_the_id_and_namesakes_stay_apart(in_course: Path, tmp_path: Path) -> None:
    for name in (
        "Jane Doe_1_assignsubmission_file_",
        "Jane Doe_2_assignsubmission_file_",
        "Zoë Li_3_assignsubmission_file_",
    ):
        place(tmp_path / "inbox" / name / "ps1.ipynb", name[:10])
    collecting.collect("ps1", tmp_path / "inbox")
    assert collected() == {"Jane_Doe_1": "Jane Doe_1", "Jane_Doe_2": "Jane Doe_2", "Zoë_Li": "Zoë Li_3_a"}


ANONYMOUS = {
    "anon_x7Yq2_98765_ps1.ipynb": "anon_x7Yq2",
    "LATE_anon_B3nKd_98766_ps1-1.ipynb": "anon_B3nKd",
    "anonymous_12345_678_ps1.ipynb": "anonymous_12345",
    "Participant_55_assignsubmission_file_/ps1.ipynb": "Participant_55",
    "Participant_56_assignsubmission_file_ps1.ipynb": "Participant_56",
}


@pytest.mark.parametrize("people", ["", ROSTER], ids=["no roster", "a roster"])
def test_whose_name_a_platform_hides_is_a_student_of_its_own(people: str, in_course: Path, tmp_path: Path) -> None:
    if people:
        place(Path("roster.csv"), people)
    for name in ANONYMOUS:
        place(tmp_path / "inbox" / name, name)
    lines = collecting.collect("ps1", tmp_path / "inbox")
    assert collected() == {student: name for name, student in ANONYMOUS.items()}
    assert any(line.startswith("anon_B3nKd: ") and line.endswith("the platform says LATE") for line in lines)
    assert lines[-1] == "5 came without a name; each is a student of its own, such as Participant_55"


def test_a_hidden_name_leads_to_whom_the_roster_has_under_that_number(in_course: Path, tmp_path: Path) -> None:
    place(Path("roster.csv"), "id,lms\nada,x7Yq2\nbob,55\n")
    place(tmp_path / "inbox" / "anon_x7Yq2_98765_ps1.ipynb", "hers")
    place(tmp_path / "inbox" / "Participant_55_assignsubmission_file_" / "ps1.ipynb", "his")
    collecting.collect("ps1", tmp_path / "inbox")
    assert collected() == {"ada": "hers", "bob": "his"}


def test_two_files_of_one_student_are_one_submission(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "lovelaceada_4711_1_ps1.ipynb", "hers")
    place(tmp_path / "inbox" / "lovelaceada_4711_2_scratch.ipynb", "no")
    (line,) = collecting.collect("ps1", tmp_path / "inbox")
    assert collected() == {"lovelaceada": "hers"}
    assert "2 notebooks, of which lovelaceada_4711_1_ps1.ipynb was taken" in line


def test_what_is_nobodys_is_kept_and_named(in_course: Path, tmp_path: Path) -> None:
    place(Path("roster.csv"), ROSTER + "ada2;Lovelace Ada;;")
    for name in ("Lovelace Ada", "stranger", "ada"):
        place(tmp_path / "inbox" / f"{name}.ipynb", name)
    lines = collecting.collect("ps1", tmp_path / "inbox")
    assert collected() == {"ada": "ada"}
    assert any(line.startswith("NOT MATCHED: 'Lovelace Ada', it may be ada or ada2") for line in lines)
    assert any(line.startswith("NOT MATCHED: 'stranger', nobody in the roster") for line in lines)
    assert sorted(path.read_text() for path in Path("unmatched").rglob("*.ipynb")) == ["Lovelace Ada", "stranger"]
    assert lines[-1] == "nothing came from zoe7, king, ada2"


def test_patterns_of_ones_own(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "ps1-ada-final.ipynb", "hers")
    config = in_course / "nbgrader_config.py"
    config.write_text(config.read_text() + r"c.Collect.patterns = [r'ps1-(?P<name>\w+)-.*']")
    cli.collect("ps1", tmp_path / "inbox")
    assert collected() == {"ada": "hers"}


@pytest.mark.parametrize("pattern, words", [("(", "no regular expression"), ("a(?P<x>.)", "needs a group")])
def test_a_pattern_that_is_none_is_named(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        inbox.read_name("x.ipynb", [pattern])


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "must name the column id"),
        ("name,email\n", "its first line is 'name,email'; it must name the column id"),
        ("id\nada\nADA\n", "two students have the same id: ada"),
        ("id,lms\na,1\nb,1\n", "two students have the same lms: 1"),
        ("id,name\n,Ada\n", "line 2 has the id ''"),
        ("id\n../x\n", r"line 2 has the id '\.\./x'; allowed are"),
    ],
)
def test_a_roster_that_is_none_says_where(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        roster.parse(text)


def test_a_spreadsheets_roster_is_read(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("ID\tName\nada\tAda L\n\t\n", encoding="utf-8-sig")
    assert roster.read(tmp_path / "roster.csv").people == (roster.Person("ada", "Ada L"),)


# --- times --------------------------------------------------------------------------------------------

NOON = 1_800_000_000


def test_times_come_along_unless_they_are_those_of_packing(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "ada.ipynb", when=NOON)
    place(tmp_path / "inbox" / "bob.ipynb", when=NOON + 7200)
    collecting.collect("ps1", tmp_path / "inbox")
    assert Path("submitted/ada/ps1/timestamp.txt").read_text() == "2027-01-15 08:00:00 UTC"
    place(tmp_path / "inbox" / "bob.ipynb", when=NOON + 20)
    lines = collecting.collect("ps1", tmp_path / "inbox")
    assert "no time was noted" in lines[-1]
    assert not Path("submitted/ada/ps1/timestamp.txt").exists()


def test_late_is_said_and_stands_in_the_table(in_course: Path, tmp_path: Path) -> None:
    place(tmp_path / "inbox" / "lovelaceada_LATE_4711_98765_ps1.ipynb")
    (line,) = collecting.collect("ps1", tmp_path / "inbox")
    assert line.endswith("the platform says LATE")
    assert Path("collected.csv").read_text().splitlines()[1] == "ps1,lovelaceada,lovelaceada,4711,,,yes"

"""How nbgrader grades this course. Times and sizes may be changed; the rest keeps students' code from their grades."""

c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.CourseDirectory.course_id = "good-starts"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.ClearSolutions.text_stub = "*Your answer.*"

# Nothing that a student wrote is run by nbgrader itself: the notebook is put together anew from the one handed out,
# its code runs in a process apart, and the checks are made here.
c.Autograde.exporter_class = "tutorial_utils.grading.preprocessors.SubmissionExporter"
c.Autograde.sanitize_preprocessors = [
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "tutorial_utils.grading.preprocessors.GradeAnswers",
    "tutorial_utils.grading.preprocessors.SaveGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
# What students write into text cells is shown, on the feedback pages and in the formgrader, and no script of theirs
# runs in the browser of who reads it.
c.HTMLExporter.filters = {"markdown2html": "tutorial_utils.grading.preprocessors.safe_markdown"}

# Who meets a limit of cell or submission is not graded in what depends on it, and waits for you: set it higher and
# grade again, or give the points by hand.
c.GradeAnswers.cell_seconds = 60.0  # one cell
c.GradeAnswers.submission_seconds = 600.0  # all that a submission runs: its cells, then its functions in the checks
c.GradeAnswers.call_seconds = 30.0  # one call of a function in a check; more is wrong, in a notebook more than 10
c.GradeAnswers.memory_megabytes = 1024  # all processes of a submission together, beyond what Python and torch take

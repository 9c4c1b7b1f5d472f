"""How nbgrader grades this course. The second part is yours; the first keeps students' code from their grades."""

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
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
# What students write into text cells is shown, on the feedback pages and in the formgrader, and no script of theirs
# runs in the browser of who reads it.
c.HTMLExporter.filters = {"markdown2html": "tutorial_utils.grading.preprocessors.safe_markdown"}

# --- what you may change ------------------------------------------------------------------------------

# What being late costs, and when assignments are due. Without a date, nothing is taken off.
c.AssignLatePenalties.plugin_class = "tutorial_utils.grading.lateness.LatePenalty"
c.LatePenalty.due = {}  # for example {"10-batchnorm-training": "2027-05-01 23:59:59 UTC"}
c.LatePenalty.grace_minutes = 15.0
c.LatePenalty.percent_per_day = 10.0  # for each day begun
c.LatePenalty.floor_percent = 0.0  # of the points that stay, however late

# Who is in the course: a table with the columns id, name, email, lms. There need not be one.
c.Collect.roster = "roster.csv"
# How names of files are read: regular expressions with a group (?P<name>...), (?P<lms>...) or both, and (?P<late>...).
# c.Collect.patterns = [r"ps1-(?P<name>.+)-final"]  # in place of those for Moodle and Canvas

c.GradeAnswers.book_numbers_count = True  # whether student_id = None earns points where numbers are one's own
c.GradeAnswers.call_seconds = 10.0  # one call of a student's function
c.GradeAnswers.exercise_seconds = 60.0  # all calls of one exercise
c.GradeAnswers.cell_seconds = 60.0  # one cell
c.GradeAnswers.all_cells_seconds = 600.0  # all cells of a notebook; those for which there is no time left do not run
c.GradeAnswers.memory_megabytes = 1024  # beyond what Python and torch take

"""Grading that takes no student's word for it: their code runs apart, what it returns is judged here.

A submission's code runs in a process of its own (`worker`), fenced in as far as the system allows (`isolation`).
The grader holds stand-ins for the student's functions and classes (`sandbox`); a call crosses to the worker as plain
data and comes back as plain data (`wire`). `tutorial_utils.exercises.check` judges the stand-in as it would judge
the function itself, and nbgrader keeps the grades (`preprocessors`, `desk`).
"""

"""Grade notebooks without trusting the code they contain: it runs apart, and what it returns is judged here.

A submission's code runs in a process of its own (`worker`), which is forked from one that has everything loaded
(`nursery`, `process`) and fenced in as far as the system allows (`isolation`). The grader runs the cells there once, up
to each check (`session`, `dependence`), sends observers and inputs, and gets back tensors, numbers and texts
(`serialization`), which `tutorial_utils.exercises.check` judges as it does in a notebook. nbgrader keeps the grades
(`preprocessors`, `cli`).
"""

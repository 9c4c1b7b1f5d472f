"""The checker on exercises made up here: what it says of answers that are no known mistake, and what it survives."""

import itertools
import math
import signal
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from randomness import seeded
from torch import Tensor, nn

from tutorial_utils.exercises import EXERCISES, Result, check, checking, data, hints
from tutorial_utils.exercises import run as running
from tutorial_utils.exercises.checking import own_inputs, seed_of, try_function
from tutorial_utils.exercises.compare import Estimate, agree
from tutorial_utils.exercises.hints import show
from tutorial_utils.exercises.registry import Inputs, When, call, exercise
from tutorial_utils.exercises.run import Performance, Raised, TimeUp, Unsupported, perform, run, time_limit, to_data
from tutorial_utils.exercises.toolbox import in_place, moments, normal, sizes, tensor, without


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    before = dict(EXERCISES)
    yield
    EXERCISES.clear()
    EXERCISES.update(before)


def matrix(*, generator: torch.Generator) -> Inputs:
    rows, columns = sizes(2, 3, 6, generator=generator)
    return (normal(rows, columns, generator=generator, mean=3),)


def says(answer: Any, reference: Callable[..., Any], **options: Any) -> str:
    """What the checker says of an answer to an exercise about a matrix."""
    EXERCISES.pop("made-up", None)
    exercise("made-up", **{"inputs": matrix} | options)(reference)
    return " ".join(check("made-up", answer, generator=seeded()).hint.split())


def means(x: Tensor) -> Tensor:
    return x.mean(0)


# --- what is said -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda x: 3.5 * means(x), "everywhere 3.5 times what it should be"),
        (lambda x: means(x) * len(x), "a size of your input"),
        (lambda x: means(x) / len(x) ** 0.5, "which is 1/√"),
        (lambda x: means(x) * len(x) / (len(x) - 1), "which is"),
        (lambda x: -means(x), "so the sign is wrong"),
        (lambda x: means(x) * 0, "is all zero"),
        (lambda x: means(x) + 7, "everywhere 7 too large"),
        (lambda x: means(x) - 0.5, "everywhere 0.5 too small"),
        (lambda x: x.mean(1), "it should have shape"),
        (lambda x: means(x)[:1], "has shape (1,); it should have shape"),
        (lambda x: means(x).sum(), "too many or too few dimensions"),
        (lambda x: means(x).tolist(), "Right"),
        (lambda x: means(x).numpy(), "Right"),
        (lambda x: means(x).to(torch.complex128), "complex tensor"),
        (lambda x: means(x) / 0, "infinite"),
        (lambda x: means(x) * math.nan, "NaN"),
        (lambda x: torch.cat([x[:1, 0], means(x)[1:]]), "is wrong in 1 of"),
        (lambda x: (means(x), means(x)), "returned 2 things; the exercise asks for one"),
        (lambda x: means(x) if x.dtype == torch.float64 else x[0], "On 3 of 6 inputs it is right"),
        (lambda x: means(x.float()).double(), "Right"),
        (lambda x: means(x.bfloat16()), "Right: as expected on every random input. One remark"),
        (lambda x: means(x).float(), "float32 for inputs of float64"),
        (lambda x: x.mul_(1).sub_(1).add_(1).mean(0).add(x.zero_().sum()), "changes its input `x`"),
        (lambda x, y: x, "cannot be called as the exercise does"),
        (lambda x: print, "of type builtin_function_or_method"),
    ],
)
def test_what_is_wrong_is_said(answer: Callable[..., Any], sentence: str) -> None:
    assert sentence in says(answer, means), says(answer, means)


@pytest.mark.parametrize(
    ("form", "passes"),
    [
        (Tensor.tolist, True),
        (tuple, True),
        (Tensor.numpy, True),
        (lambda v: [float(one) for one in v.numpy()], True),
        (lambda v: list(v.numpy()), True),
        (lambda v: [str(one) for one in v.tolist()], False),
        (lambda v: v.tolist()[:-1], False),
        (lambda v: v.numpy().astype(object), True),
        (lambda v: [*v.tolist()[:-1], None], False),
    ],
)
def test_a_vector_may_come_as_a_list_or_an_array(form: Callable[[Tensor], Any], passes: bool) -> None:
    assert says(lambda x: form(means(x)), means).startswith("Right" if passes else "Not yet")
    two = {"parts": ("mean", "number")}
    given = says(lambda x: (form(means(x)), np.float32(4)), lambda x: (means(x), 4.0), **two)
    assert given.startswith("Right" if passes else "Not yet")


def test_several_parts_may_come_as_the_rows_of_one_tensor() -> None:
    def reference(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean(0), x.var(0)

    for form in (torch.stack, lambda parts: np.stack([part.numpy() for part in parts])):
        assert says(lambda x, form=form: form(reference(x)), reference, parts=("mean", "variance")).startswith("Right")


def test_a_list_that_holds_itself_is_no_vector() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert says(lambda x: endless, means).startswith("Not yet")


@pytest.mark.parametrize("right", [True, np.True_, torch.tensor(True)])
def test_a_truth_value_may_be_numpys_or_torchs(right: Any) -> None:
    assert says(lambda x: right, lambda x: True).startswith("Right")
    assert not says(lambda x: right, lambda x: False).startswith("Right")


def test_parts_in_another_order_are_recognized() -> None:
    text = says(lambda x: (x.var(0), x.mean(0)), lambda x: (x.mean(0), x.var(0)), parts=("mean", "variance"))
    assert "in the wrong order: the exercise asks for mean and variance" in text


def test_a_vector_in_place_of_a_number_is_named() -> None:
    assert "has shape (3,); the exercise asks for one number" in says(lambda x: torch.ones(3), lambda x: 2.0)


def test_a_parameter_changed_with_its_gradient_on_is_explained() -> None:
    def answer(x: Tensor) -> Tensor:
        return x.clone().detach().requires_grad_().mul_(2)

    assert "under `torch.no_grad()`" in says(answer, lambda x: 2 * x)


def test_shapes_that_do_not_go_together_are_explained() -> None:
    assert "aligned at their last dimension" in says(lambda x: torch.ones(2) + torch.ones(2, 3), lambda x: 2 * x)


def test_two_numbers_that_are_nearly_alike_are_told_apart() -> None:
    one = torch.ones(1, 2)
    said = says(
        lambda x: 1 + 1e-4 * one.double(), lambda x: torch.tensor([[1.0, 1.0002]], dtype=torch.float64), rtol32=None
    )
    assert "it is 1.0001 instead of 1." in said and "everywhere" not in said
    assert "1 times" not in says(lambda x: x * (1 + 3e-5), lambda x: x)


def test_a_ratio_is_explained_only_if_all_inputs_have_the_same_reason() -> None:
    def by_chance(x: Tensor) -> Tensor:
        return means(x) * 0.5**0.5 if len(x) == 3 else means(x) * 1.1

    assert ", which is" not in says(by_chance, means)
    assert ", which is" not in says(lambda x: means(x) * 5**0.5, means)
    assert ", which is √2." in says(lambda x: means(x) * 2**0.5, means)
    assert ", which is" not in says(lambda x: means(x) * 2**0.5, means, cases=1)
    assert "everywhere 2 times what it should be." in says(lambda x: means(x) * 2, means)


def test_the_transpose_is_recognized() -> None:
    assert "the transpose of what it should be" in says(lambda x: (x / 2).T, lambda x: x / 2)


def test_input_result_and_expectation_are_shown() -> None:
    text = says(lambda x: 2 * means(x), means)
    assert "your input x = [[" in text and "came out [" in text and "expected [" in text


def test_the_line_of_the_reader_is_shown() -> None:
    def answer(x: Tensor) -> Tensor:
        middle = x.mean(5)
        return middle

    assert "in your line `middle = x.mean(5)`" in says(answer, means)


def test_the_parts_that_are_right_are_named() -> None:
    text = says(lambda x: (x.mean(0), 2 * x.var(0)), lambda x: (x.mean(0), x.var(0)), parts=("mean", "variance"))
    assert "`variance` is everywhere 2 times" in text and "Right on this input: mean" in text


def test_a_missing_part_is_named() -> None:
    text = says(lambda x: x.mean(0), lambda x: (x.mean(0), x.var(0)), parts=("mean", "variance"))
    assert "returned a single Tensor; the exercise asks for 2: mean and variance" in text


def test_a_random_draw_is_judged_by_its_moments() -> None:
    def draw(*, generator: torch.Generator) -> Inputs:
        return (generator,)

    def describe(sample: Tensor, generator: torch.Generator) -> dict[str, Estimate]:
        return moments(sample)

    options = {"inputs": draw, "describe": describe}

    def standard(g: torch.Generator) -> Tensor:
        return torch.randn(20_000, generator=g)

    assert says(lambda g: torch.randn(200, 100, generator=g), standard, **options).startswith("Right")
    assert "`variance` is" in says(lambda g: 2 * standard(g), standard, **options)
    assert "`mean` should be 0 up to chance" in says(lambda g: standard(g) + 1, standard, **options)
    assert "`kurtosis`" in says(lambda g: 12**0.5 * (torch.rand(20_000, generator=g) - 0.5), standard, **options)


def test_an_observer_that_gets_nothing_asks_for_a_return() -> None:
    raised = Raised("AttributeError", "'NoneType' object has no attribute 'detach'")
    assert hints.of_exception(raised) == hints.NO_RETURN
    assert "cannot be used: AttributeError" in hints.of_exception(Raised("AttributeError", "no 'detach'"))


# --- mistakes -----------------------------------------------------------------------------------------

TWO = {
    "parts": ("mean", "variance"),
    "mistakes": {
        "You averaged each row.": lambda x: (x.mean(1), x.var(0)),
        "Your variance is biased.": lambda x: (x.mean(0), x.var(0, correction=0)),
        "Your variance is negative.": When(lambda outcome, expected, x: bool((outcome["variance"] < 0).all())),
    },
}


def both(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(0), x.var(0)


def test_a_mistake_is_recognized_beside_another_one() -> None:
    text = says(lambda x: (x.mean(0) + 1, x.var(0, correction=0)), both, **TWO)
    assert "Your variance is biased. Something else is wrong with mean." in text


def test_a_mistake_may_be_a_predicate() -> None:
    assert "Your variance is negative." in says(lambda x: (x.mean(0), -5 - x.var(0)), both, **TWO)


def test_a_mistake_that_explains_some_inputs_only_is_not_named() -> None:
    def answer(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean(0), x.var(0, correction=0) * (2 if len(x) > 4 else 1)

    assert "biased" not in says(answer, both, **TWO)


def test_a_mistake_that_the_answer_contradicts_gives_way() -> None:
    mistakes = {
        "You doubled all.": lambda x: (2 * x.mean(0), 2 * x.var(0), 2 * x.sum(0)),
        "You doubled the mean.": lambda x: (2 * x.mean(0), x.var(0), x.sum(0)),
    }
    options: dict[str, Any] = {"parts": ("mean", "variance", "sum")}

    def reference(x: Tensor) -> tuple[Tensor, ...]:
        return x.mean(0), x.var(0), x.sum(0)

    def answer(x: Tensor) -> tuple[Tensor, ...]:
        return 2 * x.mean(0), 2 * x.var(0), x.sum(0)

    assert "You doubled the mean. Something else is wrong with variance." in says(
        answer, reference, mistakes=mistakes, **options
    )
    alone = says(answer, reference, mistakes=dict(list(mistakes.items())[:1]), **options)
    assert "You doubled all. This applies to mean and variance only." in alone


def test_a_truth_value_alone_does_not_prove_a_mistake_that_is_refuted() -> None:
    def observe(answer: Callable[..., Any], x: Tensor) -> dict[str, Any]:
        return {"sum": (result := answer(x)).sum(), "has as many entries": result.shape == x.shape}

    mistakes = {"You took one row.": lambda x: x[0]}
    options = {"observe": observe, "mistakes": mistakes}
    assert "one row" in says(lambda x: x.clone()[0], lambda x: x, **options)
    assert "one row" not in says(lambda x: x.flatten(), lambda x: x, **options)


def test_an_estimate_that_is_near_a_mistake_by_chance_is_not_explained() -> None:
    def draw(*, generator: torch.Generator) -> Inputs:
        return (generator,)

    def describe(sample: Tensor, generator: torch.Generator) -> dict[str, Estimate]:
        return moments(sample)

    def scaled(factor: float) -> Callable[..., Tensor]:
        return lambda g: factor * torch.randn(5000, generator=g)

    options = {"inputs": draw, "describe": describe, "mistakes": {"You doubled the variance.": scaled(2**0.5)}}
    assert "You doubled" in says(lambda g: 2**0.5 * torch.randn(50, 100, generator=g).flip(0), scaled(1), **options)
    assert "You doubled" not in says(scaled(2.2**0.5), scaled(1), **options)


def test_a_structure_that_is_off_is_no_mistake() -> None:
    def observe(answer: Callable[..., Any], x: Tensor) -> dict[str, Any]:
        came = answer(x)
        return came if isinstance(came, dict) else {"mean": came, "inputs left": 0}

    mistakes = {"You left inputs.": lambda x: {"mean": x.mean(0), "inputs left": 1}}
    options = {"observe": observe, "mistakes": mistakes}
    assert "You left inputs" not in says(lambda x: {"mean": x.mean(0)}, lambda x: x.mean(0), **options)


def test_a_description_may_say_what_does_not_fit() -> None:
    def describe(raw: Any, x: Tensor) -> Tensor:
        return tensor(raw)

    assert "The exercise asks for a tensor, and your function returned something of type str." in says(
        lambda x: "mean", means, describe=describe
    )
    assert "Did you forget `return`?" in says(lambda x: None, means, describe=describe)


def test_an_answer_that_fails_as_a_mistake_does_is_recognized() -> None:
    def for_wide(x: Tensor) -> Tensor:
        if x.shape[0] > x.shape[1]:
            raise ValueError("tall")
        return 2 * x.mean(0)

    hint = "It works for wide ones only."
    mistakes = {hint: for_wide}
    assert hint in says(for_wide, means, mistakes=mistakes)
    assert hint not in says(lambda x: 1 / 0, means, mistakes=mistakes)


def test_a_mistake_may_give_nan() -> None:
    mistakes = {"You took the root of a negative number.": lambda x: (x - x.mean()).sqrt()}
    assert "negative number" in says(
        lambda x: torch.sqrt(x - x.sum() / x.numel()), lambda x: x.abs(), mistakes=mistakes
    )


def test_a_mistake_that_itself_fails_explains_nothing() -> None:
    mistakes = {"Nothing.": lambda x: 1 / 0, "Nor this.": When(lambda *all: 1 / 0)}
    assert "everywhere 2 times" in says(lambda x: 2 * means(x), means, mistakes=mistakes)


# --- in place -----------------------------------------------------------------------------------------


def double_(x: Tensor) -> None:
    x.mul_(2)


@pytest.mark.parametrize("answer", [double_, lambda x: x.mul_(2), lambda x: 2 * x])
def test_in_place_or_returned_is_the_same(answer: Callable[..., Any]) -> None:
    assert says(answer, double_, changes=(0,)).startswith("Right")


def test_a_change_of_a_copy_is_named() -> None:
    assert "Did you change a copy?" in says(lambda x: double_(x.clone()), double_, changes=(0,))


def test_where_a_change_in_place_is_asked_for_a_changed_copy_is_refused() -> None:
    options = {"changes": (0,), "observe": in_place(call)}
    assert says(double_, double_, **options).startswith("Right")
    assert says(lambda x: x.mul_(2), double_, **options).startswith("Right")
    assert "leaves what it was given as it was" in says(lambda x: 2 * x, double_, **options)
    assert "Did you change a copy?" in says(lambda x: double_(x.clone()), double_, **options)


def test_a_module_may_be_changed_in_place() -> None:
    def layer(*, generator: torch.Generator) -> Inputs:
        module = nn.Linear(2, 3, dtype=torch.float64)
        return (module,)

    def zero(module: nn.Linear) -> None:
        nn.init.zeros_(module.bias)

    def observe(answer: Callable[..., Any], module: nn.Linear) -> Tensor:
        return answer(module).bias

    options = {"inputs": layer, "observe": observe, "changes": (0,)}
    assert says(zero, zero, **options).startswith("Right")
    assert "changed nothing" in says(lambda module: None, zero, **options)
    assert says(lambda module: nn.init.ones_(module.bias) is None, zero, **options).startswith("Not yet")


# --- values -------------------------------------------------------------------------------------------


def test_data_for_which_a_mistake_gives_the_right_value_are_drawn_again() -> None:
    def digit(*, generator: torch.Generator) -> Inputs:
        return (int(torch.randint(10, (), generator=generator)),)

    mistakes = {"You squared it.": lambda n: n * n, "That is 16.": 16, "No.": lambda n: 1 / 0}
    exercise("twice", value=True, inputs=digit, mistakes=mistakes)(lambda n: 2 * n)
    assert {data("twice", student_id=str(n)) for n in range(200)} == {1, 3, 5, 6, 7, 9}


def number(*, generator: torch.Generator) -> Inputs:
    return (int(torch.randint(10**6, (), generator=generator)),)


def own(answer: Any, student: str | None = None) -> Result:
    EXERCISES.pop("own", None)
    exercise("own", value=True, inputs=number)(lambda n: 2.0 * n)
    return check("own", answer, student_id=student)


def test_values_follow_from_the_students_own_data() -> None:
    own(1)
    mine, other = (data("own", student_id=student) for student in ("ada", "grace"))
    assert mine != other and mine == data("own", student_id=" ADA")
    assert own(2 * mine, "ada").passed and not own(2 * mine, "grace").passed and not own(2 * mine).passed


@pytest.mark.parametrize("form", [float, int, np.float64, np.int64, torch.tensor, lambda n: torch.tensor([[n]])[0, 0]])
def test_a_value_may_be_of_any_type_of_number(form: Callable[..., Any]) -> None:
    own(1)
    assert own(form(2 * data("own"))).passed


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(1, "too small"), (1e9, "too large"), (-1, "wrong sign"), (math.inf, "not a finite"), ("x", "is a number")],
)
def test_a_wrong_value_is_told_its_direction(value: Any, sentence: str) -> None:
    assert sentence in own(value).hint
    assert str(int(2 * data("own"))) not in own(value).hint


def test_words_are_values_too() -> None:
    exercise("word", value=True, mistakes={"It grows.": "shrinks"})(lambda: "grows")
    assert check("word", " Grows").passed
    assert "It grows." in check("word", "shrinks").hint
    assert "is not right" in check("word", "stays").hint and "in quotes" in check("word", 3).hint


def test_several_values_are_told_apart() -> None:
    exercise("pair", value=True, parts=("first", "second"))(lambda: (1.0, 2.0))
    assert check("pair", (1, 2)).passed and check("pair", {"second": 2, "first": 1}).passed
    assert "second: 3 is too large" in check("pair", [1, 3]).hint
    assert "gave a single int; the exercise asks for 2: first and second" in check("pair", 1).hint
    assert "in the wrong order: the exercise asks for first" in check("pair", (2, 1)).hint
    assert "gave 2 things; the exercise asks for one" in own([1, 2]).hint
    assert all("not written yet" in check("pair", answer).hint for answer in ((1, ...), {"first": ..., "second": 2}))


@pytest.mark.parametrize(
    "value", [10**400, torch.zeros(3), torch.zeros(1, device="meta"), {1: 2}, np.ones(2), object()]
)
def test_no_value_breaks_the_checker(value: Any) -> None:
    assert not own(value).passed


# --- ids ----------------------------------------------------------------------------------------------


def test_an_unknown_id_names_close_ones() -> None:
    with pytest.raises(ValueError, match=r"no exercise 'bn-foward' to check .*did you mean 'bn-forward'"):
        check("bn-foward", None)
    with pytest.raises(ValueError, match=r"no exercise '§' to check .*known are"):
        check("§", None)


def test_an_exercise_in_words_is_not_checked() -> None:
    with pytest.raises(ValueError, match="a person grades answers in words"):
        check("bn-useless-bias", "words")


def test_only_exercises_with_data_have_data() -> None:
    with pytest.raises(ValueError, match="no data of its own"):
        data("bn-forward")


def test_an_id_is_registered_once() -> None:
    exercise("taken")(means)
    with pytest.raises(ValueError, match="registered already"):
        exercise("taken")(means)


def test_a_topic_is_the_module_that_registers() -> None:
    exercise("made-up")(means)
    assert EXERCISES["made-up"].topic == "test-checker" and EXERCISES["bn-forward"].topic == "batchnorm-training"


def test_a_faulty_reference_is_the_fault_of_the_exercise() -> None:
    for reference in (lambda x: 1 / 0, lambda x: None):
        with pytest.raises(RuntimeError, match="from its reference came"):
            says(means, reference)


# --- a guess before the answer ------------------------------------------------------------------------


def test_a_guess_comes_first_and_is_compared_with_the_right_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "FIRST_GUESSES", {})
    exercise("doubled", inputs=number, predict=((3,), (4,)))(lambda n: 2 * n)
    asked = check("doubled", lambda n: 2 * n, guess=...)
    assert not asked.passed and "not written yet. First write down your guess" in asked.hint
    assert "guess" not in check("doubled", lambda n: 3 * n, guess=[6, 7]).hint
    passed = check("doubled", lambda n: 2 * n, guess=[6, 8])
    assert passed.passed and "Your first guess was [6, 7]; right is [6, 8]." in passed.hint
    assert "guess" not in check("doubled", lambda n: 2 * n).hint


# --- what an answer may call ----------------------------------------------------------------------------


def test_an_answer_may_not_call_what_it_is_to_write() -> None:
    def layer(x: Tensor) -> Tensor:
        return means(x) + 0 * nn.Linear(1, 1).bias.detach()

    def filled(x: Tensor) -> Tensor:
        return means(x) + nn.init.zeros_(torch.empty(x.shape[1]))

    options = {"observe": without("torch.nn.init"), "rtol32": None}
    assert says(layer, means, **options).startswith("Right")
    assert "Your code calls `torch.nn.init.zeros_`." in says(filled, means, **options)


# --- cases ----------------------------------------------------------------------------------------------


def test_kinds_of_inputs_come_in_no_order_that_an_answer_can_count_on() -> None:
    exercise("kinds", inputs=tuple(lambda n=n, **_: (n,) for n in range(4)), cases=8)(lambda n: n)
    one = EXERCISES["kinds"]
    orders = [tuple(case.inputs[0] for case in try_function(one, one.reference, seeded(seed))) for seed in range(20)]
    assert len(set(orders)) > 10
    assert all(set(order[:4]) == set(order[4:]) == set(range(4)) for order in orders)


# --- running ------------------------------------------------------------------------------------------


def test_the_time_limit_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeUp), time_limit(0.01):
        while True:
            pass
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_without_the_main_thread_an_answer_runs_without_a_limit() -> None:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(check("bn-forward", lambda *inputs: None)))
    thread.start()
    thread.join()
    assert "None" in results[0].hint


def test_a_loop_is_stopped_after_one_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LIMIT", 0.02)
    calls: list[int] = []

    def spin(x: Tensor) -> None:
        calls.append(1)
        while True:
            pass

    assert "did not end" in says(spin, means)
    assert len(calls) == 1


def test_what_an_answer_sets_is_set_back() -> None:
    state = torch.get_rng_state()

    def vandal() -> None:
        torch.set_default_dtype(torch.float16)
        torch.manual_seed(1)
        torch.rand(3)

    run(vandal)
    assert torch.get_default_dtype() == torch.float32 and torch.equal(torch.get_rng_state(), state)


def test_the_default_dtype_is_that_of_the_inputs() -> None:
    seen = []
    says(lambda x: seen.append((x.dtype, torch.zeros(1).dtype)), means)
    assert len({x for x, _ in seen}) == 2 and all(x == default for x, default in seen)


def test_another_process_may_run_the_answer() -> None:
    def elsewhere(exercise: Any, answer: Any, inputs: Inputs, dtype: torch.dtype) -> Performance:
        return perform(exercise.observe, exercise.reference, inputs, dtype, exercise.changes)

    assert check("bn-forward", print, perform=elsewhere).passed
    failed = check("bn-forward", print, perform=lambda *all: Performance(Raised("MemoryError", ""), []))
    assert "MemoryError" in failed.hint


def test_what_an_answer_gives_becomes_data() -> None:
    sparse, half = torch.eye(2).to_sparse(), np.float32(0.5)
    given = to_data((sparse, half, {1: Decimal("0.5")}, iter("ab"), object(), np.ones(2), torch.ones(1) * 1j))
    assert given[1:5] == [0.5, {"1": 0.5}, ["a", "b"], Unsupported("object")]
    assert torch.equal(given[0], torch.eye(2)) and torch.equal(given[5], torch.ones(2, dtype=torch.float64))
    assert given[6] == Unsupported("complex tensor")
    assert len(to_data(itertools.count())) < 100_000


def test_only_a_bare_stub_is_not_written_yet() -> None:
    def unsupported(x: Tensor) -> Tensor:
        raise NotImplementedError("no kernel")

    assert "no kernel" in says(unsupported, means)


# --- words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.tensor(0.12345), "0.123"),
        (torch.tensor([1, 2]), "[1, 2]"),
        (torch.zeros(2, 2, 1), "[[[0], [0]], [[0], [0]]]"),
        (torch.zeros(9, 9), "a tensor of shape (9, 9): 0, 0, 0, 0, ..."),
        (Estimate(0.5, 0.01), "0.5 (standard error 0.01)"),
        (nn.Linear(1, 1), "a network of class Linear"),
        ([1.23456, "a"], "[1.23, 'a']"),
        (True, "True"),
        (None, "None"),
    ],
)
def test_values_are_shown_briefly(value: Any, text: str) -> None:
    assert show(value) == text


def test_a_result_prints_and_counts_as_what_it_says() -> None:
    result = check("bn-forward", ...)
    assert repr(result) == str(result) == result.hint and not result


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (torch.ones(1), 1.0, True),
        (1.0, torch.ones(1), False),
        (torch.tensor(1.0), 1, True),
        (torch.tensor(1e-17), 0.0, True),
        (torch.ones(2), torch.ones(2, 1), False),
        (True, 1, False),
        (None, None, True),
        (Estimate(1, 0.01), Estimate(1.1, 0.01), False),
    ],
)
def test_parts_agree_only_if_they_mean_the_same(first: Any, second: Any, same: bool) -> None:
    assert agree(first, second, 1e-6) is same


def test_moments_have_honest_errors() -> None:
    draws = [moments(torch.rand(1000, generator=seeded(seed))) for seed in range(200)]
    for name, truth in {"mean": 0.5, "variance": 1 / 12, "kurtosis": 1.8}.items():
        z = torch.tensor([(draw[name].value - truth) / draw[name].error for draw in draws])
        assert 0.8 < z.std() < 1.2


def test_the_seed_of_a_student_is_documented_arithmetic() -> None:
    assert seed_of("ada", "bn-forward") == seed_of("ada", "bn-forward") != seed_of("ada")
    assert all(0 <= seed_of(str(n)) < 2**63 for n in range(100))
    one = EXERCISES["bn-matching-rate"]
    assert len({own_inputs(one, str(n)) for n in range(30)}) > 15


# --- what an answer gets ------------------------------------------------------------------------------


def test_inputs_keep_their_gradient_and_their_gaps() -> None:
    def leaf(*, generator: torch.Generator) -> Inputs:
        x = normal(2, 3, generator=generator)
        x[0, 0] = math.nan
        return (x.requires_grad_(),)

    assert says(lambda x: (x.requires_grad, x.nansum()), lambda x: (True, x.nansum()), inputs=leaf).startswith("Right")


def test_nothing_is_no_known_mistake() -> None:
    assert "Did you forget `return`?" in says(lambda x: None, means, mistakes={"None.": lambda x: None})


def test_another_exception_than_the_mistakes_is_not_taken_for_it() -> None:
    def tall(error: Exception) -> Callable[[Tensor], Tensor]:
        def answer(x: Tensor) -> Tensor:
            if x.shape[0] > x.shape[1]:
                raise error
            return 2 * x.mean(0)

        return answer

    mistakes = {"The mistake.": tall(ValueError())}
    assert "The mistake." in says(tall(ValueError()), means, mistakes=mistakes)
    assert "The mistake." not in says(tall(KeyError()), means, mistakes=mistakes)


def test_one_huge_entry_does_not_stand_for_a_draw() -> None:
    sample = torch.zeros(10_000)
    sample[0] = 1e3  # its moments have errors as large as themselves
    expected = moments(torch.randn(10_000, generator=seeded()))
    assert not all(agree(came, expected[name], 1e-6) for name, came in moments(sample).items())


# --- things of one's own ------------------------------------------------------------------------------


def own_factor(*, generator: torch.Generator, student: int = 0) -> Inputs:
    """A number that changes, and one that belongs to the student."""
    return normal(1, generator=generator), float(student % 1000)


def test_inputs_may_follow_from_the_student_s_id() -> None:
    @exercise("made-up", inputs=own_factor, own=True)
    def reference(x: Tensor, factor: float) -> Tensor:
        return factor * x

    (_, ada), (_, again), (_, grace) = (data("made-up", student_id=one) for one in ("ada", "Ada ", "grace"))
    assert ada == again != grace
    assert check("made-up", lambda x, factor: ada * x, student_id="ada")
    assert not check("made-up", lambda x, factor: ada * x, student_id="grace")

"""Values beside annotations: what is plainly wrong is said in words, what nobody can know is let through."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from deep3dmap.annotations import Count, NotNegative, Positive, Scale, Share, Whole, annotations_of, fits, type_error_message


class Part:
    pass


FITTING = [(3, int), (np.int64(3), int), (3, float), (2.5, float), (math.inf, float), (np.float32(1), float), (True, bool),
           ("a", str), ("a", Path), (Path("a"), Path), (None, int | None), (None, float | None), ("b", Literal["a", "b"]),
           ([1, 2], Sequence[int]), ((1, 2), list[int]), ([], Sequence[str]), ({"a": 1}, Mapping), ({"a": 1}, dict[str, int]),
           ((0.9, 0.99), tuple[float, float]), ([1, 2, 3], tuple[int, ...]), (2, float | Sequence[float]), (0, Whole),
           (1, Count), (0.0, NotNegative), (1e-9, Positive), (0, Share), (1, Scale), (None, Count | None)]  # yapf: disable
WRONG = [("a", int, "an integer"), (2.5, int, "an integer"), (True, int, "an integer"),
         (None, float, "a number"), ("nan", float, "a number"), (math.nan, float, "a number"), (1, bool, "True or False"),
         (3, str, "a string"), (3, Path, "a path"), ("c", Literal["a", "b"], "one of 'a', 'b'"),
         ("ab", Sequence[str], "a list of strings"), (3, Sequence[int], "a list of integers"),
         ({"a": 1}, Sequence, "a list"), ([1], Mapping, "a dictionary"), ([0.9], tuple[float, float], "a list of 2 entries"),
         ("a", float | torch.Tensor, "a number"), ("a", int | None, "an integer or None"),
         (-1, Whole, "an integer of at least 0"), (0, Count, "an integer of at least 1"),
         (0, Positive, "a number above 0"), (-0.1, NotNegative, "a number of at least 0"),
         (1.1, Share, "a number of at least 0 and at most 1"), (0, Scale, "a number above 0 and at most 1"),
         (0, Count | None, "an integer of at least 1 or None")]  # yapf: disable
UNKNOWN = [("cpu", torch.device), (dict(type="X"), Part), ([1, 2], torch.Tensor), ("name", Callable), (3, Any),
           (object(), object)]  # yapf: disable


@pytest.mark.parametrize("value, annotation", FITTING)
def test_a_value_of_the_annotated_kind_fits(value, annotation):
    assert fits(value, annotation) is True and type_error_message(value, annotation, "x") is None


@pytest.mark.parametrize("value, annotation, words", WRONG)
def test_another_value_is_told_what_was_expected(value, annotation, words):
    assert fits(value, annotation) is False
    assert type_error_message(value, annotation, "model.x").partition("expected ")[2].startswith(words)


@pytest.mark.parametrize("value, annotation", UNKNOWN)
def test_what_a_config_may_describe_is_left_to_the_constructor(value, annotation):
    assert fits(value, annotation) is None and type_error_message(value, annotation, "x") is None


@pytest.mark.parametrize("value, annotation, place", [
    ([1, "a", 3], Sequence[int], "x[1]='a'"),
    ({"rgb": 3}, Mapping[str, Mapping], "x.rgb=3"),
    ({"a": [1, -1]}, dict[str, Sequence[Whole]], "x.a[1]=-1"),
    ((0.9, "b"), tuple[float, float], "x[1]='b'"),
    ([1, "a"], float | Sequence[float], "x[1]='a'"),
])  # yapf: disable
def test_the_wrong_entry_of_a_list_or_dictionary_is_named(value, annotation, place):
    assert type_error_message(value, annotation, "x").startswith(f"{place}: expected ")


def test_whole_floats_are_told_how_to_be_written_and_long_values_are_shortened():
    assert type_error_message(1e3, int, "max_steps") == "max_steps=1000.0: expected an integer (write 1000)"
    assert len(type_error_message("x" * 1000, int, "a")) < 150


def test_an_argument_with_the_default_none_takes_none():

    def function(size: int = None, name: str = "a"):
        pass

    annotations = annotations_of(function)
    assert fits(None, annotations["size"]) and not fits(None, annotations["name"])


def test_annotations_that_can_not_be_resolved_say_nothing():

    def function(a: "NoSuchClass", b: int):
        pass

    assert annotations_of(function) == {} and annotations_of(len) == {}

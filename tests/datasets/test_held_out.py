"""A validation part held out of the training pictures: by class, by seed, and nothing in both."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.datasets.held_out import held_out_indices
from mixedae.errors import ConfigError, DataError

labels_of = st.lists(st.integers(0, 4), min_size=10, max_size=80).filter(lambda x: min(Counter(x).values()) >= 2)


@settings(deadline=None, max_examples=60)
@given(labels_of, st.floats(0.05, 0.5), st.integers(0, 99))
def test_every_class_is_split_in_its_share(labels, fraction, seed):
    train, val = held_out_indices(labels, fraction, seed)
    assert sorted(train + val) == list(range(len(labels)))
    held = Counter(labels[i] for i in val)
    for label, total in Counter(labels).items():
        assert held[label] == max(1, round(fraction * total))
    assert (train, val) == held_out_indices(labels, fraction, seed)


def test_seeds_differ_and_are_the_same_on_every_machine():
    labels = [i % 4 for i in range(40)]
    assert held_out_indices(labels, 0.2, 0) != held_out_indices(labels, 0.2, 1)
    assert held_out_indices(labels, 0.2, 0)[1] == [2, 9, 13, 24, 27, 28, 31, 38]


def test_several_labels_count_for_the_rarest():
    labels = [[0], [0], [0], [0], [0, 1], [0, 1], [0], [0]]
    _, val = held_out_indices(labels, 0.25, 0)
    assert len([i for i in val if 1 in labels[i]]) == 1
    assert len(val) == 1 + round(0.25 * 6)


@pytest.mark.parametrize(
    ("labels", "fraction", "error", "message"),
    [
        ([0, 0, 1, 1], 1.0, ConfigError, "fraction=1.0"),
        ([0, 0, 1], 0.2, DataError, "class 1 has 1 training picture"),
        ([[0], [], [0]], 0.2, DataError, "picture 1 has no label"),
    ],
)
def test_what_cannot_be_split_is_named(labels, fraction, error, message):
    with pytest.raises(error, match=message):
        held_out_indices(labels, fraction, 0)

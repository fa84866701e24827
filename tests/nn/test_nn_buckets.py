"""`buckets`: padded batches of sequences of like lengths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

RNG = np.random.default_rng(7)
LENGTHS = RNG.integers(1, 12, 45)
SEQUENCES = [RNG.normal(size=(n, 3)).astype("float32") for n in LENGTHS]
LABELS = [RNG.integers(0, 4, n) for n in LENGTHS]
NUMBERS = np.arange(45)


def test_each_row_comes_once_whole_and_with_its_like():
    batches = nn.buckets([SEQUENCES, LABELS, NUMBERS], batch_size=8, padding=[0, -1, None], rng=0)
    assert len(batches) == 6
    seen, spans = [], []
    for x, labels, numbers, mask in batches:
        assert x.dtype == "float32"
        assert mask.dtype == "float32"
        assert x.shape[:2] == labels.shape == mask.shape
        assert len(x) == LENGTHS[numbers].max()
        spans.append((LENGTHS[numbers].min(), LENGTHS[numbers].max()))
        for i, row in enumerate(numbers):
            n = LENGTHS[row]
            np.testing.assert_array_equal(x[:n, i], SEQUENCES[row])
            assert not x[n:, i].any()
            np.testing.assert_array_equal(labels[:n, i], LABELS[row])
            assert (labels[n:, i] == -1).all()
            np.testing.assert_array_equal(mask[:, i], np.arange(len(x)) < n)
        seen += list(numbers)
    assert sorted(seen) == list(range(45))
    spans.sort()
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def orders(batches, *epochs):
    return [[tuple(batch[1]) for batch in batches(epoch)] for epoch in epochs]


def test_the_order_follows_seed_and_epoch():
    def make(rng, **options):
        return nn.buckets([SEQUENCES, NUMBERS], batch_size=8, rng=rng, **options)

    first, second = orders(make(0), 0, 1)
    assert first != second
    assert sorted(first) != sorted(second)  # rows of one length are mixed too
    assert orders(make(0), 0, 1) == [first, second]
    batches = make(0)
    again = [[tuple(batch[1]) for batch in batches] for _ in range(2)]
    assert again == [first, second]
    assert orders(make(1), 0) != [first]
    assert orders(make(None), 0) != orders(make(None), 0)
    plain = [len(batch[0]) for batch in make(0, shuffle=False)]
    assert plain == sorted(plain)


def test_dicts_padded_arrays_and_lengths():
    padded = np.zeros((12, 45, 3), "float32")
    for i, x in enumerate(SEQUENCES):
        padded[: len(x), i] = x
    options = {"batch_size": 10, "rng": 3}
    from_list = nn.buckets([SEQUENCES, LABELS, NUMBERS], padding=(0, 9, 0), **options)
    for given in (LENGTHS, LENGTHS.tolist(), LENGTHS.astype("float32")):
        from_array = nn.buckets(
            {"x": padded, "labels": LABELS, "n": NUMBERS}, given, padding={"labels": 9}, **options
        )
        for a, b in zip(from_list(2), from_array(2), strict=True):
            assert list(b) == ["x", "labels", "n", "mask"]
            for one, other in zip(a, b.values(), strict=True):
                np.testing.assert_array_equal(one, other)
    without = nn.buckets([SEQUENCES], mask=False, **options)
    assert all(len(batch) == 1 for batch in without)


def test_few_rows_and_empty_sequences():
    for lengths in ([0], [3], [0, 2], [0, 0, 0]):
        rows = [np.ones((n, 2)) for n in lengths]
        for x, mask in nn.buckets([rows], batch_size=2):
            assert x.shape == (*mask.shape, 2)
            np.testing.assert_array_equal(x[..., 0], mask)
    words = nn.buckets([[[1, 2, 3], [4]]], batch_size=2)
    (x, _), = words  # fmt: skip
    assert sorted(x.sum(axis=0)) == [4, 6]


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_fit_takes_them_and_resumes_to_the_bit(backend, tmp_path):
    """Tags for each step, padded labels ignored; with more rows than batches of one size."""

    def train(epochs, **options):
        x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
        labels = sg.tensor("labels", ("T", "B"), "int64")
        net = nn.Sequential(nn.GRU(3, 5, rng=0), nn.Dense(5, 4, rng=1))
        loss = nn.cross_entropy(net(x, mask=mask), labels, mask, ignore_index=-1)
        batches = nn.buckets([SEQUENCES, LABELS], batch_size=8, padding=[0, -1], rng=4)
        history = nn.fit(
            net, [x, labels, mask], loss, nn.adam(loss, net.params, 0.02), batches, epochs=epochs,
            batch_axis="B", validation=batches, progress=False, backend=backend, **options,
        )  # fmt: skip
        assert history["loss"][-1] < history["loss"][0]
        return history["validation_loss"], [p.get_value().tolist() for p in net.params]

    whole = train(5)
    for epochs in (2, 5):
        found = train(epochs, resume=tmp_path / "last")
    assert found == whole


def test_data_that_do_not_fit():
    for make, text in [
        (lambda: nn.buckets(SEQUENCES[0]), "data are a list"),
        (lambda: nn.buckets([NUMBERS]), "a list of sequences"),
        (lambda: nn.buckets([]), "a list of sequences"),
        (lambda: nn.buckets([SEQUENCES, NUMBERS[:-1]]), "found 45, 44"),
        (lambda: nn.buckets([SEQUENCES], NUMBERS[:-1]), "found 45, and 44 lengths"),
        (lambda: nn.buckets([SEQUENCES], np.full(45, 1.5)), "a whole number for each row"),
        (lambda: nn.buckets([SEQUENCES], np.full(45, -1)), "at least 0, not -1"),
        (lambda: nn.buckets([SEQUENCES], batch_size=0), "batch_size"),
        (lambda: nn.buckets([LABELS], padding=[0, 1]), "padding has 2 values"),
        (lambda: nn.buckets([LABELS], padding=0.5), "padding 0.5 is no int64"),
        (lambda: nn.buckets([LABELS], padding=None), "padding None is no int64"),
        (lambda: nn.buckets([LABELS], padding="-"), "padding '-' is no int64"),
        (lambda: nn.buckets({"x": LABELS}, padding={"y": 0}), "y not in the data"),
        (lambda: nn.buckets({"mask": LABELS}), "a 'mask' already"),
        (lambda: nn.buckets([[np.ones((2, 3)), np.ones((2, 4))]]), "differ in time alone"),
        (lambda: nn.buckets([[np.ones(2), 3]]), "differ in time alone"),
        (lambda: nn.buckets([LABELS], rng="seed"), "rng is a seed"),
    ]:
        with pytest.raises(sg.SymgraphError, match=text) as caught:
            make()
        assert __file__ in str(caught.value)

"""The interpreter reads what Python's own reads, and runs nothing."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import pytest

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import Call, Persistent, fields, read_pickle

PLAIN = {
    "text": ["", "ü" * 300, "a" * 70_000], "numbers": (0, 255, -1, 2**16, 2**31, -(2**40), 2**63, 1.5, -0.0),
    "flags": [None, True, False], "bytes": [b"", b"x" * 300, b"y" * 70_000],
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    3: {"nested": {"deeper": [[]]}}, None: "none",
}  # fmt: skip


def read(data: bytes, *allowed: str):
    return read_pickle(memoryview(data), 0, frozenset(allowed))


def same(value):
    """A value with views made bytes."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list | tuple):
        return type(value)(map(same, value))
    return {k: same(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_values_are_those_of_python(protocol):
    data = pickle.dumps(PLAIN, protocol)
    value, end = read(data)
    assert same(value) == PLAIN and end == len(data)


def test_sets_keep_their_members():
    for protocol in (3, 4):
        value, _ = read(pickle.dumps({4, 5}, protocol), "builtins.set")
        assert sorted(value.args[0] if isinstance(value, Call) else value) == [4, 5]
    assert read(pickle.dumps(frozenset({4}), 4))[0] == (4,)


def test_shared_and_cyclic_values_keep_their_identity():
    one: list = [1]
    one.append(one)
    value, _ = read(pickle.dumps({"a": one, "b": one}, 4))
    assert value["a"] is value["b"] is value["a"][1]


def test_calls_are_noted_and_not_made():
    """Items and state are kept beside the call, as OrderedDict and Namespace need it."""
    table = OrderedDict(a=1, b=2)
    table._metadata = {"version": 1}
    value, _ = read(pickle.dumps(table, 2), "collections.OrderedDict")
    assert isinstance(value, Call) and value.name == "collections.OrderedDict" and value.args == ()
    assert fields(value) == {"a": 1, "b": 2} and value.state == {"_metadata": {"version": 1}}
    assert fields([1]) == fields(Call("builtins.set", ())) == {}


def test_persistent_ids_only_where_they_are_expected():
    data = b"\x80\x02K\x07Q."
    references: list[Persistent] = []
    value, _ = read_pickle(memoryview(data), 0, frozenset(), references)
    assert isinstance(value, Persistent) and value.id == 7 and references == [value]
    with pytest.raises(WeightsError, match="outside itself"):
        read(data)


def test_a_name_must_be_on_the_list_exactly():
    data = pickle.dumps(OrderedDict(), 4)
    for allowed in ("collections", "collections.OrderedDict2", "OrderedDict", "collections.OrderedDic"):
        with pytest.raises(WeightsError, match=r"asks to run collections\.OrderedDict,"):
            read(data, allowed)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_cut_is_refused(protocol):
    """Catches a reader that takes what is left of a file for the whole."""
    data = pickle.dumps({"a": [1, 2.5, "text", b"bytes", (1, 2), 10**9]}, protocol)
    allowed = "_codecs.encode"
    read(data, allowed)
    for end in range(len(data)):
        with pytest.raises(WeightsError):
            read(data[:end], allowed)


def test_code_that_python_would_run_is_not_run(hostile, nothing_runs, monkeypatch):
    """The same bytes spring the trap in Python's own loader: catches hostile files that are not."""
    sprung = []
    monkeypatch.setattr(os, "system", sprung.append)
    everything = hostile.calls("true")
    for how, data in everything.items():
        sprung.clear()
        if "second" not in how:
            pickle.loads(data)
            assert sprung == ["true"], how
            sprung.clear()
            with nothing_runs(), pytest.raises(WeightsError):
                read(data, "collections.OrderedDict")
        assert not sprung, how


def test_requests_are_refused_in_one_sentence(hostile, nothing_runs):
    allowed = ("torch.storage._load_from_bytes", "dnnlib.util.EasyDict")
    for how, data in hostile.requests().items():
        if how == "BUILD with attributes":
            continue  # its name is on no list; see the next test
        with nothing_runs(), pytest.raises(WeightsError) as caught:
            read(data, *allowed)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 200, how


def test_state_with_any_attribute_is_only_kept(nothing_runs):
    """__setstate__, __class__ and the like of a state are texts in a table."""
    data = b"\x80\x04cdnnlib.util\nEasyDict\n)\x81}X\x09\x00\x00\x00__class__X\x01\x00\x00\x00xsb."
    with nothing_runs():
        value, _ = read(data, "dnnlib.util.EasyDict")
    assert type(value) is Call and value.state == {"__class__": "x"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80",
        b"\x80\x04",
        b"\x80\x04.",
        b"\x80\x04(.",
        b"\x80\x04NN.",
        b"\x80\x04h\x00.",
        b"\x80\x04q\x00.",
        b"\x80\x04(q\x00.",
        b"\x80\x04t.",
        b"\x80\x04e.",
        b"\x80\x04Ne.",
        b"\x80\x04(Ne.",
        b"\x80\x04NNa.",
        b"\x80\x04]NNs.",
        b"\x80\x04}(Nu.",
        b"\x80\x04}]Ns.",
        b"\x80\x04}G\x00\x00\x00\x00\x00\x00\x00\x00Ns.",
        b"\x80\x04}(NNs.",
        b"\x80\x04N(b.",
        b"\x80\x04\x8c\x01\xff.",
        b"\x80\x04\x8c\x03\xed\xa0\x80.",
        b"\x80\x04c\xff\n\xff\n.",
        b"\x80\x04\x8a\x11" + b"1" * 17 + b".",
        b"\x80\x04\x90.",
        b"\x80\x04\x91.",
        b"\x80\x04(\x85.",
        b"\x80\x04R.",
        b"\x80\x04NR.",
        b"\x80\x04N)R.",
        b"\x80\x04b.",
    ],
)
def test_nonsense_is_refused(data):
    with pytest.raises(WeightsError):
        read(data)

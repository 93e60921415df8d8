"""Devices: those that are there, and what is said of those that are not."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import DeviceError


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps", "gpu", "xpu:0"])
def test_devices_that_are_not_there(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="choose") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_devices_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto").type == "cuda" and pick_device("cuda:1").index == 1 and pick_device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match="has 2"):
        pick_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"

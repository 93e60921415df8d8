"""Keys: what a DICOM frame says about the volume of a 4-D series that it belongs to, the most telling first.

A key is a claim, not a fact: ``dicom_volumes`` takes one only where it parts the images into whole volumes.

Source: DICOM PS3.3 C.7.6.16.2.2 (frame content), C.7.6.17 (dimensions), C.8.13.5.9 (diffusion), C.8.13.5.14 (spin
labelling), C.7.6.18 (cardiac synchronization), C.8.4.8 (NM vectors), C.8.9.4 (PET frame reference time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydicom.tag import Tag

from napari_brgm.scans.dicom_vendors import private_b_value, private_gradient, private_label

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_elements import Elements

__all__ = ["INSTANCE", "KEYS", "TIMES", "Key", "keys_of"]

Value = tuple[float, ...] | str


@dataclass(frozen=True, slots=True)
class Key:
    """One kind of claim.

    Attributes
    ----------
    name : str
        In messages.
    ordered : bool
        Whether its values say which volume comes first; else the images' own order does.
    telling : bool
        Whether it is worth a note where it differs within a volume.
    """

    name: str
    ordered: bool = True
    telling: bool = True


TEMPORAL, DIMENSIONS = Key("temporal index"), tuple(Key(f"dimension index {n}") for n in range(1, 9))
DIFFUSION, LABEL = Key("b-value or gradient", ordered=False), Key("arterial spin label", ordered=False)
VELOCITY, INVERSION = Key("velocity encoding", ordered=False), Key("inversion time", ordered=False)
FLIP, PHASE = Key("flip angle", ordered=False), Key("phase of the cycle")
TRIGGER, REFERENCE = Key("trigger time", telling=False), Key("frame reference time", telling=False)
OFFSET, ACQUISITION = Key("temporal offset", telling=False), Key("acquisition number")
# those whose values part a series, most trusted first; then those whose order counts at each position by itself
KEYS = (
    TEMPORAL, *DIMENSIONS, PHASE, DIFFUSION, LABEL, VELOCITY, INVERSION, FLIP, TRIGGER, REFERENCE, OFFSET, ACQUISITION,
)  # fmt: skip
FRAME_TIME, INSTANCE, CLOCK = Key("time of the frame"), Key("instance number"), Key("acquisition time")
CONTENT = Key("content time")  # when the image was made, which may be long after
TIMES = (TRIGGER, REFERENCE, OFFSET, FRAME_TIME, INSTANCE, CLOCK, CONTENT)

_IN_SPACE = {  # dimensions that number places, not volumes
    Tag(tag) for tag in (0x00209057, 0x00209056, 0x00200032, 0x00200037, 0x00209113, 0x00209116, 0x00209301, 0x00209302,
                         0x00201041, 0x0048021E, 0x0048021F, 0x00540080)
}  # fmt: skip
_NM_VECTORS = ("PhaseVector", "RRIntervalVector", "TimeSlotVector", "TimeSliceVector")
_CYCLE = ("NominalPercentageOfCardiacPhase", "NominalPercentageOfRespiratoryPhase")


def keys_of(elements: Elements) -> dict[str, Value]:
    """All claims of a frame by the names of their keys; those that it does not make are missing."""
    number, file = elements.number_at, elements.file
    found: dict[str, Value | float | None] = {
        TEMPORAL.name: _either(
            number("FrameContentSequence", "TemporalPositionIndex"), number("", "TemporalPositionIdentifier")
        ),
        PHASE.name: _phase(elements),
        DIFFUSION.name: _diffusion(elements),
        LABEL.name: elements.word("MRArterialSpinLabelingSequence", "ASLContext")
        or file.once(private_label, lambda: private_label(file.dataset)),
        VELOCITY.name: elements.word("MRVelocityEncodingSequence", "VelocityEncodingDirection"),
        INVERSION.name: number("", "InversionTime"),
        FLIP.name: number("MRTimingAndRelatedParametersSequence", "FlipAngle"),
        TRIGGER.name: _either(
            number("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"), number("", "TriggerTime")
        ),
        REFERENCE.name: number("", "FrameReferenceTime"),
        OFFSET.name: number("TemporalPositionSequence", "TemporalPositionTimeOffset"),
        ACQUISITION.name: _either(
            number("FrameContentSequence", "FrameAcquisitionNumber"), number("", "AcquisitionNumber")
        ),
        FRAME_TIME.name: _seconds(elements.word("FrameContentSequence", "FrameAcquisitionDateTime")),
        INSTANCE.name: (number("", "InstanceNumber") or 0.0, float(elements.number)),
        CLOCK.name: _clock(elements, "Acquisition"),
        CONTENT.name: _clock(elements, "Content"),
        **_dimensions(elements),
    }
    return {
        name: (value,) if isinstance(value, float | int) else value
        for name, value in found.items()
        if value is not None and value != ""
    }


def _either(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _phase(elements: Elements) -> Value | None:
    parts = [elements.number_at("CardiacSynchronizationSequence", _CYCLE[0])]
    parts.append(elements.number_at("RespiratorySynchronizationSequence", _CYCLE[1]))
    parts += [elements.vector_at(keyword) for keyword in _NM_VECTORS]
    return None if all(part is None for part in parts) else tuple(0.0 if part is None else part for part in parts)


def _diffusion(elements: Elements) -> Value | None:
    """Give b in thousands, and the direction where b is not 0: both are of the order of 1."""
    file = elements.file
    b = elements.number_at("MRDiffusionSequence", "DiffusionBValue")
    b = file.once(private_b_value, lambda: private_b_value(file.dataset)) if b is None else b
    direction = _direction(elements)
    if b is None and direction is None:
        return None
    return (-1.0 if b is None else b / 1000, *(direction if direction and b != 0 else (0.0, 0.0, 0.0)))


def _direction(elements: Elements) -> tuple[float, ...] | None:
    item, file = elements.item("MRDiffusionSequence"), elements.file
    inner = (item.get("DiffusionGradientDirectionSequence") or [None])[0] if item is not None else None
    for place in (inner, item):
        value = None if place is None else _vector(place)
        if value is not None:
            return value
    found: tuple[float, ...] | None = file.once(
        private_gradient,
        lambda: _vector(file.dataset) or private_gradient(file.dataset),
    )
    return found


def _vector(place: Dataset) -> tuple[float, ...] | None:
    try:
        value = place.get("DiffusionGradientOrientation")
        return tuple(float(part) for part in value) if value is not None and len(value) == 3 else None
    except (TypeError, ValueError):  # odd values: no such claim
        return None


def _dimensions(elements: Elements) -> dict[str, Value]:
    """Dimension indices but those in space."""
    try:
        values = elements.find("FrameContentSequence", "DimensionIndexValues")
        pointers = elements.file.once(_dimensions, lambda: _pointers(elements.dataset))
        several = [float(value) for value in ([values] if isinstance(values, int) else values or ())]
    except Exception:  # odd values: the frame makes no such claim
        return {}
    if len(pointers) != len(several):
        pointers = [None] * len(several)
    outer = [value for value, pointer in zip(several, pointers, strict=True) if pointer not in _IN_SPACE]
    return {key.name: (value,) for key, value in zip(DIMENSIONS, outer, strict=False)}


def _pointers(dataset: Dataset) -> list[Any]:
    return [item.get("DimensionIndexPointer") for item in dataset.get("DimensionIndexSequence") or ()]


def _clock(elements: Elements, of: str) -> float | None:
    whole = _seconds(elements.word("", f"{of}DateTime")) if of == "Acquisition" else None
    if whole is not None:
        return whole
    day, time = (elements.word("", f"{of}{part}") for part in ("Date", "Time"))
    return _seconds((day if len(day) == 8 else "00000101") + time) if time else None


def _seconds(text: str) -> float | None:
    """YYYYMMDDHHMMSS.F as seconds from an arbitrary start; days of different months are kept in order."""
    digits = text.strip()[:21]
    try:
        year, month, day, hour, minute = (int(digits[a:b]) for a, b in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12)))
        second = float(digits[12:].split("+")[0].split("-")[0] or 0)
    except ValueError:
        return None
    return ((((year * 12 + month) * 31 + day) * 24 + hour) * 60 + minute) * 60 + second

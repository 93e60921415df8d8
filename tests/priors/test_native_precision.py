"""bfloat16 only where the processor says that it computes in it."""

import pytest
import torch

from napari_brgm.priors.native_precision import native_precision

CPU = torch.device("cpu")
QUESTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ((False, False), torch.float32), ((True, False), torch.bfloat16), ((False, True), torch.bfloat16),
        ((None, None), torch.float32),
    ],
)  # fmt: skip
def test_the_processor_is_asked(monkeypatch, answers, wanted):
    for question, answer in zip(QUESTIONS, answers, strict=True):
        if answer is None:  # a torch that does not know the question
            monkeypatch.delattr(torch.cpu, question, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, question, lambda answer=answer: answer, raising=False)
    assert native_precision(CPU) == wanted


def test_a_question_that_fails_is_no(monkeypatch):
    def fails():
        raise RuntimeError("not built with it")

    for question in QUESTIONS:
        monkeypatch.setattr(torch.cpu, question, fails, raising=False)
    assert native_precision(CPU) == torch.float32

"""The names that a pickle of weights may mention: each becomes an inert stand-in, none is imported or called.

What is on the list is what picklers write for data (numbers, containers, arrays, tensors), for the modules of the
published StyleGAN2 code bases, and for what training scripts keep beside them (arguments, paths, types of numbers).
Python 2 names of builtins, as protocol 2 writes them, are those of Python 3 here (inert_pickle.py).
"""

from __future__ import annotations

from typing import Final

from napari_brgm.zoo.numpy_values import NUMPY_NAMES
from napari_brgm.zoo.torch_storage import TENSOR_NAMES

__all__ = ["INERT_NAMES", "MODULE_NAMES", "NETWORK", "RECONSTRUCT"]

RECONSTRUCT: Final = "torch_utils.persistence._reconstruct_persistent_obj"  # of StyleGAN2-ADA and its successors
NETWORK: Final = "dnnlib.tflib.network.Network"  # of StyleGAN2 for TensorFlow

_BUILTINS: Final = (
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set",
    "slice", "str", "tuple", "xrange",
)  # fmt: skip
_CONTAINERS: Final = frozenset({
    "argparse.Namespace", "collections.OrderedDict", "collections.defaultdict", "dnnlib.util.EasyDict",
    "dnnlib.EasyDict", "easydict.EasyDict", "functools.partial", "pathlib.Path", "pathlib.PosixPath",
    "pathlib.PurePosixPath", "pathlib.PureWindowsPath", "pathlib.WindowsPath", "types.SimpleNamespace",
})  # fmt: skip
_ROSINALITY: Final = (
    "Blur", "ConstantInput", "Downsample", "EqualConv2d", "EqualLinear", "Generator", "ModulatedConv2d",
    "NoiseInjection", "PixelNorm", "StyledConv", "ToRGB", "Upsample",
)  # fmt: skip
_TORCH_MODULES: Final = frozenset({
    "torch.nn.modules.container.ModuleDict", "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.container.Sequential", "torch.nn.modules.activation.LeakyReLU",
    "torch.nn.parallel.data_parallel.DataParallel", "torch.nn.parallel.distributed.DistributedDataParallel",
})  # fmt: skip

MODULE_NAMES: Final = (  # classes of modules that are pickled by their names, without source
    frozenset(f"model.{name}" for name in _ROSINALITY) | {"op.fused_act.FusedLeakyReLU"} | _TORCH_MODULES
)
INERT_NAMES: Final = (
    frozenset(f"builtins.{name}" for name in _BUILTINS) | _CONTAINERS | MODULE_NAMES | TENSOR_NAMES | NUMPY_NAMES
    | {RECONSTRUCT, NETWORK}
)  # fmt: skip

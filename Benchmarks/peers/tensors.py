"""Tensors of safetensors files with nothing but Python's own library, and how far apart two are."""
import json
import math
import struct
from array import array

CODES = {"F32": "f", "F64": "d"}


def read(file, name="output"):
    """The elements of one tensor of type F32 or F64."""
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8:8 + length])[name]
    begin, end = entry["data_offsets"]
    return array(CODES[entry["dtype"]], data[8 + length + begin:8 + length + end])


def relative_rms(values, reference):
    """The root mean square of the difference over that of the reference; NaN where a value is not a number."""
    if len(values) != len(reference):
        raise ValueError(f"{len(values)} elements, the reference has {len(reference)}")
    difference = math.fsum((value - exact) ** 2 for value, exact in zip(values, reference))
    return math.sqrt(difference / math.fsum(exact ** 2 for exact in reference))

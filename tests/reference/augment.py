"""Keras's own warps of a small image, for tests/augmentation_equals_keras.rs: python augment.py, writes augment.json.

The stored figures were made with Keras 3.15.1, SciPy 1.17.1, NumPy 2.4.6.
"""
import json
import os
import pathlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator

HEIGHT, WIDTH = 23, 31
rows, columns, channels = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(3), indexing="ij")
image = ((rows * 37 + columns * 11 + channels * 71 + (rows * columns) % 29 * 5) % 256).astype("uint8")

# theta and shear in degrees, tx and ty in pixels along the columns and the rows.
ALL = dict(theta=23.0, tx=2.3, ty=-3.1, shear=0.2, zx=0.85, zy=1.15)
CASES = [
    ("rotation", "nearest", dict(theta=33.3)),
    ("quarter turn", "nearest", dict(theta=90.0)),
    ("half turn, constant", "constant", dict(theta=180.0)),
    ("shift of the columns", "nearest", dict(tx=2.4)),
    ("shift of the rows", "nearest", dict(ty=-3.7)),
    ("whole shift", "constant", dict(tx=3.0, ty=-2.0)),
    ("shear", "nearest", dict(shear=12.0)),
    ("zoom in", "nearest", dict(zx=0.8, zy=0.9)),
    ("zoom out, constant", "constant", dict(zx=1.2, zy=1.1)),
    ("flip", "nearest", dict(flip_horizontal=True)),
    ("all, nearest", "nearest", dict(ALL)),
    ("all, flipped", "nearest", dict(ALL, flip_horizontal=True)),
    ("all, constant, flipped", "constant", dict(ALL, flip_horizontal=True)),
    ("all, reflect", "reflect", dict(ALL)),
    ("all, wrap", "wrap", dict(ALL)),
    ("far, reflect", "reflect", dict(theta=-70.0, tx=40.3, ty=-60.2, zx=1.7, zy=1.4)),
    ("far, wrap", "wrap", dict(theta=-70.0, tx=40.3, ty=-60.2, zx=1.7, zy=1.4)),
    # Coordinates at whole multiples of the period, which differ before and after the image.
    ("whole periods before, wrap", "wrap", dict(tx=-60.0, ty=-44.0)),
    ("whole periods after, wrap", "wrap", dict(tx=60.0, ty=44.0)),
]

cases = []
for name, fill, parameters in CASES:
    generator = ImageDataGenerator(fill_mode=fill, cval=0.0)
    warped = generator.apply_transform(image.astype("float64"), parameters) / 255
    cases.append(dict(name=name, fill=fill, parameters=parameters, expected=np.round(warped, 5).ravel().tolist()))
out = dict(height=HEIGHT, width=WIDTH, image=image.ravel().tolist(), cases=cases)
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(out, separators=(",", ":")))
print(path, path.stat().st_size)

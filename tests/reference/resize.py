"""Small images brought to other sizes by Pillow 13.0.0, as Keras's load_img does it; writes resize.json beside this file.

Pixels are flat lists of [height, width, 3] in u8.
"""

import json
from pathlib import Path

from PIL import Image


def image(width, height):
    """An image with edges, slopes and fine structure in every channel."""
    out = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            red = (x * x * 7 + y * 31) % 256
            green = 255 * ((x // 3 + y // 2) % 2)
            blue = (x * 255 // max(width - 1, 1) + y * 5) % 256
            out.putpixel((x, y), (red, green, blue))
    return out


cases = []
for source, target in [((24, 16), (10, 7)), ((24, 16), (33, 29)), ((9, 13), (9, 40)), ((31, 11), (8, 22)), ((5, 5), (1, 1))]:
    for name, method in [("bilinear", Image.Resampling.BILINEAR), ("nearest", Image.Resampling.NEAREST)]:
        before = image(*source)
        after = before.resize(target, method)
        cases.append(
            {
                "interpolation": name,
                "width": source[0],
                "height": source[1],
                "pixels": list(before.tobytes()),
                "to_width": target[0],
                "to_height": target[1],
                "expected": list(after.tobytes()),
            }
        )
Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")

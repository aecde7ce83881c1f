"""Prints, as JSON, what TensorBoard reads from a folder of event files.

Usage: python read_tensorboard.py FOLDER
"""
import io
import json
import sys

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# A size of 0 makes TensorBoard keep all events.
accumulator = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "histograms": 0, "images": 0})
accumulator.Reload()
tags = accumulator.Tags()


def histogram(event):
    value = event.histogram_value
    return {
        "step": event.step,
        "min": value.min,
        "max": value.max,
        "num": value.num,
        "sum": value.sum,
        "limits": list(value.bucket_limit),
        "counts": list(value.bucket),
    }


def image(event):
    decoded = Image.open(io.BytesIO(event.encoded_image_string))
    decoded.load()
    return {
        "step": event.step,
        "width": event.width,
        "height": event.height,
        "decoded": [decoded.mode, *decoded.size],
        "corner": list(decoded.getpixel((0, 0))),
    }


json.dump(
    {
        "scalars": {
            tag: [[event.step, event.value] for event in accumulator.Scalars(tag)] for tag in tags["scalars"]
        },
        "histograms": {tag: [histogram(event) for event in accumulator.Histograms(tag)] for tag in tags["histograms"]},
        "images": {tag: [image(event) for event in accumulator.Images(tag)] for tag in tags["images"]},
    },
    sys.stdout,
)

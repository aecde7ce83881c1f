"""Loads exported models in the frameworks that they are meant for, and writes their logits.

    python load_exported.py TASKS.json

TASKS.json lists {"kind": "keras" | "savedmodel" | "onnx", "model": path of the model, "images": path of little-endian
float32 pixels, [images, *shape], from 0 to 255, "shape": [height, width, channels], "logits": path of the file to
write}.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np


def with_keras(model, images):
    import keras

    return keras.models.load_model(model).predict(images, batch_size=len(images), verbose=0)


def with_tensorflow(model, images):
    import tensorflow as tf

    signature = tf.saved_model.load(model).signatures["serving_default"]
    return signature(images=tf.constant(images))["logits"].numpy()


def with_onnxruntime(model, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    # Use two different batch sizes, because the model must accept any batch size.
    batches = np.array_split(images, [5])
    return np.concatenate([session.run(["logits"], {"images": batch})[0] for batch in batches])


loaders = {"keras": with_keras, "savedmodel": with_tensorflow, "onnx": with_onnxruntime}

if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        tasks = json.load(file)
    for task in tasks:
        images = np.fromfile(task["images"], "<f4").reshape(-1, *task["shape"])
        loaders[task["kind"]](task["model"], images).astype("<f4").tofile(task["logits"])

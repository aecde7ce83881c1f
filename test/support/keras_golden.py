"""The tutorial's ResNet in Keras, trained from given weights on given batches: what Lockstep is compared with.

    python keras_golden.py FOLDER

FOLDER/task.json says what to do; weights.f32, statistics.f32, images.f32 and labels.i32 are raw little-endian arrays in
Lockstep's layouts. Writes, step after step, losses.f32, trained-weights.f32 and trained-statistics.f32, and keras.json.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def convolution(x, name, filters, bias, size=3, stride=1):
    return layers.Conv2D(
        filters, size, strides=stride, padding="same", use_bias=bias, kernel_initializer="he_normal", name=name
    )(x)


def subsample_and_pad(x, filters):
    quarter = filters // 4
    return layers.Lambda(
        lambda t: tf.pad(t[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [quarter, quarter]]),
        output_shape=(x.shape[1] // 2, x.shape[2] // 2, filters),
    )(x)


def resnet(depth, filters, shortcut, bias):
    inputs = layers.Input((32, 32, 3))
    x = convolution(inputs, "stem.conv", filters, bias)
    x = layers.ReLU()(layers.BatchNormalization(name="stem.bn")(x))
    for group in range(1, 4):
        for block in range(1, (depth - 2) // 6 + 1):
            name = f"group{group}.block{block}"
            narrows = group > 1 and block == 1
            filters *= 2 if narrows else 1
            y = convolution(x, f"{name}.conv1", filters, bias, stride=2 if narrows else 1)
            y = layers.ReLU()(layers.BatchNormalization(name=f"{name}.bn1")(y))
            y = convolution(y, f"{name}.conv2", filters, bias)
            y = layers.BatchNormalization(name=f"{name}.bn2")(y)
            if narrows and shortcut == "projection":
                x = convolution(x, f"{name}.projection", filters, bias, size=1, stride=2)
            elif narrows:
                x = subsample_and_pad(x, filters)
            x = layers.ReLU()(layers.Add()([y, x]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, name="dense")(x))


def variable_of(model, name):
    """Lockstep's group2/block1/conv1/kernel is the kernel of Keras's layer group2.block1.conv1."""
    path, _, variable = name.rpartition("/")
    return getattr(model.get_layer(path.replace("/", ".")), variable)


def assign(model, arrays, values):
    for array in arrays:
        part = values[array["offset"] : array["offset"] + array["size"]]
        variable_of(model, array["name"]).assign(part.reshape(array["shape"]))


def flat(model, arrays):
    return np.concatenate([variable_of(model, array["name"]).numpy().ravel() for array in arrays])


def main(folder):
    task = json.loads((folder / "task.json").read_text())
    tf.config.threading.set_intra_op_parallelism_threads(task["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(task["threads"])
    keras.config.set_floatx(task["precision"])
    steps, batch = task["steps"], task["batchSize"]
    images = np.fromfile(folder / "images.f32", "<f4").reshape(steps, batch, 32, 32, 3)
    labels = np.fromfile(folder / "labels.i32", "<i4").reshape(steps, batch)

    model = resnet(task["depth"], task["initialFilters"], task["shortcut"], task["convBias"])
    assign(model, task["trainable"], np.fromfile(folder / "weights.f32", "<f4"))
    assign(model, task["statistics"], np.fromfile(folder / "statistics.f32", "<f4"))
    # As the tutorial compiles it; the boundaries are the only difference.
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(task["boundaries"], task["learningRates"])
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.SGD(learning_rate=schedule, momentum=task["momentum"]),
        metrics=["accuracy"],
    )

    losses, weights, statistics = [], [], []
    for step in range(steps):
        model.reset_metrics()
        losses.append(model.train_on_batch(images[step], labels[step])[0])
        weights.append(flat(model, task["trainable"]))
        statistics.append(flat(model, task["statistics"]))
    np.array(losses, "<f4").tofile(folder / "losses.f32")
    np.array(weights, "<f4").tofile(folder / "trained-weights.f32")
    np.array(statistics, "<f4").tofile(folder / "trained-statistics.f32")
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__, "parameters": model.count_params()}
    (folder / "keras.json").write_text(json.dumps(versions))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

"""Trains the recipe in Keras from given weights on given batches, as a reference for Lockstep.

    python keras_golden.py FOLDER

FOLDER/tasks.json lists the cases. Each case has a folder under FOLDER with raw little-endian arrays: weights.f32 and
statistics.f32 (in Lockstep's layouts), augmented.u8 (pixels of the batches), training.u8 (pixels of the training
images, which measured preprocessing needs) and labels.i32. Writes losses.f32, trained-weights.f32 and
trained-statistics.f32, with the values after each step, to the same folder. Writes the learning rates in Keras at the
given steps to FOLDER/schedule.json.
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


class Network:
    """The ResNet from the tutorial, with the variants that recipes offer."""

    def __init__(self, task):
        self.task = task
        # Keras adds a penalty to the loss: L2(c) is c * sum(w^2), with gradient 2 * c * w. So c is half of the weight
        # decay.
        decay = task["weightDecay"]
        self.regularizer = keras.regularizers.L2(decay / 2) if decay > 0 else None

    def convolution(self, x, name, filters, size=3, stride=1):
        return layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding="same",
            use_bias=self.task["convBias"],
            kernel_initializer="he_normal",
            kernel_regularizer=self.regularizer,
            name=name,
        )(x)

    def batch_norm(self, x, name):
        return layers.BatchNormalization(epsilon=self.task["bnEpsilon"], name=name)(x)

    def subsample_and_pad(self, x, filters):
        quarter = filters // 4
        return layers.Lambda(
            lambda t: tf.pad(t[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [quarter, quarter]]),
            output_shape=(x.shape[1] // 2, x.shape[2] // 2, filters),
        )(x)

    def build(self):
        filters = self.task["initialFilters"]
        inputs = layers.Input((32, 32, 3))
        x = self.convolution(inputs, "stem.conv", filters)
        x = layers.ReLU()(self.batch_norm(x, "stem.bn"))
        for group in range(1, 4):
            for block in range(1, (self.task["depth"] - 2) // 6 + 1):
                name = f"group{group}.block{block}"
                downsamples = group > 1 and block == 1
                filters *= 2 if downsamples else 1
                y = self.convolution(x, f"{name}.conv1", filters, stride=2 if downsamples else 1)
                y = layers.ReLU()(self.batch_norm(y, f"{name}.bn1"))
                y = self.convolution(y, f"{name}.conv2", filters)
                y = self.batch_norm(y, f"{name}.bn2")
                if downsamples and self.task["shortcut"] == "projection":
                    x = self.convolution(x, f"{name}.projection", filters, size=1, stride=2)
                elif downsamples:
                    x = self.subsample_and_pad(x, filters)
                x = layers.ReLU()(layers.Add()([y, x]))
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, layers.Dense(10, kernel_regularizer=self.regularizer, name="dense")(x))


def preprocess(augmented, training, kind):
    """Converts uint8 RGB pixels [..., 32, 32, 3] to network input. Measures the training images if necessary."""
    pixels = augmented.astype(np.float32)
    if kind == "imagenet":
        return keras.applications.resnet50.preprocess_input(pixels) / 255  # as in the tutorial
    if kind == "per-pixel-mean":
        return ((pixels - training.mean(0, dtype=np.float64)) / 255)[..., ::-1]
    if kind == "standardize":
        channels = training.reshape(-1, 3).astype(np.float64)
        return ((pixels - channels.mean(0)) / channels.std(0))[..., ::-1]
    raise ValueError(kind)


def variable_of(model, name):
    """Returns a Keras variable: group2/block1/conv1/kernel is the kernel of layer group2.block1.conv1."""
    path, _, variable = name.rpartition("/")
    return getattr(model.get_layer(path.replace("/", ".")), variable)


def assign(model, arrays, values):
    for array in arrays:
        flat_values = values[array["offset"] : array["offset"] + array["size"]]
        variable_of(model, array["name"]).assign(flat_values.reshape(array["shape"]))


def flat(model, arrays):
    return np.concatenate([variable_of(model, array["name"]).numpy().ravel() for array in arrays])


def train(folder, task):
    keras.backend.clear_session()
    keras.config.set_floatx(task["precision"])
    steps, batch = task["steps"], task["batchSize"]
    augmented = np.fromfile(folder / "augmented.u8", np.uint8).reshape(steps, batch, 32, 32, 3)
    training = np.fromfile(folder / "training.u8", np.uint8).reshape(-1, 32, 32, 3)
    images = np.stack([preprocess(batch_images, training, task["preprocessing"]) for batch_images in augmented])
    labels = np.fromfile(folder / "labels.i32", "<i4").reshape(steps, batch)

    model = Network(task).build()
    assign(model, task["trainable"], np.fromfile(folder / "weights.f32", "<f4"))
    assign(model, task["statistics"], np.fromfile(folder / "statistics.f32", "<f4"))
    # Compile the model as in the tutorial, but with one-hot labels, which label smoothing needs. Without smoothing, the
    # loss is the same.
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(task["boundaries"], task["learningRates"])
    optimizer = keras.optimizers.SGD(schedule, momentum=task["momentum"], nesterov=task["nesterov"])
    crossentropy = {"from_logits": True, "label_smoothing": task["labelSmoothing"]}
    # The metric excludes the L2 penalty. The model runs eagerly because building a graph takes longer than ten steps.
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(**crossentropy),
        optimizer=optimizer,
        metrics=[keras.metrics.CategoricalCrossentropy(name="crossentropy", **crossentropy)],
        run_eagerly=True,
    )
    one_hot = np.eye(10, dtype=task["precision"])[labels]

    losses, weights, statistics = [], [], []
    for step in range(steps):
        model.reset_metrics()
        losses.append(model.train_on_batch(images[step], one_hot[step], return_dict=True)["crossentropy"])
        weights.append(flat(model, task["trainable"]))
        statistics.append(flat(model, task["statistics"]))
    np.array(losses, "<f4").tofile(folder / "losses.f32")
    np.array(weights, "<f4").tofile(folder / "trained-weights.f32")
    np.array(statistics, "<f4").tofile(folder / "trained-statistics.f32")


def main(folder):
    tasks = json.loads((folder / "tasks.json").read_text())
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(**tasks["schedule"]["keras"])
    rates = [float(schedule(step)) for step in tasks["schedule"]["steps"]]
    (folder / "schedule.json").write_text(json.dumps(rates))
    for task in tasks["cases"]:
        train(folder / task["folder"], task)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

"""Saves small models with random weights from Keras, with their predictions, as a reference for the import.

    python keras_models.py FOLDER

Writes NAME.keras for each model, NAME.images.f32 with two images of random pixels, and NAME.outputs.f32 with what the
model predicts, before the softmax, to FOLDER.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

random = np.random.default_rng(0)


def sequential():
    return keras.Sequential(
        [
            layers.Input((12, 10, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.RandomFlip("horizontal"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(6, (2, 3), strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("gelu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(12, activation="silu"),
            layers.Dense(5, activation="softmax"),
        ]
    )


def built_later():
    """A Sequential model without an Input, whose shape comes from the first call."""
    model = keras.Sequential([layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), layers.Dense(3), layers.Softmax()])
    model.build((None, 8, 8, 1))
    return model


def skip_connections():
    inputs = layers.Input((16, 16, 3))
    x = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3600.0, 3500.0, 3400.0])(inputs)
    x = layers.Conv2D(8, 3, padding="same", name="stem")(x)
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(8, 3, padding="same", groups=2)(y)
    x = layers.Add()([x, y])
    y = layers.AveragePooling2D(3, strides=2, padding="same")(x)
    z = layers.MaxPooling2D(2)(x)
    x = layers.Concatenate()([y, z])
    x = layers.ZeroPadding2D(((1, 0), (0, 2)))(x)
    x = layers.SeparableConv2D(6, 3, strides=2, depth_multiplier=2, activation="sigmoid")(x)
    x = x + layers.Conv2D(6, 1, name="gate", trainable=False)(x)
    x = layers.Reshape((-1,))(x)
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


def depthwise():
    return keras.Sequential(
        [
            layers.Input((9, 11, 1)),
            layers.Conv2D(4, 3, activation="relu6"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2, padding="same", activation="swish"),
            layers.BatchNormalization(center=False, epsilon=0.01),
            layers.ReLU(max_value=6),
            layers.DepthwiseConv2D(2, use_bias=False),
            layers.BatchNormalization(scale=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )


def squeeze_and_excite():
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="silu")(inputs)
    s = layers.GlobalAveragePooling2D(keepdims=True)(x)
    s = layers.Dense(2, activation="relu")(s)
    s = layers.Conv2D(8, 1, activation="sigmoid")(s)
    x = layers.Multiply()([s, x])
    s = layers.Dense(8, activation="sigmoid")(layers.GlobalMaxPooling2D()(x))
    s = layers.Reshape((1, 1, 8))(s)
    x = layers.Multiply()([x, s])
    x = layers.Activation("softmax")(layers.Dense(3)(layers.Flatten()(x)))
    return keras.Model(inputs, x)


def nested():
    """A base network and a head, as in transfer learning."""
    inputs = layers.Input((10, 10, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.Add()([x, layers.Conv2D(4, 3, padding="same")(x)])
    base = keras.Model(inputs, x, name="base")
    base.trainable = False
    images = layers.Input((10, 10, 3))
    x = base(layers.Rescaling(1 / 255)(images), training=False)
    x = keras.Sequential([layers.Conv2D(5, 3, name="conv"), layers.BatchNormalization()], name="middle")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(3)(x))


def mobilenet_v2():
    return keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), alpha=0.35, classes=7)


def resnet50():
    return keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=7)


def efficientnet():
    return keras.applications.EfficientNetB0(weights=None, input_shape=(32, 32, 3), classes=7)


def randomize(model):
    """Replaces the variables that start as constants, so that a wrong order of them shows."""
    for variable in model.variables:
        values = variable.numpy()
        if values.dtype == np.float32 and values.size > 1 and np.ptp(values) == 0:
            variable.assign(values + random.uniform(0.1, 0.5, values.shape))
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()


def logits_of(model):
    """The model without its last softmax."""
    last = model.layers[-1]
    if isinstance(last, layers.Dense):
        last.activation = keras.activations.linear
        return keras.Model(model.inputs, last(last.input))
    return keras.Model(model.inputs, last.input if "softmax" in last.name or "activation" in last.name else last.output)


def main(folder):
    keras.utils.set_random_seed(0)
    builders = [
        sequential,
        built_later,
        skip_connections,
        depthwise,
        squeeze_and_excite,
        nested,
        mobilenet_v2,
        resnet50,
        efficientnet,
    ]
    for build in builders:
        model = build()
        randomize(model)
        model.save(folder / f"{build.__name__}.keras")
        images = random.uniform(0, 255, (2, *model.input_shape[1:])).astype(np.float32)
        images.tofile(folder / f"{build.__name__}.images.f32")
        np.asarray(logits_of(model)(images, training=False)).tofile(folder / f"{build.__name__}.outputs.f32")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

"""The published network in Keras and in PyTorch, and what both scripts print."""

import json
import os
import statistics
import time

BLOCKS = (64, 128)
UNITS = (256, 512)
BATCH = 32


def keras_network(keras, height, width, activation=None):
    layers = keras.layers
    x = inputs = keras.Input((height, width, 3))
    for filters in BLOCKS:
        x = layers.Conv2D(filters, 3, strides=2, activation=activation)(x)
        x = layers.Conv2D(filters, 3, strides=2, activation=activation)(x)
        x = layers.MaxPool2D(2)(x)
    x = layers.Flatten()(x)
    for units in UNITS:
        x = layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)
        x = layers.Dropout(0.5)(x)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    return model


def torch_network(nn, height, width, relu):
    modules, channels, size = [], 3, [height, width]
    for filters in BLOCKS:
        for _ in range(2):
            modules.append(nn.Conv2d(channels, filters, 3, stride=2))
            if relu:
                modules.append(nn.ReLU())
            channels, size = filters, [(side - 3) // 2 + 1 for side in size]
        modules.append(nn.MaxPool2d(2))
        size = [side // 2 for side in size]
    modules.append(nn.Flatten())
    inputs = size[0] * size[1] * channels
    for units in UNITS:
        modules += [nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(0.5)]
        inputs = units
    return nn.Sequential(*modules, nn.Linear(inputs, 1))


def threads():
    """Threads to compute with, as the caller of the script decided."""
    return int(os.environ["PEER_THREADS"])


def time_steps(step, steps):
    """Median seconds of a step, the first two left out: they compile and allocate."""
    times = []
    for _ in range(max(steps, 3)):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def print_result(**fields):
    print(json.dumps(fields))

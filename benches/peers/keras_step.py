"""Times one training step of the published network in Keras: keras_step.py HEIGHT WIDTH STEPS [relu]"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import network

height, width, steps = map(int, sys.argv[1:4])
activation = "relu" if "relu" in sys.argv[4:] else None
tf.config.threading.set_intra_op_parallelism_threads(network.threads())
model = network.keras_network(keras, height, width, activation)
random = np.random.default_rng(0)
images = random.random((network.BATCH, height, width, 3), dtype="float32")
labels = (random.random(network.BATCH) < 0.53).astype("float32")
seconds = network.time_steps(lambda: model.train_on_batch(images, labels), steps)
network.print_result(peer=f"Keras {keras.__version__}", img_per_s=network.BATCH / seconds)

"""The whole tutorial in Keras on FOLDER/train and FOLDER/valid: keras_tutorial.py FOLDER HEIGHT WIDTH EPOCHS"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from sklearn.metrics import roc_auc_score

import network

folder, height, width, epochs = sys.argv[1], *map(int, sys.argv[2:5])
tf.config.threading.set_intra_op_parallelism_threads(network.threads())
keras.utils.set_random_seed(21)
options = dict(target_size=(height, width), class_mode="binary", batch_size=network.BATCH, seed=21)
augmented = ImageDataGenerator(
    rescale=1 / 255,
    rotation_range=40,
    width_shift_range=0.2,
    height_shift_range=0.2,
    shear_range=0.2,
    zoom_range=0.2,
    horizontal_flip=True,
    fill_mode="nearest",
)
train = augmented.flow_from_directory(f"{folder}/train", shuffle=True, **options)
valid = ImageDataGenerator(rescale=1 / 255).flow_from_directory(f"{folder}/valid", shuffle=False, **options)
model = network.keras_network(keras, height, width)
model.fit(train, epochs=epochs, validation_data=valid, verbose=0)
probabilities = model.predict(valid, verbose=0).ravel()
network.print_result(
    peer=f"Keras {keras.__version__}",
    accuracy=float(((probabilities > 0.5) == valid.classes).mean()),
    auc=float(roc_auc_score(valid.classes, probabilities)),
)

"""Loads a model.safetensors of emo-runner into the same network in Keras or PyTorch.

    python load_weights.py MODEL.safetensors keras|torch [IMAGE...]

Prints the probability of class 1 of each image. Needs safetensors, numpy, Pillow, and keras or torch.
"""
import sys
import tomllib

import numpy as np
from safetensors import safe_open


def read(path):
    """The experiment that the file carries, and the weights by name."""
    with safe_open(path, framework="np") as file:
        return tomllib.loads(file.metadata()["experiment"]), {name: file.get_tensor(name) for name in file.keys()}


def for_keras(path):
    """The network with its weights, for images [batch, height, width, 3] in [0, 1]."""
    import keras

    experiment, weights = read(path)
    model, layers = experiment["model"], []
    activation = {"leaky_relu": keras.layers.LeakyReLU(0.2)}.get(model["activation"], model["activation"])
    for block, filters in enumerate(model["conv"]):
        for place, count in enumerate(filters):
            name = f"blocks.{block}.convolutions.{place}"
            conv = keras.layers.Conv2D(count, model["kernel"], model["stride"], model["padding"])
            layers.append((conv, [weights[f"{name}.conv.weight"].transpose(2, 3, 1, 0), weights[f"{name}.conv.bias"]]))
            if model["batch_norm"]:
                values = [weights[f"{name}.norm.{part}"] for part in ("gamma", "beta", "running_mean", "running_var")]
                layers.append((keras.layers.BatchNormalization(), values))
            layers.append((keras.layers.Activation(activation), []))
        if model["pool"] > 1:
            layers.append((keras.layers.MaxPooling2D(model["pool"]), []))
    layers.append((keras.layers.Flatten(), []))
    for place, units in enumerate(model["dense"]):
        layers.append((keras.layers.Dense(units, "relu"), [weights[f"dense.{place}.weight"], weights[f"dense.{place}.bias"]]))
    layers.append((keras.layers.Dense(1, "sigmoid"), [weights["output.weight"], weights["output.bias"]]))
    network = keras.Sequential([keras.Input((*experiment["data"]["image_size"], 3))] + [layer for layer, _ in layers])
    for layer, values in layers:
        if values:
            layer.set_weights(values)
    return lambda images: np.asarray(network.predict_on_batch(images)).ravel()


def for_torch(path):
    """The same in PyTorch; padding "same" needs stride 1 there."""
    import torch
    from torch import nn

    experiment, weights = read(path)
    model, channels, layers = experiment["model"], 3, []
    activations = dict(linear=nn.Identity, relu=nn.ReLU, leaky_relu=lambda: nn.LeakyReLU(0.2), elu=nn.ELU, gelu=nn.GELU, silu=nn.SiLU,
                       tanh=nn.Tanh, sigmoid=nn.Sigmoid)
    tensor = lambda name: torch.from_numpy(weights[name])
    for block, filters in enumerate(model["conv"]):
        for place, count in enumerate(filters):
            name = f"blocks.{block}.convolutions.{place}"
            conv = nn.Conv2d(channels, count, model["kernel"], model["stride"], "same" if model["padding"] == "same" else 0)
            conv.load_state_dict(dict(weight=tensor(f"{name}.conv.weight"), bias=tensor(f"{name}.conv.bias")))
            layers.append(conv)
            if model["batch_norm"]:
                norm, channels = nn.BatchNorm2d(count, eps=1e-3), count
                state = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"}
                norm.load_state_dict({key: tensor(f"{name}.norm.{part}") for key, part in state.items()}, strict=False)
                layers.append(norm)
            layers.append(activations[model["activation"]]())
            channels = count
        if model["pool"] > 1:
            layers.append(nn.MaxPool2d(model["pool"]))
    convolutions = nn.Sequential(*layers).eval()

    def predict(images):
        with torch.no_grad():
            x = convolutions(torch.from_numpy(images).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1)
            for place in range(len(model["dense"])):
                x = torch.relu(x @ tensor(f"dense.{place}.weight") + tensor(f"dense.{place}.bias"))
            return torch.sigmoid(x @ tensor("output.weight") + tensor("output.bias")).numpy().ravel()

    return predict


def load_image(path, size):
    """Pixels as emo-runner prepares them, for RGB images."""
    from PIL import Image

    image = Image.open(path).convert("RGB").resize((size[1], size[0]), Image.BILINEAR)
    return np.asarray(image, dtype=np.float32) / 255


if __name__ == "__main__":
    path, framework, *images = sys.argv[1:]
    predict = {"keras": for_keras, "torch": for_torch}[framework](path)
    size = read(path)[0]["data"]["image_size"]
    for image in images:
        print(image, float(predict(load_image(image, size)[None])[0]))

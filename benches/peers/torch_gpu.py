"""The work of `benches/gpu.rs` in PyTorch on CUDA, channels-last: torch_gpu.py [H W BATCH [relu]]

A step on a batch that is on the GPU, and whole epochs over 1,304 images with the tutorial's augmentation: once with images and warp on the
GPU (affine_grid and grid_sample, the kindest case for PyTorch), once from a DataLoader of torchvision transforms on the CPU, as most people
write it. Each in float32 with TF32 and in bfloat16, with and without torch.compile. A line of JSON each, with medians.
"""
import json
import math
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

IMAGES, EPOCHS, STEPS, WARM_UP = 1304, 5, 30, 5
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def network(height, width, relu):
    def left(length):
        for _ in range(2):
            for _ in range(2):
                length = (length - 3) // 2 + 1
            length //= 2
        return length

    layers, channels = [], 3
    for filters in (64, 128):
        for _ in range(2):
            layers.append(nn.Conv2d(channels, filters, 3, 2))
            if relu:
                layers.append(nn.ReLU())
            channels = filters
        layers.append(nn.MaxPool2d(2))
    features = left(height) * left(width) * 128
    dense = [nn.Flatten(), nn.Linear(features, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 1)]
    return nn.Sequential(*layers, *dense).to(DEVICE, memory_format=torch.channels_last)


def maps(count):
    """Inverse maps of rotation 40 degrees, shift 0.2, shear 0.2, zoom 0.2 and a flip, in grid_sample's units."""
    uniform = lambda low, high: torch.empty(count, device=DEVICE).uniform_(low, high)
    angle, shear = uniform(-40, 40) * math.pi / 180, uniform(-0.2, 0.2) * math.pi / 180
    zoom_x, zoom_y = uniform(0.8, 1.2), uniform(0.8, 1.2)
    flip = torch.where(torch.rand(count, device=DEVICE) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    first = torch.stack([cos * zoom_x * flip, -(cos * torch.sin(shear) + sin * torch.cos(shear)) * zoom_y, uniform(-0.4, 0.4)], 1)
    second = torch.stack([sin * zoom_x * flip, (cos * torch.cos(shear) - sin * torch.sin(shear)) * zoom_y, uniform(-0.4, 0.4)], 1)
    return torch.stack([first, second], 1)


def warped(table, chosen):
    images = table[chosen].to(torch.float32).div_(255)
    grid = F.affine_grid(maps(len(chosen)), images.shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False).contiguous(memory_format=torch.channels_last)


class Pictures(torch.utils.data.Dataset):
    def __init__(self, table):
        from torchvision.transforms import v2
        self.table = table.cpu()
        self.transform = v2.Compose([
            v2.RandomAffine(40, (0.2, 0.2), (0.8, 1.2), 0.2), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self):
        return IMAGES

    def __getitem__(self, image):
        return self.transform(self.table[image]), float(image % 2)


def median(times):
    return sorted(times)[len(times) // 2]


def measure(height, width, batch, relu):
    table = torch.randint(0, 256, (16, 3, height, width), dtype=torch.uint8, device=DEVICE).repeat((IMAGES + 15) // 16, 1, 1, 1)[:IMAGES]
    for half in (False, True):
        for compiled in (False, True):
            model = network(height, width, relu)
            forward = torch.compile(model) if compiled else model
            adam = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-7, fused=DEVICE == "cuda")

            def step(images, labels):
                with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
                    logits = forward(images).squeeze(1)
                loss = F.binary_cross_entropy_with_logits(logits.float(), labels)
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
                return loss.detach()

            def timed(work, rounds, warm_up):
                times = []
                for round_ in range(rounds + warm_up):
                    started = time.perf_counter()
                    work()
                    wait()
                    if round_ >= warm_up:
                        times.append(time.perf_counter() - started)
                return median(times)

            images = warped(table, torch.arange(batch, device=DEVICE) * 7 % IMAGES)
            labels = (torch.arange(batch, device=DEVICE) % 2).float()

            def on_gpu():
                losses = []
                for chosen in torch.randperm(IMAGES, device=DEVICE).split(batch):
                    losses.append(step(warped(table, chosen), (chosen % 2).float()))
                torch.stack(losses).mean().item()

            def from_loader():
                losses = []
                for images, labels in loader:
                    images = images.to(DEVICE, non_blocking=True, memory_format=torch.channels_last)
                    losses.append(step(images, labels.float().to(DEVICE, non_blocking=True)))
                torch.stack(losses).mean().item()

            figures = dict(step_ms=timed(lambda: step(images, labels), STEPS, WARM_UP) * 1e3, epoch_s=timed(on_gpu, EPOCHS, 1))
            try:
                loader = torch.utils.data.DataLoader(Pictures(table), batch, shuffle=True, num_workers=8, pin_memory=True, persistent_workers=True)
                figures["epoch_from_loader_s"] = timed(from_loader, 3, 1)
            except ImportError as error:
                figures["epoch_from_loader"] = f"not measured: {error}"
            print(json.dumps(dict(
                peer=f"torch {torch.__version__}", device=torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu", h=height, w=width,
                batch=batch, relu=relu, dtype="bf16" if half else "tf32", compile=compiled, **figures)), flush=True)


if len(sys.argv) > 3:
    measure(*map(int, sys.argv[1:4]), "relu" in sys.argv[4:])
else:
    for size in ((150, 150), (400, 500)):
        for batch in (32, 256):
            for relu in (False, True):
                measure(*size, batch, relu)

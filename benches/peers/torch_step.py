"""Times one training step of the published network in PyTorch, channels last: torch_step.py HEIGHT WIDTH STEPS [relu]"""

import sys

import torch

import network

height, width, steps = map(int, sys.argv[1:4])
torch.manual_seed(0)
torch.set_num_threads(network.threads())
model = network.torch_network(torch.nn, height, width, "relu" in sys.argv[4:]).to(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-7)
images = torch.rand(network.BATCH, 3, height, width).to(memory_format=torch.channels_last)
labels = (torch.rand(network.BATCH) < 0.53).float()


def step():
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(images).squeeze(1), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


seconds = network.time_steps(step, steps)
network.print_result(peer=f"PyTorch {torch.__version__}", img_per_s=network.BATCH / seconds)

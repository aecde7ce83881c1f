"""Measures PyTorch's training step of a CIFAR ResNet on the CPU, alone or with DistributedDataParallel over gloo.

    python torch_resnet.py [--processes 1] [--threads 1] [--batch-size 128] ... (see --help)

The step consists of forward, cross-entropy, backward and SGD with momentum, with channels-last images that stay the same
in every step: PyTorch loads and augments nothing. Prints one JSON line with `imagesPerSecond`.
"""

import argparse
import json
import math
import os
import socket
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn import functional as F

WARM_UP_STEPS = 3


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.quarter = outputs // 4

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride == 2:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.quarter, self.quarter))
        return F.relu(x + y)


class ResNet(nn.Module):
    """ResNet of 6n + 2 layers with identity shortcuts and without biases in convolutions."""

    def __init__(self, depth, filters):
        super().__init__()
        blocks = (depth - 2) // 6
        widths = [filters] * (blocks + 1) + [2 * filters] * blocks + [4 * filters] * blocks
        self.stem = nn.Sequential(nn.Conv2d(3, filters, 3, 1, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(i, o) for i, o in zip(widths, widths[1:])))
        self.dense = nn.Linear(4 * filters, 10)

    def forward(self, x):
        return self.dense(self.blocks(self.stem(x)).mean((2, 3)))


def measure(rank, options):
    torch.set_num_threads(options.threads)
    torch.manual_seed(rank)
    is_distributed = options.processes > 1
    model = ResNet(options.depth, options.initial_filters).to(memory_format=torch.channels_last)
    if is_distributed:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(options.port))
        dist.init_process_group("gloo", rank=rank, world_size=options.processes)
        model = nn.parallel.DistributedDataParallel(model)
    images_each = options.batch_size // options.processes
    images = torch.randn(images_each, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (images_each,))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    bfloat16 = options.precision == "bfloat16"

    def seconds_for(steps):
        if is_distributed:
            dist.barrier()
        started = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
        if is_distributed:
            dist.barrier()
        return time.perf_counter() - started

    seconds_for(WARM_UP_STEPS)
    steps = torch.tensor(max(1, math.ceil(options.seconds * WARM_UP_STEPS / seconds_for(WARM_UP_STEPS))))
    if is_distributed:
        dist.broadcast(steps, 0)  # every process makes the same number of steps
    steps = int(steps)
    seconds = seconds_for(steps)
    if rank == 0:
        line = {
            "peer": "PyTorch " + torch.__version__,
            "device": torch.backends.cpu.get_cpu_capability(),
            "processes": options.processes,
            "threads": options.threads,
            "batchSize": options.batch_size,
            "precision": options.precision,
            "steps": steps,
            "imagesPerSecond": round(options.batch_size * steps / seconds, 1),
        }
        print(json.dumps(line), flush=True)
    if is_distributed:
        dist.destroy_process_group()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--processes", type=int, default=1, help="processes of DistributedDataParallel; 1 to not use it")
    parser.add_argument("--threads", type=int, default=1, help="threads per process")
    parser.add_argument("--batch-size", type=int, default=128, help="images per step, over all processes")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--initial-filters", type=int, default=16, help="channels of the first group of layers")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="bfloat16: autocast")
    parser.add_argument("--seconds", type=float, default=5, help="approximate duration of the measurement")
    options = parser.parse_args()
    if options.batch_size % options.processes != 0:
        parser.error(f"--processes {options.processes} must divide --batch-size {options.batch_size}")
    options.port = free_port()
    if options.processes == 1:
        measure(0, options)
    else:
        mp.spawn(measure, (options,), options.processes)


if __name__ == "__main__":
    main()

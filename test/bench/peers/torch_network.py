"""Measures PyTorch's training step of a network on the CPU, alone or with DistributedDataParallel over gloo.

    NETWORK="$(cat network.json)" python torch_network.py [--processes 1] [--threads 1] [--batch-size 128] ... (see --help)
    NETWORK="$(cat network.json)" python torch_network.py --processes 2 --rank 0 --address 10.0.0.1:29500 --device eth0

The environment variable NETWORK contains the network as Lockstep writes it: JSON with a list of nodes.

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
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn import functional as F

WARM_UP_STEPS = 3
CLASSES = 10


def same_padding(size, kernel, stride):
    """Rows or columns of padding before and after, as in TensorFlow."""
    missing = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
    return missing // 2, missing - missing // 2


class Padded(nn.Module):
    """Pads the rows and columns of its input, then applies a layer. An even padding is left to the layer."""

    def __init__(self, layer, node, shape, value=0.0):
        super().__init__()
        self.layer, self.value, self.pad = layer, value, None
        if node["padding"] == "same":
            kernel = node.get("kernelSize") or node["poolSize"]
            rows, columns = (same_padding(n, k, s) for n, k, s in zip(shape[1:], kernel, node["strides"]))
            if rows[0] == rows[1] and columns[0] == columns[1]:
                self.layer.padding = (rows[0], columns[0])
            else:
                self.pad = (*columns, *rows)

    def forward(self, x):
        return self.layer(x if self.pad is None else F.pad(x, self.pad, value=self.value))


class Subsample(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride[0], :: self.stride[1]]


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


ACTIVATIONS = {"relu": F.relu, "relu6": F.relu6, "gelu": F.gelu, "silu": F.silu, "sigmoid": torch.sigmoid}


def layer_of(node, shape, classes, has_bias):
    """Returns the layer of a node. `shape` is the shape of its first input: [channels, height, width] or [n]."""
    op = node["op"]
    if op == "conv2d":
        size, stride, groups = tuple(node["kernelSize"]), tuple(node["strides"]), node["groups"]
        conv = nn.Conv2d(shape[0], node["filters"], size, stride, groups=groups, bias=has_bias)
        return Padded(conv, node, shape)
    if op == "dense":
        return nn.Linear(shape[0], classes if node["units"] == "classes" else node["units"], bias=has_bias)
    if op == "batchNorm":
        return (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[0], eps=node["epsilon"])
    if op in ACTIVATIONS:
        return Call(ACTIVATIONS[op])
    if op in ("maxPool", "averagePool"):
        size, stride = tuple(node["poolSize"]), tuple(node["strides"])
        if size == (1, 1):
            return Subsample(stride)
        if op == "maxPool":
            return Padded(nn.MaxPool2d(size, stride), node, shape, -math.inf)
        return Padded(nn.AvgPool2d(size, stride, count_include_pad=False), node, shape)
    if op == "globalAveragePool":
        return Call(lambda x: x.mean((2, 3)))
    if op == "globalMaxPool":
        return Call(lambda x: x.amax((2, 3)))
    if op == "add":
        return Call(lambda *inputs: sum(inputs[1:], inputs[0]))
    if op == "multiply":
        return Call(lambda x, y: x * (y if x.dim() == y.dim() else y[:, :, None, None]))
    if op == "concat":
        return Call(lambda *inputs: torch.cat(inputs, 1))
    if op == "pad":
        return Call(lambda x, pad=(*node["columns"], *node["rows"], *node["channels"]): F.pad(x, pad))
    if op == "flatten":
        return nn.Flatten()
    if op == "dropout":
        return nn.Dropout(node["rate"])
    if op == "scale":
        return Call(lambda x, factor=node["factor"], offset=node["offset"]: x * factor + offset)
    raise SystemExit(f"{node['name']}: this script has no {op}")


class Network(nn.Module):
    """A network of Lockstep, read from JSON. Omits the biases that batch norm cancels, as Lockstep does."""

    def __init__(self, graph, shape, classes):
        super().__init__()
        normalized = {name for node in graph["nodes"] if node["op"] == "batchNorm" for name in node["inputs"]}
        self.nodes, self.layers = graph["nodes"], nn.ModuleList()
        values = {"input": torch.zeros(2, shape[2], shape[0], shape[1])}
        for node in self.nodes:
            inputs = [values[name] for name in node["inputs"]]
            has_bias = node.get("bias", False) and node["name"] not in normalized
            layer = layer_of(node, inputs[0].shape[1:], classes, has_bias)
            if node.get("weights", {}).get("kernel", {}).get("trainable") is False:
                layer.requires_grad_(False)
            self.layers.append(layer)
            values[node["name"]] = layer(*inputs)

    def forward(self, x):
        values = {"input": x}
        for node, layer in zip(self.nodes, self.layers):
            x = values[node["name"]] = layer(*(values[name] for name in node["inputs"]))
        return x


def register_hook(model, hook):
    if hook == "fp16":
        model.register_comm_hook(None, default_hooks.fp16_compress_hook)
    elif hook == "powersgd":
        # Rank 1 sends the least. By default, the first 1,000 steps are not compressed.
        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=1, start_powerSGD_iter=2)
        model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)


def traffic(device):
    """Bytes that a network device has sent and received, with headers. Empty without a device."""
    if device is None:
        return {}
    counts = {}
    for name, direction in {"sentPerStep": "tx", "receivedPerStep": "rx"}.items():
        with open(f"/sys/class/net/{device}/statistics/{direction}_bytes") as file:
            counts[name] = int(file.read())
    return counts


def measure(rank, options):
    torch.set_num_threads(options.threads)
    torch.manual_seed(rank)
    is_distributed = options.processes > 1
    height, width, channels = options.image_shape
    model = Network(json.loads(os.environ["NETWORK"]), options.image_shape, CLASSES)
    model = model.to(memory_format=torch.channels_last)
    if is_distributed:
        host, port = options.address.split(":")
        os.environ.update(MASTER_ADDR=host, MASTER_PORT=port)
        if options.device is not None:
            os.environ["GLOO_SOCKET_IFNAME"] = options.device
        dist.init_process_group("gloo", rank=rank, world_size=options.processes)
        # With several buckets, the processes may start the all-reduces of PowerSGD in different orders, and gloo fails.
        one_bucket = {"bucket_cap_mb": 1024} if options.hook == "powersgd" else {}
        model = nn.parallel.DistributedDataParallel(model, **one_bucket)
        register_hook(model, options.hook)
    images_each = options.batch_size // options.processes
    images = torch.randn(images_each, channels, height, width).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (images_each,))
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), 0.01, 0.9)
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
    before = traffic(options.device)
    seconds = seconds_for(steps)
    after = traffic(options.device)
    if rank == 0:
        line = {
            "peer": "PyTorch " + torch.__version__,
            "device": torch.backends.cpu.get_cpu_capability(),
            "processes": options.processes,
            "threads": options.threads,
            "batchSize": options.batch_size,
            "precision": options.precision,
            "steps": steps,
            **{name: round((after[name] - before[name]) / steps) for name in after},
            "imagesPerSecond": round(options.batch_size * steps / seconds, 1),
        }
        print(json.dumps(line), flush=True)
    if is_distributed:
        dist.destroy_process_group()


def shape_of(text):
    return [int(size) for size in text.split("x")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--processes", type=int, default=1, help="processes of DistributedDataParallel; 1 to not use it")
    parser.add_argument("--threads", type=int, default=1, help="threads per process")
    parser.add_argument("--batch-size", type=int, default=128, help="images per step, over all processes")
    parser.add_argument("--image-shape", type=shape_of, default="32x32x3", help="height x width x channels")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="bfloat16: autocast")
    parser.add_argument("--seconds", type=float, default=5, help="approximate duration of the measurement")
    parser.add_argument("--hook", choices=["none", "fp16", "powersgd"], default="none", help="DDP's communication hook")
    parser.add_argument("--rank", type=int, help="be only this one of the processes; the others are started elsewhere")
    parser.add_argument("--address", help="with --rank: HOST:PORT where the process of rank 0 listens")
    parser.add_argument("--device", help="network device for gloo, whose bytes are counted")
    options = parser.parse_args()
    if options.batch_size % options.processes != 0:
        parser.error(f"--processes {options.processes} must divide --batch-size {options.batch_size}")
    options.address = options.address or f"127.0.0.1:{free_port()}"
    if options.rank is not None:
        measure(options.rank, options)
    elif options.processes == 1:
        measure(0, options)
    else:
        mp.spawn(measure, (options,), options.processes)


if __name__ == "__main__":
    main()

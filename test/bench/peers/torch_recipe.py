"""Trains the recipe in PyTorch on the CPU, to compare its test accuracy with Lockstep's. Prints a JSON line per epoch.

    python torch_recipe.py --data DIR [--epochs 30] [--learning-rate 0.1] ... (see --help)

Same as in Lockstep: images and split, preprocessing, augmentation (with different random numbers), network with
TensorFlow's padding, distributions of the initial weights, OneCycleLR (the model for Lockstep's one-cycle schedule),
SGD with Nesterov momentum in the form that Keras uses, weight decay on the kernels of convolutions and the dense layer
only, label smoothing, evaluation after the last step. With --slices S, the S slices of a batch go through the network
one by one: batch norm sees one slice, its moving statistics are updated once per slice, and the gradients are added up.
Different: the images of a slice come from the whole training set rather than from one shard; moving variances use
PyTorch's unbiased variance, which is larger by less than 0.1%; 3 x 3 convolutions have no biases, which batch norm
would cancel.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

RECORD_BYTES = 3073
MEANS = (123.68, 116.779, 103.939)  # red, green, blue


def read_records(files):
    records = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, RECORD_BYTES) for file in files])
    return torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(records[:, 0].astype(np.int64))


def preprocess(images):
    """Converts uint8 RGB to float32 BGR, subtracting the ImageNet means and dividing by 255."""
    means = torch.tensor(MEANS).view(1, 3, 1, 1)
    return ((images.float() - means) / 255).flip(1).contiguous(memory_format=torch.channels_last)


def reflected(indices):
    """Maps indices in the padded image to the original as in NumPy's `reflect` mode: -n to n, 31 + n to 31 - n."""
    return 31 - (31 - (indices - 4).abs()).abs()


def augment(images, random, padding="zeros", flipped=None):
    """Flips with probability 1/2 (or as in `flipped`), pads by 4 pixels per side, and takes a random 32 x 32 crop."""
    count = len(images)
    random_flips = torch.rand(count, generator=random).lt(0.5)
    images = torch.where((random_flips if flipped is None else flipped).view(-1, 1, 1, 1), images.flip(3), images)
    padded = (F.pad(images, (4, 4, 4, 4)) if padding == "zeros" else images).permute(0, 2, 3, 1)
    rows = torch.randint(9, (count, 1), generator=random) + torch.arange(32)
    columns = torch.randint(9, (count, 1), generator=random) + torch.arange(32)
    if padding == "reflect":
        rows, columns = reflected(rows), reflected(columns)
    crops = padded[torch.arange(count).view(-1, 1, 1), rows.view(count, 32, 1), columns.view(count, 1, 32)]
    return crops.permute(0, 3, 1, 2)


class Convolution(nn.Conv2d):
    """3 x 3 or 1 x 1 convolution with TensorFlow's SAME padding, which is asymmetric at stride 2.

    The initial weights are He normal, as in Keras.
    """

    def __init__(self, inputs, outputs, size=3, stride=1, bias=False):
        super().__init__(inputs, outputs, size, stride, padding=1 if size == 3 and stride == 1 else 0, bias=bias)
        self.pads_end = size == 3 and stride == 2
        deviation = (2 / (inputs * size * size)) ** 0.5 / 0.87962566103423978
        nn.init.trunc_normal_(self.weight, 0, deviation, -2 * deviation, 2 * deviation)
        if bias:
            nn.init.zeros_(self.bias)

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.pads_end else x)


def batch_norm(channels, options):
    return nn.BatchNorm2d(channels, eps=options.bn_epsilon, momentum=1 - options.bn_momentum)


class Block(nn.Module):
    def __init__(self, inputs, outputs, options):
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1, self.bn1 = Convolution(inputs, outputs, stride=stride), batch_norm(outputs, options)
        self.conv2, self.bn2 = Convolution(outputs, outputs), batch_norm(outputs, options)
        self.downsamples = stride == 2
        self.quarter = outputs // 4
        projects = self.downsamples and options.shortcut == "projection"
        # No batch norm follows the projection, so its bias has an effect.
        self.projection = Convolution(inputs, outputs, 1, 2, bias=True) if projects else None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.projection is not None:
            x = self.projection(x)
        elif self.downsamples:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.quarter, self.quarter))
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, options):
        super().__init__()
        blocks = (options.depth - 2) // 6
        self.stem, self.bn = Convolution(3, 16), batch_norm(16, options)
        widths = [16] * (blocks + 1) + [32] * blocks + [64] * blocks
        self.blocks = nn.Sequential(*(Block(i, o, options) for i, o in zip(widths, widths[1:])))
        self.dense = nn.Linear(64, 10)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.stem(x))))
        return self.dense(x.mean((2, 3)))


class KerasSgd(torch.optim.Optimizer):
    """SGD with Nesterov momentum in the form that Keras uses.

    velocity = momentum * velocity - rate * gradient, then weight += momentum * velocity - rate * gradient.
    """

    def __init__(self, model, options):
        kernels = [p for p in model.parameters() if p.dim() > 1]
        others = [p for p in model.parameters() if p.dim() == 1]
        groups = [{"params": kernels, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0}]
        super().__init__(groups, {"lr": options.learning_rate, "momentum": options.momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            parameters = group["params"]
            gradients = [p.grad for p in parameters]
            velocities = [self.state[p].setdefault("velocity", torch.zeros_like(p)) for p in parameters]
            if group["weight_decay"] > 0:
                torch._foreach_add_(gradients, parameters, alpha=group["weight_decay"])
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, gradients, alpha=-group["lr"])
            torch._foreach_add_(parameters, velocities, alpha=group["momentum"])
            torch._foreach_add_(parameters, gradients, alpha=-group["lr"])


def evaluate(model, images, labels, autocast):
    model.eval()
    loss = correct = 0.0
    with torch.inference_mode(), autocast:
        for first in range(0, len(images), 250):
            logits = model(preprocess(images[first : first + 250])).float()
            loss += F.cross_entropy(logits, labels[first : first + 250], reduction="sum").item()
            correct += (logits.argmax(1) == labels[first : first + 250]).sum().item()
    model.train()
    return {"loss": loss / len(images), "accuracy": correct / len(images)}


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the CIFAR-10 binary files")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--shortcut", choices=["identity", "projection"], default="identity")
    parser.add_argument(
        "--flip",
        choices=["random", "alternating"],
        default="random",
        help="alternating: random in the first epoch, then inverted from one epoch to the next",
    )
    parser.add_argument("--crop-padding", choices=["zeros", "reflect"], default="zeros")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--slices", type=int, default=1, help="slices of a batch; batch norm sees one slice at a time")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="highest rate of OneCycleLR")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=0.0005)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--bn-epsilon", type=float, default=0.001)
    parser.add_argument("--bn-momentum", type=float, default=0.99)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=None, help="stop after this many steps of the schedule, to measure speed")
    options = parser.parse_args()
    if options.batch_size % options.slices != 0:
        parser.error(f"--slices {options.slices} must divide --batch-size {options.batch_size}")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    random = torch.Generator().manual_seed(options.seed + 1)

    images, labels = read_records(sorted(options.data.glob("data_batch_*.bin")))
    test_images, test_labels = read_records([options.data / "test_batch.bin"])
    validation = len(images) // 10
    training_images, training_labels = images[validation:], labels[validation:]
    steps_per_epoch = len(training_images) // options.batch_size
    total_steps = options.epochs * steps_per_epoch
    model = ResNet(options).to(memory_format=torch.channels_last)
    optimizer = KerasSgd(model, options)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=total_steps, cycle_momentum=False
    )
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16")
    # A separate generator keeps the order and the crops the same for both kinds of flip.
    first_epoch_flips = torch.rand(len(training_images), generator=torch.Generator().manual_seed(options.seed + 2)).lt(0.5)
    started, step = time.monotonic(), 0
    while step < (options.steps or total_steps):
        order = torch.randperm(len(training_images), generator=random)
        loss_sum, images_seen, epoch_started = 0.0, 0, time.monotonic()
        for first in range(0, steps_per_epoch * options.batch_size, options.batch_size):
            if step == options.steps:
                break
            chosen = order[first : first + options.batch_size]
            epoch_is_odd = step // steps_per_epoch % 2 == 1
            flipped = first_epoch_flips[chosen] ^ epoch_is_odd if options.flip == "alternating" else None
            batch = preprocess(augment(training_images[chosen], random, options.crop_padding, flipped))
            optimizer.zero_grad()
            for images_of_slice, labels_of_slice in zip(
                batch.chunk(options.slices), training_labels[chosen].chunk(options.slices)
            ):
                with autocast:
                    logits = model(images_of_slice)
                loss = F.cross_entropy(
                    logits.float(), labels_of_slice, label_smoothing=options.label_smoothing, reduction="sum"
                )
                (loss / len(chosen)).backward()
                loss_sum += loss.item()
            optimizer.step()
            schedule.step()
            images_seen, step = images_seen + len(chosen), step + 1
        line = {"epoch": -(-step // steps_per_epoch), "step": step, "trainLoss": loss_sum / images_seen}
        line["imagesPerSecond"] = images_seen / (time.monotonic() - epoch_started)
        line["validation"] = evaluate(model, images[:validation], labels[:validation], autocast)
        print(json.dumps(line), flush=True)
    test = evaluate(model, test_images, test_labels, autocast)
    print(json.dumps({"test": test, "seconds": time.monotonic() - started, "torch": torch.__version__, **vars(options)}, default=str))


if __name__ == "__main__":
    main()

"""A slow, lossy Ethernet cable between two network namespaces, for kernels without tc netem.

Usage: bad_cable.py NAMESPACE DEVICE NAMESPACE DEVICE DELAY_MS LOSS. Exits when its standard input is closed."""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
LONGEST_FRAME = 65_536

libc = ctypes.CDLL(None, use_errno=True)


def open_tap(namespace: str, device: str) -> int:
    """Creates an Ethernet device in a namespace. Returns a file descriptor to read and write its frames."""
    with open(f"/var/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter namespace {namespace}")
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TAP | IFF_NO_PI))
    return end


def main() -> None:
    first, second = plug(*sys.argv[1:3]), plug(*sys.argv[3:5])
    delay, loss = float(sys.argv[5]) / 1000, float(sys.argv[6])
    other = {first: second, second: first}
    dice = random.Random(1)
    on_the_way: list[tuple[float, int, int, bytes]] = []
    count = 0
    print("plugged in", flush=True)
    while True:
        patience = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        readable, _, _ = select.select([first, second, sys.stdin], [], [], patience)
        if sys.stdin in readable:
            return
        for end in readable:
            frame = os.read(end, LONGEST_FRAME)
            count += 1
            if dice.random() >= loss:
                heapq.heappush(on_the_way, (time.monotonic() + delay, count, other[end], frame))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(on_the_way)
            try:
                os.write(end, frame)
            except OSError:
                pass  # The device is down: a frame to an end that nobody listens at is lost.


main()

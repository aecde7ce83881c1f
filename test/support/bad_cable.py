"""Connects two network namespaces with an Ethernet link that delays all frames and drops some.

Replaces tc netem on kernels that lack it.

    python bad_cable.py NAMESPACE DEVICE NAMESPACE DEVICE DELAY_MS LOSS

LOSS is the probability that a frame is dropped. Exits when stdin is closed.
"""

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
MAX_FRAME_BYTES = 65_536

libc = ctypes.CDLL(None, use_errno=True)


def open_tap(namespace: str, device: str) -> int:
    """Creates an Ethernet device in a namespace. Returns a file descriptor for reading and writing frames."""
    with open(f"/var/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter namespace {namespace}")
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TAP | IFF_NO_PI))
    return end


def main() -> None:
    first, second = open_tap(*sys.argv[1:3]), open_tap(*sys.argv[3:5])
    delay, loss = float(sys.argv[5]) / 1000, float(sys.argv[6])
    other = {first: second, second: first}
    losses = random.Random(1)
    in_flight: list[tuple[float, int, int, bytes]] = []
    count = 0
    print("ready", flush=True)
    while True:
        timeout = max(0.0, in_flight[0][0] - time.monotonic()) if in_flight else None
        readable, _, _ = select.select([first, second, sys.stdin], [], [], timeout)
        if sys.stdin in readable:
            return
        for end in readable:
            frame = os.read(end, MAX_FRAME_BYTES)
            count += 1
            if losses.random() >= loss:
                heapq.heappush(in_flight, (time.monotonic() + delay, count, other[end], frame))
        while in_flight and in_flight[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(in_flight)
            try:
                os.write(end, frame)
            except OSError:
                pass  # The device is down, so the frame is lost.


main()

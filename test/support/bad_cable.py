"""Connects two network namespaces with an Ethernet link that delays all frames and drops some. Its rate is not limited.

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
TUNSETOFFLOAD = 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 1, 2, 4
MAX_FRAME_BYTES = 70_000

libc = ctypes.CDLL(None, use_errno=True)


def open_tap(namespace: str, device: str, offloads: int) -> int:
    """Creates an Ethernet device in a namespace. Returns a file descriptor for reading and writing frames.

    With offloads, a frame may hold several TCP segments, which takes much less time at high rates.
    """
    with open(f"/var/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter namespace {namespace}")
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(end, TUNSETOFFLOAD, offloads)
    return end


def main() -> None:
    delay, loss = float(sys.argv[5]) / 1000, float(sys.argv[6])
    # Losses concern single segments.
    offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 if loss == 0 else 0
    first, second = open_tap(*sys.argv[1:3], offloads), open_tap(*sys.argv[3:5], offloads)
    # Frames must not wait for programs that compute.
    os.nice(-15)
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

# SPDX-License-Identifier: Apache-2.0
"""A vhost-user back end (QEMU's docs/interop/vhost-user.rst) that joins the
machines at its sockets: what one sends, the others get. As a program:

  vhost_hub.py [--plain] [--connect] PATH...

listens at each path, or with --connect goes to who listens there, and says
"ready". --plain: no features that need not be.
"""
import mmap
import os
import select
import socket
import struct
import sys

VERSION_1, PROTOCOL, MERGE = 1 << 32, 1 << 30, 1 << 15
OFFLOADS = 0b11_1011_1000_0011  # checksums, TSO, ECN; both ways
MQ, REPLY_ACK, MTU = 1, 8, 16
HEADER = 12


class Ring:
    """One virtqueue, whose driver is the machine."""

    def __init__(self):
        self.kick = self.call = -1
        self.seen = 0
        self.on = False

    def set(self, owner, desc, used, avail):
        self.owner = owner
        self.desc, self.used, self.avail = map(owner.user, (desc, used, avail))

    def get(self, form, at):
        # Native: a number is read and written in one piece then.
        return struct.unpack_from("@" + form, self.owner.memory, at)

    def put(self, form, at, *values):
        struct.pack_into("@" + form, self.owner.memory, at, *values)

    def next(self):
        """The head of the next chain and its pieces; None: there is none."""
        if self.seen == self.get("H", self.avail + 2)[0]:
            return None
        head, = self.get("H", self.avail + 4 + 2 * (self.seen % self.size))
        self.seen = self.seen + 1 & 0xffff
        pieces, at = [], head
        while True:
            address, size, flags, following = self.get(
                "QIHH", self.desc + 16 * at)
            pieces.append((self.owner.guest(address), size))
            if not flags & 1:
                return head, pieces
            at = following

    def give_back(self, *heads):
        index, = self.get("H", self.used + 2)
        for head, size in heads:
            self.put("II", self.used + 4 + 8 * (index % self.size), head,
                     size)
            index = index + 1 & 0xffff
        self.put("H", self.used + 2, index)

    def tell(self):
        if self.call >= 0 and not self.get("H", self.avail)[0] & 1:
            os.eventfd_write(self.call, 1)


class Machine:
    """A front end, and what it has said."""

    def __init__(self, hub, connection):
        self.hub, self.socket = hub, connection
        self.ring = [Ring() for _ in range(16)]
        self.memory = None
        self.region = None
        self.features = 0
        self.said = []
        self.waiting = []

    def user(self, address):
        return address - self.region[2] + self.region[3]

    def guest(self, address):
        return address - self.region[0] + self.region[3]

    def answer(self, request, form, *values):
        payload = struct.pack("<" + form, *values)
        self.socket.send(struct.pack("<III", request, 5, len(payload)) +
                         payload)

    def hear(self):
        """One message; False: it is gone."""
        try:
            head, fds, _, _ = socket.recv_fds(self.socket, 12, 8)
        except ConnectionResetError:
            return False
        if len(head) < 12:
            return False
        request, flags, size = struct.unpack("<III", head)
        payload = self.socket.recv(size, socket.MSG_WAITALL) if size else b""
        self.said.append(request)
        answered = self.handle(request, payload, fds)
        if flags & 8 and not answered:
            self.answer(request, "Q", 0)
        return True

    def handle(self, request, payload, fds):
        """True: it was answered."""
        number = struct.unpack("<Q", payload)[0] if len(payload) == 8 else 0
        index, value = number & 0xffffffff, number >> 32
        if request == 1:
            self.answer(1, "Q", self.hub.features)
            return True
        if request == 2:
            self.features = number
        elif request == 5:
            self.region = struct.unpack("<QQQQ", payload[8:40])
            self.memory = mmap.mmap(fds[0], self.region[1] + self.region[3])
            os.close(fds[0])
        elif request == 8:
            self.ring[index].size = value
        elif request == 9:
            ring, _, desc, used, avail, _ = struct.unpack("<IIQQQQ", payload)
            self.ring[ring].set(self, desc, used, avail)
        elif request == 10:
            self.ring[index].seen = value
        elif request == 11:
            self.ring[index].on = False
            self.answer(11, "II", index, self.ring[index].seen)
            return True
        elif request == 12:
            self.ring[index & 255].kick = fds[0]
            if not self.features & PROTOCOL:
                self.ring[index & 255].on = True
        elif request == 13:
            self.ring[index & 255].call = fds[0]
        elif request == 15:
            self.answer(15, "Q", MQ | REPLY_ACK | MTU)
            return True
        elif request == 17:
            self.answer(17, "Q", 2)
            return True
        elif request == 18:
            self.ring[index].on = bool(value)
        return False

    def ready(self):
        return self.memory and self.ring[0].on and self.ring[1].on

    def frames(self):
        """What it has sent, with headers."""
        for ring in self.ring[1::2]:
            done = []
            while ring.on and (chain := ring.next()):
                yield b"".join(self.memory[at:at + size]
                               for at, size in chain[1])
                done.append((chain[0], 0))
            if done:
                ring.give_back(*done)
                ring.tell()

    def give(self, frame):
        """At once, or as soon as there is room."""
        self.waiting.append(frame)
        while self.waiting and self.put(self.waiting[0]):
            del self.waiting[0]

    def put(self, frame):
        """False: there is no room."""
        ring = self.ring[0]
        left, used, before, first = frame, [], ring.seen, None
        while left:
            chain = ring.next()
            if not chain:
                ring.seen = before
                return False
            size = 0
            for at, room in chain[1]:
                part = left[:room]
                first = at if first is None else first
                self.memory[at:at + len(part)] = part
                left = left[len(part):]
                size += len(part)
            used.append((chain[0], size))
            if left and not self.features & MERGE:
                raise ValueError("a frame is larger than its buffer")
        struct.pack_into("<H", self.memory, first + 10, len(used))
        ring.give_back(*used)
        ring.tell()
        return True

    def end(self):
        self.socket.close()
        for ring in self.ring:
            for fd in ring.kick, ring.call:
                if fd >= 0:
                    os.close(fd)


class Hub:
    """All of them."""

    def __init__(self, plain=False):
        self.features = VERSION_1
        if not plain:
            self.features |= PROTOCOL | MERGE | OFFLOADS | 1 << 22
        self.machines = []

    def forward(self):
        for machine in self.machines:
            while machine.waiting and machine.put(machine.waiting[0]):
                del machine.waiting[0]
            for frame in machine.frames() if machine.ready() else ():
                for other in self.machines:
                    if other is not machine and other.ready():
                        other.give(frame)

    def turn(self, listeners=()):
        """Waits for something to happen, and deals with it."""
        fds = {machine.socket.fileno(): machine for machine in self.machines}
        kicks = [ring.kick for machine in self.machines
                 for ring in machine.ring if ring.kick >= 0]
        ready, _, _ = select.select(
            [*fds, *kicks, *(one.fileno() for one in listeners)], [], [])
        for fd in ready:
            if fd in kicks:
                os.read(fd, 8)
        for fd in ready:
            if fd in fds and not fds[fd].hear():
                fds[fd].end()
                self.machines.remove(fds[fd])
        for one in listeners:
            if one.fileno() in ready:
                self.machines.append(Machine(self, one.accept()[0]))
        self.forward()


def main():
    words = [word for word in sys.argv[1:] if word[0] != "-"]
    hub = Hub("--plain" in sys.argv)
    listeners = []
    for path in words:
        end = socket.socket(socket.AF_UNIX)
        if "--connect" in sys.argv:
            end.connect(path)
            hub.machines.append(Machine(hub, end))
            continue
        if os.path.exists(path):
            os.unlink(path)
        end.bind(path)
        end.listen()
        listeners.append(end)
    print("ready", flush=True)
    while True:
        hub.turn(listeners)


if __name__ == "__main__":
    main()

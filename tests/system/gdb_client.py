# SPDX-License-Identifier: Apache-2.0
"""A small client of the GDB remote serial protocol."""
import re
import socket
import subprocess

from conftest import LODGE

RAX, RBX, RCX, RIP = 0, 1, 2, 16


class Client:
    """One connection; packets are acknowledged until no_ack() is called."""

    def __init__(self, address, timeout=20):
        kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(kind, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        if kind == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.acks = True
        self.data = b""

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, text):
        data = text.encode("latin-1")
        self.raw(b"$%s#%02x" % (data, sum(data) & 255))

    def byte(self):
        if not self.data:
            self.data = self.socket.recv(65536)
            if not self.data:
                raise EOFError
        byte, self.data = self.data[:1], self.data[1:]
        return byte

    def receive(self):
        """The next packet."""
        while (byte := self.byte()) != b"$":
            assert byte in b"+-"
        packet = b""
        while (byte := self.byte()) != b"#":
            packet += byte
        told = int(self.byte() + self.byte(), 16)
        assert told == sum(packet) & 255
        if self.acks:
            self.raw(b"+")
        return re.sub(rb"}(.)", lambda m: bytes([m[1][0] ^ 0x20]), packet,
                      flags=re.DOTALL).decode("latin-1")

    def ask(self, text):
        self.send(text)
        return self.receive()

    def no_ack(self):
        assert self.ask("QStartNoAckMode") == "OK"
        self.acks = False

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")),
                              "little")

    def memory(self, address, size):
        return bytes.fromhex(self.ask(f"m{address:x},{size:x}"))

    def monitor(self, command):
        """What it printed."""
        self.send("qRcmd," + command.encode().hex())
        text = ""
        while (packet := self.receive()) != "OK":
            assert packet[0] == "O", packet
            text += bytes.fromhex(packet[1:]).decode()
        return text

    def interrupt(self):
        self.raw(b"\x03")
        return self.receive()

    def close(self):
        self.socket.close()


class Debugged:
    """A lodge under --gdb, and its client."""

    def __init__(self, args, where="0", wait=True):
        words = [*args, "--gdb", where] + (["--gdb-wait"] if wait else [])
        self.process = subprocess.Popen(
            [LODGE, *map(str, words)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stderr.readline().decode()
        place = re.match(r"lodge: gdb: target remote (\S+)\n", line)
        assert place, line + self.process.stderr.read().decode()
        self.place = place[1]
        host, _, port = self.place.rpartition(":")
        self.address = (host, int(port)) if host else self.place

    def connect(self):
        return Client(self.address)

    def end(self, timeout=60):
        """Its output and status."""
        out, err = self.process.communicate(timeout=timeout)
        return out.decode(errors="replace"), err.decode(), \
            self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

# SPDX-License-Identifier: Apache-2.0
"""A guest's network: addresses, reachability, what the host sees of it.

LODGE_CONNECTIONS: how many of the short ones, 50 without it.
"""
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import textwrap
import time

import pexpect
import pytest

from conftest import LODGE, SOURCE, machine_of, run, spawn
from namespace import NO_SPACES, settled, wait_for
from test_linux import Shell

MIB = 1 << 20
CONNECTIONS = int(os.environ.get("LODGE_CONNECTIONS", "50"))
PEER = pathlib.Path(__file__).parent / "net" / "peer.c"
USER = LODGE.parent / "lodge-user-net.so"
MAC = "52:54:00:12:34:56"
PREFIX = "fd6c:6f64:6765:"

pytestmark = pytest.mark.skipif(not USER.exists(),
                                reason="built without libslirp")


@pytest.fixture(scope="session")
def peer(tmp_path_factory):
    """A program that is both ends of a network."""
    tool = PEER.with_suffix("")  # there where no compiler is
    if not tool.exists():
        if not shutil.which("gcc"):
            pytest.skip("gcc is missing")
        tool = tmp_path_factory.mktemp("peer") / "peer"
        subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o",
                        tool, PEER], check=True)
    return tool


@pytest.fixture(scope="session")
def guest(linux, peer, tmp_path_factory):
    """The default guest with that program."""
    folder = tmp_path_factory.mktemp("net")
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    folder / "more", "--file", f"{peer}:/bin/peer"],
                   check=True)
    initrd = linux.index("--initrd") + 1
    (folder / "initrd").write_bytes(
        pathlib.Path(linux[initrd]).read_bytes() +
        (folder / "more").read_bytes())
    return [*linux[:initrd], folder / "initrd", *linux[initrd + 1:]]


def free_port():
    """One that nobody has now, of TCP and UDP, in both families."""
    while True:
        with socket.socket(socket.AF_INET6) as tcp, \
                socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
            tcp.bind(("::", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("::", port))
            except OSError:
                continue
            return port


@pytest.fixture
def server(peer):
    """The port of a server on this computer."""
    port = free_port()
    with subprocess.Popen([peer, "serve", str(port)],
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield port
        process.kill()


def boot(linux, *args):
    """A guest's shell, once it has an address of each kind."""
    return addressed(Shell(spawn(*linux, *args, timeout=120)))


def addressed(shell):
    shell.run("for i in $(seq 100); do ip addr show eth0 | "
              "grep -q 'inet6.* global' && grep -q nameserver "
              "/etc/resolv.conf && break; sleep 0.1; done", timeout=120)
    return shell


def serve(shell):
    """The guest serves its port 7000."""
    shell.run("peer serve 7000 >/tmp/said & until grep -q ready /tmp/said; "
              "do sleep 0.1; done")


def inspect(name):
    return json.loads(run("inspect", "--json", name).stdout)


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_addresses(linux):
    """DHCP, router advertisement, the router's answers; the card's counts."""
    shell = boot(linux, "--net", f"user,mac={MAC}", "--name", "netted")
    addresses = shell.run("ip addr show eth0")
    assert f"link/ether {MAC}" in addresses
    assert "inet 10.0.2.15/24" in addresses
    assert f"inet6 {PREFIX}0:5054:ff:fe12:3456/64" in addresses
    assert "default via 10.0.2.2" in shell.run("ip route")
    assert shell.run("cat /etc/resolv.conf") == "nameserver 10.0.2.3"
    settled(shell)
    # A host that is busy may lose one.
    for words in "ping -c 3 -i 0.2 10.0.2.2", f"ping6 -c 3 -i 0.2 {PREFIX}:2":
        wait_for(shell, f"{words} | grep '3 packets received'", 5)
    (net,) = inspect("netted")["nets"]
    assert net["mac"] == MAC and net["mode"] == "user" and net["link"]
    assert net["sent"]["frames"] > 6 and net["received"]["bytes"] > 600
    text = run("status", "netted").stdout
    assert f"net        {MAC}: user, virtio, mtu 1500" in text
    assert shell.power_off() == 0


def test_other_networks(linux):
    """Two cards, each with a network of its own; another MTU."""
    shell = boot(linux, "--net", "user,net=192.168.7.0/27,net6=fd00:7::/64,"
                 "mtu=9000,queues=2", "--net", "user", "--cpus", 2)
    shell.run("for i in $(seq 100); do ip addr show eth1 | "
              "grep -q 'inet ' && break; sleep 0.1; done", timeout=120)
    addresses = shell.run("ip addr show eth0")
    assert "inet 192.168.7.15/27" in addresses and "mtu 9000" in addresses
    assert "inet6 fd00:7::" in addresses
    assert "inet 10.0.2.15/24" in shell.run("ip addr show eth1")
    assert "2 packets received" in shell.run(
        "ping -c 2 -s 8000 -i 0.2 192.168.7.2")
    assert "2 packets received" in shell.run("ping -c 2 -i 0.2 10.0.2.2")
    macs = shell.run("cat /sys/class/net/eth*/address").split()
    assert macs[0] != macs[1]
    assert shell.power_off() == 0


def test_none(linux):
    shell = Shell(spawn(*linux, "--net", "none", timeout=120))
    assert "1af4:1041" not in shell.run("cat /proc/bus/pci/devices; ls "
                                        "/sys/class/net")
    assert shell.run("ls /sys/class/net") == "lo"
    assert shell.power_off() == 0


@pytest.mark.parametrize("address", ["10.0.2.2", f"{PREFIX}:2"])
def test_to_this_computer(guest, server, address):
    """All kinds of traffic from the guest, each byte checked."""
    shell = boot(guest)
    half = 50 * MIB if address[0] == "1" else 4 * MIB
    shell.run(f"peer get {address} {server} {half}", timeout=300)
    shell.run(f"peer put {address} {server} {half}", timeout=300)
    shell.run(f"peer rr {address} {server} 200", timeout=300)
    shell.run(f"peer conn {address} {server} {CONNECTIONS}", timeout=900)
    for size in 1, 1400, 1452:
        shell.run(f"peer udp {address} {server} 20 {size}", timeout=300)
    if address[0] == "1":  # in fragments
        shell.run(f"peer udp {address} {server} 20 9000", timeout=300)
        assert "2 packets received" in shell.run(
            "ping -c 2 -s 8000 -i 0.2 10.0.2.2")
    # Several at the same time.
    shell.run(f"for i in 1 2 3 4; do peer get {address} {server} {MIB} & "
              f"peer put {address} {server} {MIB} & done; wait", timeout=300)
    assert shell.power_off() == 0


@pytest.mark.parametrize("address", ["10.0.2.2", f"{PREFIX}:2"])
def test_runs_of_datagrams(guest, server, address):
    """Many without a pause, there and back, each byte checked."""
    shell = boot(guest)
    for count, size in (20000, 1400), (5000, 1), (3000, 1452):
        shell.run(f"peer run {address} {server} {count} {size}", timeout=300)
    shell.run(f"for i in 1 2 3 4; do peer run {address} {server} 3000 $i$i$i & "
              "done; wait", timeout=300)
    shell.run(f"peer udp {address} {server} 20 1400", timeout=300)
    assert shell.power_off() == 0


def test_nobody_there(guest, server):
    """A guest hears that nobody takes its datagrams."""
    shell = boot(guest)
    for address in "10.0.2.2", f"{PREFIX}:2":
        shell.run(f"peer refused {address} {free_port()} 20", timeout=300)
        shell.run(f"peer run {address} {server} 1000 500", timeout=300)
    assert shell.power_off() == 0


def held(pid):
    """Descriptors of a process, and KiB of memory of its own."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return (len(os.listdir(f"/proc/{pid}/fd")),
            int(re.search(r"RssAnon:\s*(\d+)", status)[1]))


def test_many_connections(guest, server, peer):
    """Short ones, both ways: nothing of them stays."""
    port = free_port()
    shell = boot(guest, "--publish", f"{port}:7000")
    serve(shell)
    both = (lambda count: shell.run(
                f"peer conn 10.0.2.2 {server} {count}", timeout=1800),
            lambda count: subprocess.run(
                [peer, "conn", "127.0.0.1", str(port), str(count)],
                check=True, timeout=1800))
    for connect in both:
        connect(CONNECTIONS)
    fds, memory = held(machine_of(shell.child))
    for connect in both:
        connect(CONNECTIONS)
    deadline = time.monotonic() + 60
    while held(machine_of(shell.child))[0] > fds and time.monotonic() < deadline:
        time.sleep(0.1)
    assert held(machine_of(shell.child))[0] <= fds
    assert held(machine_of(shell.child))[1] < memory + 32768
    assert shell.power_off() == 0


def test_limits(guest, server):
    """No byte comes sooner than it may, and all do; then as they come."""
    shell = boot(guest, "--net", "user,bps-out=1M,bps-in=1M,burst=500ms",
                 "--name", "slow")
    for way in "get", "put":
        start = time.monotonic()
        shell.run(f"peer {way} 10.0.2.2 {server} {2 * MIB}", timeout=300)
        assert time.monotonic() - start > 1.4
    limits = json.loads(run("limit", "--json", "--net", "0", "slow").stdout)
    assert limits == {"pps-out": 0, "bps-out": MIB, "pps-in": 0,
                      "bps-in": MIB, "burst": 500}
    mac = inspect("slow")["nets"][0]["mac"]
    result = run("limit", "--net", mac, "slow", "bps-in=0", "bps-out=0",
                 "pps-out=100", "burst=100ms")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert run("limit", "--net", mac, "slow").stdout == (
        "frames out 100 a second\nbytes out  no limit\n"
        "frames in  no limit\nbytes in   no limit\nburst      100 ms\n")
    start = time.monotonic()
    shell.run(f"peer rr 10.0.2.2 {server} 100", timeout=300)
    assert time.monotonic() - start > 0.85
    run("limit", "--net", "0", "slow", "pps-out=0")
    shell.run(f"peer put 10.0.2.2 {server} {8 * MIB}", timeout=300)
    result = run("limit", "--net", "1", "slow")
    assert result.returncode == 1
    assert 'slow has no network card "1"' in result.stderr
    assert shell.power_off() == 0


def test_offloads_off(guest, server):
    """A guest that does all the work itself, and one that leaves all."""
    shell = boot(guest, "--net", "user,mtu=576")
    for amount in MIB, 70001:
        shell.run(f"peer get 10.0.2.2 {server} {amount}", timeout=300)
        shell.run(f"peer put 10.0.2.2 {server} {amount}", timeout=300)
    assert shell.power_off() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_publish(guest, peer, host):
    """From outside to the guest, in both families."""
    port = free_port()
    shell = boot(guest, "--publish", f"{port}:7000", "--publish",
                 f"{port}:7000/udp", "--cpus", 2, "--name", "published")
    serve(shell)
    for words in (["get", 8 * MIB], ["put", 8 * MIB], ["rr", 100],
                  ["conn", CONNECTIONS], ["udp", 20, 1400]):
        done = subprocess.run([peer, words[0], host, str(port),
                               *map(str, words[1:])], capture_output=True,
                              text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout
    (net,) = inspect("published")["nets"]
    assert net["publish"] == [f"{port}:7000", f"{port}:7000/udp"]
    assert shell.power_off() == 0


def test_without_namespaces(guest, server):
    """The broker makes the connections, by what it has looked at."""
    if subprocess.run([*NO_SPACES, "true"], check=False).returncode:
        pytest.skip("no user namespaces")
    shell = addressed(Shell(spawn(*guest, "--name", "bare", timeout=120,
                                  before=NO_SPACES)))
    told = json.loads(run("inspect", "--json", "bare").stdout)["sandbox"]
    assert not told["namespaces"]
    for address in "10.0.2.2", f"{PREFIX}:2":
        shell.run(f"peer get {address} {server} {MIB}")
    assert shell.power_off() == 0


def test_restricted(guest, server, peer):
    """It reaches nothing of this computer's but its own router; and is
    reached."""
    port = free_port()
    shell = boot(guest, "--net", "user,restrict", "--publish",
                 f"{port}:7000")
    serve(shell)
    subprocess.run([peer, "put", "127.0.0.1", str(port), str(MIB)],
                   check=True, timeout=300)
    assert "1 packets received" in shell.run("ping -c 1 10.0.2.2")
    for address in "10.0.2.2", f"{PREFIX}:2":
        assert "connect" in shell.run(
            f"timeout 3 peer get {address} {server} 1 || echo connect")
    assert shell.power_off() == 0


def test_taken_port(guest):
    """Who has it is told, and nothing stays behind."""
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            port = taken.getsockname()[1]
            udp = "/udp" if kind == socket.SOCK_DGRAM else ""
            result = run(*guest, "--publish", f"{port}:80{udp}")
            assert result.returncode == 1
            assert (f"--publish {port}:80{udp}: " in result.stderr and
                    f"(process {os.getpid()}) has port {port}"
                    in result.stderr)
            assert result.stderr.count("\n") == 1
    result = run(*guest, "--publish", "192.0.2.1:8080:80")
    assert "192.0.2.1:8080:80: is no address of this computer" in result.stderr
    result = run(*guest, "--net", "user,restrict", "--publish", "5353:53/udp")
    assert "restricted network answers TCP alone" in result.stderr


NAME_SERVER = """
    import os, socket, struct, subprocess, sys, threading
    subprocess.run(["busybox", "ifconfig", "lo", "up"], check=True)
    with open("resolv.conf", "w") as file:
        file.write("nameserver 127.0.0.1\\nnameserver ::1\\n")
    subprocess.run(["mount", "--bind", "resolv.conf",
                    os.path.realpath("/etc/resolv.conf")], check=True)
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", 53))
    def serve():
        while True:
            question, client = server.recvfrom(512)
            end = question.index(b"\\0", 12) + 5
            kind = struct.unpack("!H", question[end - 4:end - 2])[0]
            answer = b""
            if kind == 1:
                answer = struct.pack("!HHHIH4s", 0xc00c, 1, 1, 60, 4,
                                     bytes([192, 0, 2, 77]))
            server.sendto(question[:2] + struct.pack(
                "!HHHHH", 0x8180, 1, bool(answer), 0, 0) +
                question[12:end] + answer, client)
    threading.Thread(target=serve, daemon=True).start()
    sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


def test_names(guest, tmp_path):
    """The guest's name server is this computer's: here one that we play, in a
    network and with a resolv.conf of our own."""
    alone = ["unshare", "-rmn"]
    if not shutil.which("busybox") or subprocess.run(
            [*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces, or no busybox")
    (tmp_path / "dns.py").write_text(textwrap.dedent(NAME_SERVER))
    words = [*alone, sys.executable, tmp_path / "dns.py", LODGE, *guest]
    child = pexpect.spawn(str(words[0]), [str(w) for w in words[1:]],
                          cwd=tmp_path, timeout=120, encoding="utf-8",
                          codec_errors="replace", dimensions=(24, 200))
    shell = addressed(Shell(child))
    assert "192.0.2.77" in shell.run("nslookup -type=a www.example.org")
    assert "192.0.2.77" in shell.run(
        f"nslookup -type=a www.example.org {PREFIX}:3")
    assert shell.power_off() == 0


def test_capture(guest, server, tmp_path):
    """All frames, both ways, as a program that knows the format reads them."""
    path = tmp_path / "frames.pcap"
    shell = boot(guest, "--net", f"user,pcap={path}")
    shell.run("ping -c 3 -i 0.2 10.0.2.2")
    shell.run(f"peer put 10.0.2.2 {server} 100000")
    assert shell.power_off() == 0
    data = path.read_bytes()
    assert struct.unpack("<IHHIIII", data[:24]) == (
        0xa1b23c4d, 2, 4, 0, 0, 65553, 1)
    at, echoes, times, most = 24, [0, 0], [], 0
    while at < len(data):
        seconds, ns, stored, size = struct.unpack("<IIII", data[at:at + 16])
        frame = data[at + 16:at + 16 + stored]
        assert stored == size == len(frame) and ns < 1000000000
        at += 16 + stored
        times.append(seconds + ns / 1e9)
        most = max(most, size)
        if frame[12:14] == b"\x08\0" and frame[23] == 1:
            echoes[frame[34] == 0] += 1
    assert at == len(data) and echoes == [3, 3]
    assert times == sorted(times) and times[-1] - times[0] < 3600
    assert most > 1514  # what the guest left to be cut
    if shutil.which("tcpdump"):
        done = subprocess.run(["tcpdump", "-nr", path, "icmp"], check=True,
                              capture_output=True, text=True)
        assert done.stdout.count("ICMP echo reply") == 3


def test_a_capture_has_an_end(guest, server, tmp_path):
    path = tmp_path / "frames.pcap"
    shell = boot(guest, "--net", f"user,pcap={path},pcap-limit=64K")
    shell.run(f"peer put 10.0.2.2 {server} {MIB}")
    assert shell.power_off() == 0
    data, at = path.read_bytes(), 24
    while at < len(data):
        at += 16 + struct.unpack("<IIII", data[at:at + 16])[2]
    assert at == len(data) <= 65536
    result = run(*guest, "--net", f"user,pcap={path},pcap-limit=0")
    assert result.returncode == 2
    assert "pcap-limit=0: give a size such as 64M" in result.stderr


def test_capture_nowhere(guest):
    result = run(*guest, "--net", "user,pcap=/nowhere/x.pcap")
    assert result.returncode == 1
    assert "pcap=/nowhere/x.pcap: No such file" in result.stderr


def test_reboot(guest, server):
    """The card and its network survive a guest's reset."""
    shell = boot(guest)
    shell.run(f"peer get 10.0.2.2 {server} {MIB}")
    shell.child.sendline("reboot -f")
    shell.wait()
    addressed(shell)
    shell.run(f"peer get 10.0.2.2 {server} {MIB}")
    assert shell.power_off() == 0


@pytest.mark.parametrize("words, said", [
    (["--net", "mars"], "--net mars: give user, "),
    (["--net", "user=lab"], "--net user: takes no =lab"),
    (["--net", "user,mac=1:2:3"], "mac=1:2:3: give the address of one card"),
    (["--net", "user,mac=01:00:5e:00:00:01"], "the address of one card"),
    (["--net", "user,mtu=67"], "mtu=67: give 68 to 65535"),
    (["--net", "user,queues=9"], "queues=9: give 1 to 8"),
    (["--net", "user,model=ne2000"], "model=ne2000: give virtio"),
    (["--net", "user,net=10.0.2.0"], "net=10.0.2.0: give a network"),
    (["--net", "user,net=10.0.2.1/24"], "net=10.0.2.1/24: give a network"),
    (["--net", "user,net=10.0.0.0/28"], "of /8 to /27"),
    (["--net", "user,net6=fd00::/48"], "net6=fd00::/48: give a network"),
    (["--net", "user,bps-in=fast"], "bps-in=fast: give a number of bytes"),
    (["--net", "user,pps-out=-1"], "pps-out=-1: give a number of frames"),
    (["--net", "user,burst=2"], "burst=2: give a time such as"),
    (["--net", "user,cable=red"], 'there is no option "cable"'),
    (["--net", "user,restrict=yes"], "--net user: give restrict"),
    (["--net", "user,net=10.0.2.0/24,net=10.0.3.0/24"], "net is there twice"),
    (["--net", f"user,mac={MAC}", "--net", f"user,mac={MAC}"],
     f"two cards have the address {MAC}"),
    (["--net", "none", "--net", "user"], "--net none: stands alone"),
    (["--net", f"none,mac={MAC}"], "--net none: takes no options"),
    (["--net", "user"] * 9, "more than 8 network cards"),
    (["--publish", "80"], "--publish 80: give [HOST:]PORT:GUESTPORT[/udp]"),
    (["--publish", "0:80"], "--publish 0:80: give"),
    (["--publish", "8080:65536"], "give [HOST:]PORT"),
    (["--publish", "8080:80/sctp"], "give [HOST:]PORT"),
    (["--publish", "here:8080:80"], "give [HOST:]PORT"),
    (["--publish", "::1:8080:80"], "give [HOST:]PORT"),
    (["--net", "none", "--publish", "8080:80"], "goes with --net user"),
])
def test_wrong_words(words, said):
    result = run("run", *words)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1

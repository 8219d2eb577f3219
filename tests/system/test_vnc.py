# SPDX-License-Identifier: Apache-2.0
"""Viewers of a machine's display over VNC: what they see, type and break."""
import socket
import struct
import subprocess
import threading
import time

import pytest

import rfb
import tiny
from conftest import ENGINE, LODGE, rests, run
from picture import read_png
from test_firmware import needs_bios, needs_uefi

LIMIT = 180


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    base = tmp_path / "run"
    base.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))


@pytest.fixture
def start(tmp_path):
    """Starts a machine with a display; gives the child, and where it is."""
    children = []

    def go(*args, vnc=None):
        vnc = vnc or f"unix:{tmp_path}/vnc"
        child = subprocess.Popen(
            [LODGE, *map(str, args), "--display", f"vnc={vnc}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        children.append(child)
        line = child.stderr.readline()
        assert line.startswith("lodge: vnc: "), line
        where = line.split()[-1]
        return child, where if ":" in where else f"unix:{where}"
    yield go
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def idle(start, make_kernel):
    """One that does nothing."""
    def go(**kwargs):
        return start(*make_kernel(tiny.HALT), "--serial", "none", **kwargs)
    return go


def wait_for(condition, seconds=LIMIT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def viewer(where, **kwargs):
    return rfb.Viewer(rfb.connect(where), **kwargs)


# --- the picture ----------------------------------------------------------------

def is_still(eye):
    """Sees what there is until nothing has changed for half a second."""
    eye.refresh()
    eye.request()
    while eye.comes(0.5):
        eye.update()
        eye.request()


@needs_bios
@pytest.mark.parametrize("encodings", [rfb.ALL, (rfb.RAW,)])
def test_what_a_screenshot_shows(start, tmp_path, encodings):
    _, where = start("run", "--firmware", "bios", "--engine", ENGINE,
                     "--serial", "none")
    eye = viewer(where, encodings=(rfb.RAW, rfb.DESKTOP_SIZE))

    def is_up():
        eye.refresh()
        return eye.pixels.count(0xA8) + eye.pixels.count(0xAA) > 10000
    wait_for(is_up)
    # SeaBIOS hides the cursor when it has nothing to boot from.
    path = tmp_path / "shot.png"
    for _ in range(10):
        eye = viewer(where, encodings=encodings)
        eye.refresh()
        assert run("screenshot", "lodge", path).returncode == 0
        picture = read_png(path)
        assert (eye.width, eye.height) == (picture.width, picture.height)
        if rfb.rgb(eye) == picture.pixels:
            break
        time.sleep(0.5)  # it went on writing
    else:
        pytest.fail("pictures differ")


@needs_uefi
def test_the_uefi_shell(start, tmp_path):
    """Sizes change; keys come by keysym and by code."""
    log = tmp_path / "log"
    child, where = start("run", "--firmware", "uefi", "--engine", ENGINE,
                         "--serial", f"file:{log}")
    eye = viewer(where)
    plain = viewer(where, encodings=(rfb.ZRLE,))
    was = (plain.width, plain.height)

    def says(text):
        eye.request(False)
        eye.update()
        return log.exists() and text in log.read_bytes()

    def strike(keysym):
        eye.key(keysym, 1)
        eye.key(keysym, 0)
    wait_for(lambda: says(b"any other key to continue"))
    assert eye.codes and eye.absolute is False and eye.cursor[:2] == (8, 12)
    strike(0xFF1B)
    wait_for(lambda: says(b"Shell> "))
    # All of it at once, without the shift keys.
    for c in "echo Lodge-_! 4":
        strike(ord(c))
    for code in (0x03, 0x1C):  # 2, enter: by their place
        eye.key_code(code, 1)
        eye.key_code(code, 0)
    wait_for(lambda: says(b"\nLodge-_! 42\r\n"))
    assert (eye.width, eye.height) == (1280, 800)
    assert (plain.width, plain.height) == was
    plain.refresh()
    eye.refresh()
    for y in range(min(was[1], 8)):
        row = 4 * eye.width * y
        assert plain.pixels[4 * was[0] * y:][:4 * 200] == \
            eye.pixels[row:row + 4 * 200]
    for c in "reset -s":
        strike(ord(c))
    strike(0xFF0D)
    assert child.wait(LIMIT) == 0


def test_an_idle_screen_takes_no_processor_time(idle):
    child, where = idle()
    eyes = [viewer(where) for _ in range(3)]
    for eye in eyes:
        is_still(eye)
        assert not eye.comes(0)  # its request waits
    assert rests(child.pid, 0.01)
    for eye in eyes:
        eye.close()
    assert rests(child.pid, 0.01, 1)


# --- clients ---------------------------------------------------------------------

@pytest.mark.parametrize("version", [3, 7, 8, 889])
def test_versions(idle, version):
    _, where = idle()
    eye = viewer(where, version=version)
    assert eye.name == "lodge"
    eye.refresh()
    assert eye.pixels == bytes(len(eye.pixels))


def test_a_port(idle):
    _, where = idle(vnc="0")
    assert where.startswith("127.0.0.1:")
    viewer(where).refresh()


def test_many_viewers(idle):
    _, where = idle()
    eyes = [viewer(where) for _ in range(16)]
    for eye in eyes:
        eye.refresh()
    with pytest.raises((EOFError, OSError)):
        viewer(where)
    eyes.pop().close()
    wait_for(lambda: can_view(where), 10)
    for eye in eyes:
        eye.refresh()


def can_view(where):
    try:
        viewer(where).refresh()
    except (EOFError, OSError):
        return False
    return True


def test_silent_ones_make_room(idle):
    _, where = idle()
    held = [rfb.connect(where) for _ in range(40)]
    assert can_view(where)
    del held


def test_viewers_that_do_not_read(idle):
    child, where = idle()
    held = []
    for _ in range(4):
        eye = viewer(where, encodings=(rfb.RAW,))
        eye.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                eye.request(False)
        held.append(eye)
    viewer(where).refresh()
    with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
        resident = next(int(line.split()[1]) for line in status
                        if line.startswith("VmRSS"))
    assert resident < 200 << 10


HELLO = b"RFB 003.008\n\1\1"
EVENT = b"\5\1\0\1\0\1"


@pytest.mark.parametrize("words", [
    pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
    pytest.param(b"RFB 003.008\n\xff", id="security"),
    pytest.param(b"\0" * 100000, id="zeros"),
    pytest.param(HELLO + b"\xff" * 64, id="ones"),
    pytest.param(HELLO + b"\x63" * 64, id="message"),
    pytest.param(HELLO + struct.pack(">BBHII", 255, 0, 1, 0, 0x7FFFFFFF) * 99,
                 id="key-code"),
    pytest.param(HELLO + struct.pack(">B3xBBBBHHHBBB3x", 0, 0, 0, 0, 0, 0, 0,
                                     0, 255, 255, 255), id="no-format"),
    pytest.param(HELLO + struct.pack(">B3xBBBBHHHBBB3x", 0, 32, 255, 1, 1,
                                     65535, 65535, 65535, 31, 31, 31) +
                 struct.pack(">BxHi", 2, 1, 16) +
                 struct.pack(">BBHHHH", 3, 0, 9, 9, 65535, 65535),
                 id="odd-format"),
    pytest.param(HELLO + struct.pack(">B3xI", 6, 0xFFFFFFFF) + b"x" * 100000,
                 id="cut-text"),
    pytest.param(HELLO + struct.pack(">BxH", 2, 65535), id="encodings"),
    pytest.param(HELLO + EVENT * 100000, id="pointer"),
])
def test_hostile_words(idle, words):
    child, where = idle()
    sock = rfb.connect(where)
    try:
        sock.sendall(words)
        sock.settimeout(0.3)
        while sock.recv(65536):
            pass
    except (TimeoutError, OSError):
        pass
    sock.close()
    viewer(where).refresh()
    assert child.poll() is None


def test_a_viewer_that_leaves_while_it_is_served(idle):
    child, where = idle()

    def come_and_go():
        for _ in range(50):
            eye = viewer(where)
            eye.request(False)
            eye.close()
    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    viewer(where).refresh()
    assert child.poll() is None


# --- who may -----------------------------------------------------------------------

def des(key, data):
    """By openssl: three times the same key is DES once."""
    return subprocess.run(
        ["openssl", "enc", "-des-ede3-ecb", "-nopad", "-K",
         (key * 3).hex()], input=data, capture_output=True,
        check=True).stdout


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text("secret12\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("version", [3, 7, 8])
def test_password(idle, password, version):
    _, where = idle(vnc=f"0.0.0.0:0,password-file={password}")
    where = where.replace("0.0.0.0", "127.0.0.1")

    def enter(word):
        viewer(where, version=version, password=word, encrypt=des).refresh()
    enter("secret12")
    with pytest.raises(rfb.Refused) as refused:
        enter("secret1")
    if version == 8:
        assert str(refused.value) == "wrong password"
    # Guessing is slow: for a second even the right one is refused.
    with pytest.raises(rfb.Refused):
        enter("secret12")
    time.sleep(1.1)
    enter("secret12")


def refused(result, *words):
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr


def test_where_nobody_can_listen(make_kernel, tmp_path, password):
    def attempt(where):
        return run(*make_kernel(tiny.power_off()), "--display",
                   f"vnc={where}")
    refused(attempt("0.0.0.0:0"), "password-file", "ssh -L")
    refused(attempt("[::]:0"), "password-file")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(attempt(port), f"vnc port {port}", "in use")
    refused(attempt("localhost:1"), "numeric")
    refused(attempt(f"unix:{tmp_path}/none/x"), "none/x")
    refused(attempt(f"0,password-file={tmp_path}/none"), "none")
    password.chmod(0o644)
    refused(attempt(f"0,password-file={password}"), "chmod 600")
    password.chmod(0o600)
    password.write_text("far too long")
    refused(attempt(f"0,password-file={password}"), "8 characters")
    password.write_text("\n")
    refused(attempt(f"0,password-file={password}"), "8 characters")


@pytest.mark.parametrize("value", ["vnc", "vnc=", "vnc=,password-file=x",
                                   "vnc=0,password-file="])
def test_wrong_usage(value):
    result = run("run", "--display", value)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_socket_is_taken_away(idle, tmp_path):
    child, where = idle()
    viewer(where).refresh()
    assert oct((tmp_path / "vnc").stat().st_mode & 0o777) == "0o600"
    child.terminate()
    assert child.wait(30) == 0
    assert not (tmp_path / "vnc").exists()

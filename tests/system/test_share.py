# SPDX-License-Identifier: Apache-2.0
"""Shared folders: a guest's programs in them, what the host sees of that and
the guest of the host's changes, and ends of every kind."""
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import time

import pytest

from conftest import BUILD, LODGE, SOURCE, run

LIMIT = 120
MIB = 1 << 20


def until(condition, seconds=LIMIT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def sh(guest, script, **kwargs):
    return run("exec", "--timeout", LIMIT, guest, "--", "sh", "-c", script,
               timeout=LIMIT + 10, **kwargs)


def output(guest, script):
    result = sh(guest, script)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def runtime():
    """The folder of control sockets, for all tests here."""
    return pathlib.Path(os.environ["XDG_RUNTIME_DIR"]) / "lodge"


@pytest.fixture(scope="module")
def boot(linux_agent, runtime):
    """Starts a machine with the default guest, and today's agent in it."""
    if not (BUILD / "guest/default/modules/virtiofs.ko").exists():
        pytest.skip("the default guest is an old one: make guest")
    children = []

    def start(name, *more):
        child = subprocess.Popen([LODGE, *map(str, linux_agent), "--name",
                                  name, "--serial", "none", *map(str, more)],
                                 stdin=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True)
        children.append(child)
        until(lambda: (runtime / f"{name}.sock").exists() or
              child.poll() is not None)
        result = sh(name, "true")
        assert result.returncode == 0, result.stderr
        return child

    yield start
    for child in children:
        child.terminate()
        child.wait(60)
        child.stderr.close()


class Folders:
    """What the guest has: /mnt/s of `work`, /mnt/ro of `fixed`."""
    guest = "shares"

    def __init__(self, base):
        self.base = base
        self.work, self.fixed = base / "work", base / "fixed"
        for folder in (self.work, self.fixed):
            folder.mkdir()
        (base / "secret").write_text("secret\n")
        (self.fixed / "file").write_text("fixed\n")
        (self.fixed / "deep/er").mkdir(parents=True)
        (self.fixed / "deep/er/one").write_text("1\n")
        (self.fixed / "out").symlink_to(base / "secret")
        (self.fixed / "up").symlink_to("../secret")
        (self.fixed / "in").symlink_to("deep/er/one")


@pytest.fixture(scope="module")
def shared(boot, tmp_path_factory):
    folders = Folders(tmp_path_factory.mktemp("folders"))
    boot(folders.guest, "--cpus", "2", "--share", f"{folders.work}:/mnt/s",
         "--share", f"{folders.fixed}:/mnt/ro,readonly",
         "--share", f"{folders.work}:/mnt/now,cache=none")
    return folders


def servers(folder):
    """Processes of lodge-share for this folder."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"lodge-share" and str(folder).encode() in words:
            found.append(int(path.parent.name))
    return found


# --- a guest's view ----------------------------------------------------------

def test_mounted_by_the_agent(shared):
    lines = output(shared.guest, "grep virtiofs /proc/mounts").split("\n")
    assert lines[0].startswith("share0 /mnt/s virtiofs rw,")
    assert lines[1].startswith("share1 /mnt/ro virtiofs ro,")


def test_by_hand(shared):
    assert output(shared.guest, "mkdir /by && mount -t virtiofs share1 /by && "
                  "cat /by/deep/er/one && umount /by") == "1\n"


def test_readonly(shared):
    """The guest's mount may say otherwise: the server does not."""
    output(shared.guest, "mkdir -p /rw && mount -t virtiofs share1 /rw")
    for attempt in ("echo x >/rw/new", "echo x >>/rw/file", "rm /rw/file",
                    "mv /rw/file /rw/other", "chmod 777 /rw/file",
                    "mkdir /rw/d", "ln /rw/file /rw/l", "rmdir /rw/deep",
                    "touch /rw/file", ": >/rw/file", "ln -s x /rw/y",
                    "mkfifo /rw/f"):
        result = sh(shared.guest, attempt)
        assert result.returncode, attempt
        assert "Read-only file system" in result.stderr, attempt
    output(shared.guest, "umount /rw")
    assert (shared.fixed / "file").read_text() == "fixed\n"
    assert sorted(os.listdir(shared.fixed)) == ["deep", "file", "in", "out",
                                                "up"]


def test_links_lead_nowhere_else(shared):
    """Links are the guest's to follow: they end in its own tree."""
    assert output(shared.guest, "cat /mnt/ro/in") == "1\n"
    for name in ("out", "up"):
        result = sh(shared.guest, f"cat /mnt/ro/{name}")
        assert result.returncode and "secret\n" not in result.stdout
        assert "No such file" in result.stderr
    assert sh(shared.guest, "ls /mnt/ro/../../secret").returncode


def test_programs(shared):
    """System calls, by a program of ours; the host sees what it did."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is missing")
    subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror",
                    "-D_GNU_SOURCE", "-o", shared.work / "checks",
                    SOURCE / "tests/system/share_checks.c"], check=True)
    folder = shared.work / "programs"
    folder.mkdir()
    result = sh(shared.guest, "/mnt/s/checks /mnt/s/programs")
    assert result.returncode == 0, result.stdout
    assert (folder / "files/a").stat().st_size == 3
    assert (folder / "mapped/a").read_bytes()[5000:5006] == b"mapped"
    assert stat.S_ISFIFO((folder / "modes/p").stat().st_mode)
    if not os.geteuid():
        assert (folder / "modes/a").stat().st_uid == 1234
    assert os.readlink(folder / "links_out/r") == "/../../../../.."
    assert not list((folder / "folders").iterdir())


def test_users(shared):
    """Root's server gives files to the guest's users."""
    if os.geteuid():
        pytest.skip("files are this user's")
    output(shared.guest, "echo 'u:x:1500:1600::/:/bin/sh' >>/etc/passwd; "
           "mkdir -m 777 /mnt/s/open; "
           "su u -c 'cd /mnt/s/open && echo x >f && mkdir d && ln -s f l'")
    for name in ("f", "d", "l"):
        status = (shared.work / "open" / name).lstat()
        assert (status.st_uid, status.st_gid) == (1500, 1600), name
    assert sh(shared.guest, "su u -c 'echo x >/mnt/s/mine'").returncode


def test_big(shared):
    """A file of many requests, both ways."""
    data = os.urandom(24 * MIB + 4321)
    (shared.work / "big").write_bytes(data)
    digest = hashlib.md5(data).hexdigest()
    assert output(shared.guest, "cd /mnt/s; md5sum <big; cp big back; "
                  "md5sum <back").split() == [digest, "-", digest, "-"]
    assert hashlib.md5((shared.work / "back").read_bytes()).hexdigest() == \
        digest


def test_many(shared):
    folder = shared.work / "many"
    for i in range(8):
        (folder / f"d{i}").mkdir(parents=True)
        for k in range(50):
            (folder / f"d{i}" / f"f{k}").write_text(f"{i} {k}\n")
    lines = output(shared.guest, "find /mnt/s/many -type f | wc -l; "
                   "cat /mnt/s/many/*/* | sort | md5sum; "
                   "cp -r /mnt/s/many /mnt/s/copy; rm -r /mnt/s/many")
    text = sorted(f"{i} {k}\n" for i in range(8) for k in range(50))
    assert lines.split()[:2] == [
        "400", hashlib.md5("".join(text).encode()).hexdigest()]
    assert not folder.exists()
    assert len(list((shared.work / "copy").glob("*/*"))) == 400


def test_host_changes(shared):
    """What the host does, the guest sees: content, names, attributes. At once
    where it knows nothing for a moment."""
    file = shared.work / "seen"
    for i in range(5):
        file.write_text(f"{i}\n")
        assert output(shared.guest, "cat /mnt/now/seen") == f"{i}\n"
    file.rename(shared.work / "moved")
    assert output(shared.guest, "cat /mnt/now/moved; ls /mnt/now/seen 2>&1 "
                  "|| :").startswith("4\n")
    assert sh(shared.guest, "cat /mnt/now/seen").returncode
    (shared.work / "moved").chmod(0o751)
    assert output(shared.guest, "stat -c %a /mnt/now/moved") == "751\n"
    (shared.work / "moved").unlink()
    assert sh(shared.guest, "cat /mnt/now/moved").returncode


@contextlib.contextmanager
def looking(guest, condition):
    """The guest asks again and again, and ends when that holds no more."""
    with subprocess.Popen(
            [LODGE, "exec", guest, "--", "sh", "-c",
             f"echo looking; while {condition}; do :; done; echo seen"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"looking\n"
        yield
        assert child.communicate(timeout=LIMIT)[0] == b"seen\n"


def test_host_changes_soon(shared):
    """And soon where it does: a guest that looks all the time sees it."""
    file = shared.work / "soon"
    file.write_text("before\n")
    with looking(shared.guest, '[ "$(cat /mnt/s/soon)" = before ]'):
        file.write_text("and afterwards\n")
    with looking(shared.guest, "[ -e /mnt/s/soon ]"):
        file.unlink()


def test_replaced_below(shared):
    """A folder that the guest stands in is replaced by the host."""
    (shared.work / "top/sub").mkdir(parents=True)
    (shared.work / "top/sub/x").write_text("old\n")
    assert output(shared.guest, "cat /mnt/now/top/sub/x") == "old\n"
    (shared.work / "top").rename(shared.work / "top.old")
    (shared.work / "top/sub").mkdir(parents=True)
    (shared.work / "top/sub/x").write_text("new\n")
    assert output(shared.guest, "cat /mnt/now/top/sub/x") == "new\n"


def test_inspect(shared):
    lines = json.loads(run("status", "--json", shared.guest).stdout)
    shares = lines["shares"]
    assert [s["at"] for s in shares] == ["/mnt/s", "/mnt/ro", "/mnt/now"]
    assert shares[1]["readonly"] and not shares[0]["readonly"]
    assert sorted(s["server"] for s in shares) == \
        sorted(servers(shared.work) + servers(shared.fixed))


# --- while it runs -----------------------------------------------------------

def refused(result, *words):
    assert result.returncode in (1, 2)
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr


def test_attached_and_detached(boot, tmp_path):
    """It comes and is mounted, stays while it is used, goes all the same with
    --force, and its server with it."""
    (tmp_path / "file").write_text("x\n")
    boot("plug", "--share", f"{SOURCE}:/mnt/first,readonly")

    result = run("attach", "plug", "share", f"{tmp_path}:/mnt/s")
    assert (result.returncode, result.stdout) == (0, "share1\n"), result.stderr
    assert output("plug", "cat /mnt/s/file; echo y >/mnt/s/new") == "x\n"
    assert (tmp_path / "new").read_text() == "y\n"
    # Its server may do what one of the start does, though a broker started it.
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-static",
                    "-D_GNU_SOURCE", "-o", tmp_path / "checks",
                    SOURCE / "tests/system/share_checks.c"], check=True)
    (tmp_path / "programs").mkdir()
    result = sh("plug", "/mnt/s/checks /mnt/s/programs")
    assert result.returncode == 0, result.stdout + result.stderr
    result = run("attach", "plug", "share",
                 f"{tmp_path}:/mnt/deep/er,readonly,tag=two")
    assert result.stdout == "two\n", result.stderr
    assert output("plug", "cat /mnt/deep/er/file; "
                  "touch /mnt/deep/er/no 2>/dev/null || echo ro") == "x\nro\n"
    shares = json.loads(run("status", "--json", "plug").stdout)["shares"]
    assert [(s["tag"], s["at"], s["attached"], s["readonly"])
            for s in shares] == [("share0", "/mnt/first", False, True),
                                 ("share1", "/mnt/s", True, False),
                                 ("two", "/mnt/deep/er", True, True)]
    assert "  two: share " in run("inspect", "plug").stdout

    for value, words in ((f"{tmp_path}:/x,tag=two", "has the tag two"),
                         (f"{tmp_path}/none:/x", "there is no such folder"),
                         (f"{tmp_path}", "give FOLDER:GUESTFOLDER")):
        refused(run("attach", "plug", "share", value), words)
    refused(run("detach", "plug", "share0"), "nothing named share0")

    with subprocess.Popen([LODGE, "exec", "-i", "plug", "--", "sh", "-c",
                           "cd /mnt/s; echo in; cat"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as user:
        assert user.stdout.readline() == b"in\n"
        refused(run("detach", "plug", "share1"), "/mnt/s: ", "--force")
        assert len(servers(tmp_path)) == 2
        result = run("detach", "--force", "plug", "share1", timeout=LIMIT)
        assert result.returncode == 0, result.stderr
        assert len(servers(tmp_path)) == 1
        assert output("plug", "cat /mnt/deep/er/file") == "x\n"
        # The tag is free again.
        result = run("attach", "plug", "share", f"{tmp_path}:/mnt/t")
        assert result.stdout == "share1\n", result.stderr
        assert output("plug", "cat /mnt/t/new") == "y\n"
    assert run("stop", "--force", "plug").returncode == 0
    until(lambda: not servers(tmp_path))


# --- ends --------------------------------------------------------------------

def test_server_killed(boot, tmp_path):
    """Errors where it was, nothing that waits, and a machine that goes on."""
    (tmp_path / "file").write_text("x\n")
    child = boot("orphan", "--share", f"{tmp_path}:/mnt/s", "--share",
                 f"{SOURCE}:/mnt/other,readonly")
    assert output("orphan", "cat /mnt/s/file") == "x\n"
    server, = servers(tmp_path)
    os.kill(server, signal.SIGKILL)
    until(lambda: not servers(tmp_path))
    result = sh("orphan", "ls /mnt/s; cat /mnt/s/file; echo y >/mnt/s/new")
    assert result.returncode
    assert "not connected" in result.stderr
    assert output("orphan", "head -1 /mnt/other/LICENSE; umount /mnt/s; "
                  "echo well") .endswith("well\n")
    assert child.poll() is None


def test_killed(boot, tmp_path):
    """kill -9 leaves no process."""
    child = boot("victim", "--share", f"{tmp_path}:/mnt/s")
    assert len(servers(tmp_path)) == 1
    child.kill()
    child.wait(LIMIT)
    until(lambda: not servers(tmp_path))


def test_guest_reset(boot, tmp_path):
    """After a reset the guest mounts anew."""
    (tmp_path / "file").write_text("x\n")
    boot("again", "--share", f"{tmp_path}:/mnt/s")
    output("again", "exec 3</mnt/s/file; echo 1 >/mnt/s/first")
    assert run("reset", "again").returncode == 0
    until(lambda: sh("again", "cut -d. -f1 /proc/uptime").stdout.strip()
          .isdigit())
    until(lambda: output("again", "cat /mnt/s/first 2>/dev/null || :") ==
          "1\n")


# --- wrong words -------------------------------------------------------------

@pytest.mark.parametrize("value,words", [
    ("", "give FOLDER:GUESTFOLDER"),
    ("/tmp", "give FOLDER:GUESTFOLDER"),
    (":/x", "give FOLDER:GUESTFOLDER"),
    ("/tmp:x", "give FOLDER:GUESTFOLDER"),
    ("/tmp:/", "not / itself"),
    ("/tmp:/x,wrong", "cache=none, cache=auto and tag=NAME"),
    ("/tmp:/x,tag=", "1 to 36 characters"),
    ("/tmp:/" + "x" * 300, "200 characters"),
])
def test_usage(value, words):
    result = run("run", "--share", value)
    assert result.returncode == 2
    assert words in result.stderr and result.stderr.count("\n") == 1


def test_two_alike():
    assert "that place" in run("run", "--share", "/tmp:/x", "--share",
                               "/usr:/x").stderr
    assert "that tag" in run("run", "--share", "/tmp:/x,tag=t", "--share",
                             "/usr:/y,tag=t").stderr
    assert "8 already" in run("run", *[word for i in range(9) for word in
                                       ("--share", f"/tmp:/x{i}")]).stderr


def test_no_such_folder(tmp_path):
    missing = tmp_path / "missing"
    result = run("run", "--share", f"{missing}:/x")
    assert result.returncode == 1
    assert result.stderr == (f"lodge: share {missing}: there is no such "
                             "folder; make it first, or name another\n")
    file = tmp_path / "file"
    file.write_text("")
    result = run("run", "--share", f"{file}:/x")
    assert result.returncode == 1 and "is no folder" in result.stderr

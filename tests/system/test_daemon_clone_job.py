# SPDX-License-Identifier: Apache-2.0
"""A clone as a job: what is told of it, its cancel, and the end of the process
that makes its disks at each step. Nothing half made stays."""
import signal
import subprocess

import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import LODGED, OtherPrograms, wait_for
from kills import KILL_AT, UNTRACED, sweep
from test_daemon_image import keep_image

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

MIB = 1 << 20


class Slow(OtherPrograms):
    """One whose program for the disks of clones is what a test says."""
    def helper(self, text):
        self.script("lodge", f'[ "$1" = clone ] || exec "$real" "$@"\n{text}')


@pytest.fixture
def lodged(tmp_path):
    try:
        daemon = Slow(tmp_path)
    except OSError as error:
        pytest.skip(f"the programs cannot be linked to: {error}")
    assert daemon.start() == "ok"
    keep_image(daemon, tiny.kernel(tiny.HALT))
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"base".ljust(512) * 2048)
    daemon.make("web", image="tiny", memory=16 * MIB, engine=ENGINE,
                disks=[{"path": str(disk)}])
    # It has its disk of the image from its first start on.
    assert daemon.say("web", "start").status == 200
    assert daemon.say("web", "stop", {"force": True}).status == 200
    yield daemon
    daemon.clear()


def clone(lodged, wait=0):
    return lodged.ask("POST", f"/v1/vms/web/clone?wait={wait}",
                      {"name": "two"})


def end_of(lodged, job):
    """What became of it."""
    assert job.status in (200, 202), job.text

    def ended():
        now = lodged.ask("GET", f"/v1/jobs/{job['id']}")
        return now["state"] != "active" and now
    return wait_for(ended)


def check_gone(lodged, config):
    """Of the clone nothing is there, and the other is as it was."""
    assert lodged.ask("GET", "/v1/vms/two").status == 404
    assert lodged.vm("web")["config"] == config
    web = lodged.vm("web")["id"]
    assert [p.name for p in (lodged.data / "vms").iterdir()] == [web]
    assert not list((lodged.data / "vms").glob("*/*.qcow2*"))
    machines = lodged.data / "machines"
    assert not (machines / "two").exists()


def check_works(lodged):
    """It can be made after all, and both run."""
    lodged.helper('exec "$real" "$@"')
    answer = clone(lodged, 120)
    assert answer.status == 200, answer.text
    for name in "web", "two":
        assert lodged.say(name, "start").status == 200
        assert lodged.say(name, "stop", {"force": True}).status == 200
    # What a killed process left in the store the next one has cleared away.
    assert {p.name for p in (lodged.data / "machines").iterdir()} == {
        "web", "two"}
    result = lodged.cli("rm", "--all")
    assert result.returncode == 0, result.stderr
    assert not list((lodged.data / "vms").iterdir())
    assert not list((lodged.data / "machines").iterdir())


HELD = {"before": "exec sleep 1000", "after": '"$real" "$@"; exec sleep 1000'}


@pytest.mark.parametrize("held", HELD)
def test_cancel(lodged, held):
    config = lodged.vm("web")["config"]
    lodged.helper(HELD[held])
    job = clone(lodged)
    assert job.status == 202
    path = f"/v1/jobs/{job['id']}"
    done = 0 if held == "before" else 2
    wait_for(lambda: lodged.ask("GET", path)["progress"] == {
        "step": "making disks", "done": done, "total": 2})
    if held == "after":
        wait_for((lodged.data / "machines" / "two").exists)
    assert lodged.state("two") == "cloning"
    answer = lodged.say("two", "start")
    assert answer.status == 409 and "is being made" in answer["detail"]
    assert lodged.ask("DELETE", "/v1/vms/web").status == 409
    assert lodged.ask("DELETE", path).status == 202
    answer = end_of(lodged, job)
    assert answer["state"] == "failed"
    assert answer["error"]["code"] == "cancelled"
    check_gone(lodged, config)
    answer = lodged.ask("DELETE", path)
    assert answer.status == 409 and "is over" in answer["detail"]
    check_works(lodged)


def test_a_cancel_outlives_lodged(lodged):
    config = lodged.vm("web")["config"]
    lodged.helper(HELD["after"])
    job = clone(lodged)
    wait_for((lodged.data / "machines" / "two").exists)
    assert lodged.ask("DELETE", f"/v1/jobs/{job['id']}").status == 202
    lodged.kill()
    assert lodged.start() == "ok"
    wait_for(lambda: lodged.ask("GET", "/v1/vms/two").status == 404)
    check_gone(lodged, config)
    check_works(lodged)


def test_from_the_command_line(lodged):
    config = lodged.vm("web")["config"]
    lodged.helper(HELD["before"])
    child = subprocess.Popen([LODGE, "clone", "web", "two"], env=lodged.env,
                             stderr=subprocess.PIPE, text=True)
    wait_for(lambda: lodged.ask("GET", "/v1/vms/two").status == 200)
    child.send_signal(signal.SIGINT)
    told = child.communicate(timeout=120)[1]
    assert child.returncode == 1
    assert told == "lodge: clone: two is not made: it was cancelled\n"
    check_gone(lodged, config)
    check_works(lodged)


def test_its_process_is_killed(lodged):
    """Before each system call that changes something."""
    if subprocess.run([KILL_AT, "1", "/bin/true"]).returncode == UNTRACED:
        pytest.skip("processes may not be traced here")
    config = lodged.vm("web")["config"]

    def kill(point):
        lodged.helper(f'exec "{KILL_AT}" --alone {point} "$real" "$@"')
        job = end_of(lodged, clone(lodged))
        if job["state"] == "done":
            # The other goes on on a layer of its own; begin again without.
            assert lodged.ask("DELETE", "/v1/vms/two?wait=60").status == 200
            assert lodged.ask("PATCH", "/v1/vms/web", {"config": {
                "disks": config["disks"]}}).status == 200
            for path in (lodged.data / "vms").glob("*/disk-*"):
                path.unlink()
            return False
        check_gone(lodged, config)
        return True

    sweep(kill, some=8)
    check_works(lodged)

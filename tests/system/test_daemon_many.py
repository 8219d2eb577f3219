# SPDX-License-Identifier: Apache-2.0
"""Many machines kept and several default guests that run at the same time:
all come up, each answers, lodged finds all of them again. `make many` and
LODGE_KEPT=200 LODGE_RUNNING=50 are the whole of it."""
import os

import pytest

from conftest import ENGINE
from daemon import LODGED, figures, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

KEPT = int(os.environ.get("LODGE_KEPT", "60"))
RUNNING = int(os.environ.get("LODGE_RUNNING", "6"))


def states(lodged):
    listed, after = [], ""
    while after is not None:
        page = lodged.ask("GET", f"/v1/vms?limit=25&after={after}").json
        listed += page["vms"]
        after = page.get("next")
    return {vm["name"]: vm["state"] for vm in listed}


def test_many(lodged):
    names = [f"run{i}" for i in range(RUNNING)]
    for i in range(KEPT - RUNNING):
        lodged.make(f"kept{i}", memory=1 << 30)
    for name in names:
        lodged.make(name, memory=96 << 20, engine=ENGINE,
                    labels={"many": "yes"})
    done = lodged.cli("start", "--label", "many")
    assert done.returncode == 0, done.stderr
    for name in names:
        done = lodged.cli("exec", name, "--", "cat",
                          "/proc/sys/kernel/hostname")
        assert done.stdout == "lodge\n", (name, done.stderr)
    wanted = {vm: "running" if vm in names else "stopped"
              for vm in (*names, *(f"kept{i}" for i in range(KEPT - RUNNING)))}
    assert states(lodged) == wanted
    metrics = figures(lodged.ask("GET", "/metrics").text.decode())
    assert metrics["lodge_vms", 'state="running"'] == RUNNING
    assert len([1 for name, _ in metrics
                if name == "lodge_vm_network_receive_bytes_total"]) == RUNNING
    # It is killed: they go on, and it finds them.
    before = lodged.processes()
    assert len(before) == RUNNING
    lodged.kill()
    assert lodged.start() == "ok"
    wait_for(lambda: states(lodged) == wanted)
    assert lodged.processes() == before
    assert {vm["name"] for vm in lodged.ps().values()
            if vm["state"] == "running"} == set(names)
    done = lodged.cli("stop", "--all", "--force")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: not lodged.processes())
    assert set(states(lodged).values()) == {"stopped"}

# SPDX-License-Identifier: Apache-2.0
"""Networks that are VLANs of an uplink, in a Debian: its kernel has VLANs,
this host's may not. Takes minutes (`make vlan`): lodge runs in a guest of lodge.
"""
import os
import signal
import subprocess

import pytest

from conftest import BUILD, ENGINE, LODGE, SOURCE, run

LIMIT = 900
NAME = "vlan"

pytestmark = pytest.mark.skipif("LODGE_VLAN" not in os.environ,
                                reason="takes minutes: make vlan")


def test_vlan(debian, tmp_path):
    tmp_path.chmod(0o700)
    where = {"env": {**debian["env"], "XDG_RUNTIME_DIR": str(tmp_path)}}
    shares = [word for folder, place in (
        ("/usr", "/host/usr"), ("/etc", "/host/etc"), (BUILD, "/build"),
        (SOURCE / "tests/system/net", "/scripts"))
        for word in ("--share", f"{folder}:{place},readonly,cache=auto")]
    with subprocess.Popen(
            [LODGE, "run", "debian", "--name", NAME, "--ephemeral", "--engine",
             ENGINE, "--memory", "2G", "--serial", "none", *shares],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            **where) as machine:
        try:
            while run("status", NAME, **where).returncode:
                assert machine.poll() is None
            result = run("exec", "--timeout", LIMIT, NAME, "--",
                         "/scripts/vlan.sh", timeout=2 * LIMIT, **where)
            assert result.returncode == 0, result.stdout + result.stderr
            assert result.stdout.endswith("vlan works\n"), result.stdout
        finally:
            machine.send_signal(signal.SIGTERM)

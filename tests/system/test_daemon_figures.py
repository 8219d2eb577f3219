# SPDX-License-Identifier: Apache-2.0
"""What lodged tells of machines in figures: of their processes, disks and
cards, for Prometheus and one by one."""
import os
import signal

import pytest

import tiny
from conftest import ENGINE
from daemon import LODGED, figures

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")



@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "idle.elf"
    path.write_bytes(tiny.kernel(tiny.HALT))
    return {"kernel": str(path), "memory": 16 << 20, "engine": ENGINE}


def test_figures(lodged, kernel):
    made = lodged.make("web", **kernel)
    lodged.make("db", cpus=2)
    lodged.say("web", "start")
    answer = lodged.ask("GET", "/metrics")
    assert answer.type.startswith("text/plain; version=0.0.4")
    found = figures(answer.text.decode())
    web = f'vm="web",id="{made["id"]}"'
    assert found["lodge_vms", 'state="running"'] == 1
    assert found["lodge_vms", 'state="stopped"'] == 1
    assert found["lodge_vm_running", web] == 1
    assert found["lodge_vm_memory_bytes", web] == 16 << 20
    assert found["lodge_vm_resident_memory_bytes", web] > 0
    names = [labels for name, labels in found
             if name == "lodge_vm_cpu_seconds_total"]
    assert names == [web], "of those alone that have a process"
    assert found["lodge_host_cpus", None] == os.cpu_count()
    again = figures(lodged.ask("GET", "/metrics").text.decode())
    key = "lodge_api_answers_total", 'class="2xx"'
    assert again[key] == found[key] + 1
    assert again["lodge_api_clients", None] == 1


def test_figures_of_disks_and_cards(lodged, tmp_path):
    """What a guest reads, writes and sends is counted, and its helpers are."""
    disk, share = tmp_path / 'a "disk".raw', tmp_path / "share"
    disk.write_bytes(bytes(8 << 20))
    share.mkdir()
    lodged.make("web", memory=128 << 20, shares=[f"{share}:/mnt"],
                disks=[{"path": str(disk)}])
    stopped = lodged.ask("GET", "/v1/vms/web/figures").json
    assert sorted(stopped) == ["id", "name", "state"]
    assert lodged.say("web", "start").status == 200
    before = lodged.ask("GET", "/v1/vms/web/figures").json
    done = lodged.cli("exec", "web", "--", "sh", "-c",
                      "dd if=/dev/vda of=/dev/null bs=1M iflag=direct && "
                      "dd if=/dev/zero of=/dev/vda bs=1M count=2 && sync && "
                      "until ip route | grep -q default; do sleep 0.1; done; "
                      "ping -c 3 10.0.2.2")
    assert done.returncode == 0, done.stderr
    found = lodged.ask("GET", "/v1/vms/web/figures").json
    disks, = found["disks"]
    assert disks["path"] == str(disk)
    assert disks["read"]["bytes"] >= 8 << 20
    assert 8 <= disks["read"]["requests"] <= 8 << 11
    assert disks["written"]["bytes"] >= 2 << 20
    card, = found["networks"]
    for way in "sent", "received":
        assert card[way]["frames"] >= 3 and card[way]["bytes"] > 3 * 64
    assert found["cpu_seconds"] >= before["cpu_seconds"]
    assert found["memory"] > 16 << 20
    assert found["pid"] == lodged.vm("web")["pid"]
    if os.path.exists(f"/proc/{found['pid']}/task/{found['pid']}/children"):
        assert found["processes"] > 1, "the share's server at least"
    metrics = figures(lodged.ask("GET", "/metrics").text.decode())
    web = f'vm="web",id="{found["id"]}",number="0"'
    path = str(disk).replace('"', '\\"')
    assert metrics["lodge_vm_disk_read_bytes_total",
                   f'{web},path="{path}"'] >= 8 << 20
    mac = f'{web},mac="{card["mac"]}"'
    assert metrics["lodge_vm_network_transmit_packets_total", mac] >= 3
    assert metrics["lodge_vm_network_receive_drops_total", mac] >= 0
    # A process that does not answer is waited for no longer than a second.
    os.kill(found["pid"], signal.SIGSTOP)
    try:
        still = lodged.ask("GET", "/v1/vms/web/figures").json
        metrics = figures(lodged.ask("GET", "/metrics").text.decode())
    finally:
        os.kill(found["pid"], signal.SIGCONT)
    assert "disks" not in still and still["cpu_seconds"] > 0
    assert metrics["lodge_vms", 'state="running"'] == 1
    assert not any("_disk_" in name for name, labels in metrics)

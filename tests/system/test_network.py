# SPDX-License-Identifier: Apache-2.0
"""Networks of one's own: their records."""
import json

import pytest

from conftest import run


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def net(*words):
    done = run("net", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def show(name):
    return json.loads(net("show", name, "--json"))


def test_records(tmp_path):
    """Made, listed, changed, deleted; each seen by the next command."""
    assert net("list") == "" and json.loads(net("list", "--json")) == []
    net("create", "lab")
    made = json.loads(net("create", "cage", "--kind", "isolated", "--subnet",
                          "10.7.0.0/24", "--subnet", "fd00:7::/64", "--dhcp",
                          "10.7.0.100-10.7.0.199", "--domain", "cage.test",
                          "--mtu", "9000", "--json"))
    assert made == show("cage")
    assert made["kind"] == "isolated" and made["backing"] == "switch"
    assert made["subnets"] == ["10.7.0.0/24", "fd00:7::/64"]
    assert made["dhcp"] == "10.7.0.100-10.7.0.199" and made["mtu"] == 9000
    assert made["users"] == [] and not made["damaged"]
    lab = show("lab")
    assert lab["kind"] == "nat" and lab["domain"] == "internal"
    assert lab["subnets"][0].startswith("10.89.")
    assert [n["name"] for n in json.loads(net("list", "--json"))] == [
        "cage", "lab"]
    assert "cage  isolated  switch" in net("list")
    net("edit", "cage", "--dhcp", "off", "--kind", "nat")
    assert show("cage")["dhcp"] == "off" and show("cage")["kind"] == "nat"
    assert "subnets    10.7.0.0/24, fd00:7::/64" in net("show", "cage")
    net("delete", "cage")
    net("delete", "lab")
    assert net("list") == ""
    assert not list((tmp_path / "lodge/networks").glob("[!.]*"))


@pytest.mark.parametrize("words, status, said", [
    (["net"], 2, "net: say what to do"),
    (["net", "lits"], 2, 'did you mean list?'),
    (["net", "create"], 2, "net create: a network's name is missing"),
    (["net", "create", "a", "b"], 2, 'unexpected argument "b"'),
    (["net", "create", ".a"], 2, "net create: .a: give 1 to 63 letters"),
    (["net", "create", "b", "--kind", "flat"], 2,
     "kind flat: give nat, isolated or routed"),
    (["net", "create", "b", "--subnet", "10.1.0.1/24"], 2,
     "subnet 10.1.0.1/24: give a network"),
    (["net", "create", "b", "--subnet", "10.1.7.0/24"], 1,
     "network lab has 10.1.0.0/16; give addresses that are free"),
    (["net", "create", "lab"], 1, "there is a network lab"),
    (["net", "create", "b", "--vlan", "9", "--backing", "bridge"], 2,
     "by --uplink"),
    (["net", "show", "lba"], 1,
     "there is no network lba; did you mean lab?"),
    (["net", "show", "elsewhere"], 1, "lodge net create elsewhere makes it"),
    (["net", "delete", "elsewhere"], 1, "there is no network elsewhere"),
    (["net", "edit", "lab", "--dhcp", "10.2.0.7-10.2.0.8"], 2,
     "give addresses of 10.1.0.0/16"),
])
def test_wrong_words(words, status, said):
    net("create", "lab", "--subnet", "10.1.0.0/16")
    before = show("lab")
    done = run(*words)
    assert done.returncode == status
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert show("lab") == before
    assert len(json.loads(net("list", "--json"))) == 1

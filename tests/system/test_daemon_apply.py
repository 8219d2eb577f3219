# SPDX-License-Identifier: Apache-2.0
"""Machines as files: lodge apply and export; verbs that are only looked at, and
verbs for many."""
import json
import textwrap

import pytest

import tiny
from conftest import BUILD, ENGINE
from daemon import LODGED

pytestmark = pytest.mark.skipif(
    not LODGED.exists() or not (BUILD / "lodge-yaml.so").exists(),
    reason="no lodged, or no YAML")



@pytest.fixture
def apply(lodged, tmp_path):
    """Applies a text as a file in a folder of its own."""
    folder = tmp_path / "files"
    folder.mkdir()

    def run(text, *more):
        path = folder / "vms.yaml"
        path.write_text(textwrap.dedent(text))
        return lodged.cli("apply", "-f", path, *more)
    run.folder = folder
    return run


def test_makes_and_changes(lodged, apply):
    text = """\
        # two machines
        name: web
        memory: 1G
        labels: {tier: front, "1": "on"}
        disks:
          - path: web.img
            readonly: true
        shares: ["site:/srv,readonly"]
        ---
        name: db
        cpus: 2
        """
    result = apply(text, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "web: would be made\ndb: would be made\n"
    assert lodged.ps() == {}
    result = apply(text)
    assert result.stdout == "web: made\ndb: made\n"
    config = lodged.vm("web")["config"]
    # What the file names lies beside it.
    assert config == {
        "memory": 1 << 30, "labels": {"tier": "front", "1": "on"},
        "disks": [{"path": f"{apply.folder}/web.img", "readonly": True}],
        "shares": [f"{apply.folder}/site:/srv,readonly"]}
    generation = lodged.vm("web")["generation"]
    assert apply(text).stdout == "web: is so already\ndb: is so already\n"
    assert lodged.vm("web")["generation"] == generation
    # What the file does not say any more goes.
    changed = text.replace("1G", "512M").replace("tier: front, ", "")
    changed = changed.replace("cpus: 2", "restart: always")
    result = apply(changed, "--dry-run")
    assert "memory: 1G -> 512M" in result.stdout
    assert "cpus: 2 -> (none)" in result.stdout
    assert lodged.vm("db")["config"] == {"cpus": 2}
    assert apply(changed).returncode == 0
    assert lodged.vm("db")["config"] == {"restart": "always"}
    assert lodged.vm("web")["config"]["labels"] == {"1": "on"}
    assert lodged.vm("web")["config"]["memory"] == 512 << 20


def test_export_gives_it_back(lodged, apply):
    """What is exported is, applied again, what there was."""
    config = {"memory": 3 << 29, "append": "true", "autostart": True,
              "labels": {"on": "12", "text": "a: b # c", "empty": "",
                         "tilde": "~", "ü": "ß\n"}, "autostart_order": 7,
              "networks": [{"mode": "user", "mtu": 1400}]}
    config["labels"] = {k: v for k, v in config["labels"].items()
                        if k.isascii()}
    config["labels"]["text"] = "ß, a: b # c\n- d"
    lodged.make("web", **config)
    lodged.make("db")
    result = lodged.cli("export", "web", "db")
    assert result.returncode == 0, result.stderr
    assert "memory: 1536M\n" in result.stdout
    assert "append: 'true'\n" in result.stdout
    text = result.stdout
    assert apply(text).stdout == "web: is so already\ndb: is so already\n"
    for name in "web", "db":
        assert lodged.ask("DELETE", f"/v1/vms/{name}?wait=60").status == 200
    assert apply(text).stdout == "web: made\ndb: made\n"
    assert lodged.vm("web")["config"] == config
    assert lodged.cli("export", "none").returncode == 1


def test_export_of_many(lodged):
    lodged.make("web", labels={"tier": "front"})
    lodged.make("db", labels={"tier": "back"}, memory=1 << 30)

    def names(*words):
        result = lodged.cli("export", "--json", *words)
        assert result.returncode == 0, result.stderr
        return [document["name"] for document in json.loads(result.stdout)]
    assert names("--all") == ["db", "web"]
    assert names("--label", "tier=front") == ["web"]
    assert names("web", "db") == ["web", "db"]
    document, = json.loads(lodged.cli("export", "--json", "db").stdout)
    assert document == {"name": "db", "memory": "1G",
                        "labels": {"tier": "back"}}
    assert "name: db\n" in lodged.cli("export", "--all").stdout
    assert lodged.cli("export").returncode == 2
    assert lodged.cli("export", "--all", "web").returncode == 2
    result = lodged.cli("export", "--label", "none")
    assert result.returncode == 1 and "label none" in result.stderr


def test_edit_of_many(lodged):
    for name, tier in ("web", "front"), ("www", "front"), ("db", "back"):
        lodged.make(name, labels={"tier": tier})

    def cpus():
        return [lodged.vm(name)["config"].get("cpus")
                for name in ("web", "www", "db")]
    assert lodged.cli("edit", "web", "db", "--cpus", "2").returncode == 0
    assert cpus() == [2, None, 2]
    result = lodged.cli("edit", "--with-label", "tier=front", "--cpus", "3",
                        "--json")
    assert [vm["name"] for vm in json.loads(result.stdout)] == ["web", "www"]
    assert cpus() == [3, 3, 2]
    result = lodged.cli("edit", "--all", "--cpus", "4", "--dry-run")
    assert result.stdout == "would edit db\nwould edit web\nwould edit www\n"
    assert cpus() == [3, 3, 2]
    assert lodged.cli("edit", "--all", "--unset", "cpus").returncode == 0
    assert cpus() == [None] * 3
    # One that is not there holds up none of the others.
    result = lodged.cli("edit", "web", "none", "db", "--cpus", "2")
    assert result.returncode == 1 and "none" in result.stderr
    assert cpus() == [2, None, 2]
    for words in ([], ["--all", "web"], ["--all", "--with-label", "tier"],
                  ["--all", "--name", "x"], ["web", "db", "--name", "x"]):
        assert lodged.cli("edit", *words).returncode == 2, words
    result = lodged.cli("edit", "web", "--name", "new", "--json")
    assert json.loads(result.stdout)["name"] == "new"


def test_verbs_tell_as_json(lodged, tmp_path):
    path = tmp_path / "idle.elf"
    path.write_bytes(tiny.kernel(tiny.HALT))

    def told(*words, status=0):
        result = lodged.cli(*words, "--json")
        assert result.returncode == status, result.stderr
        return json.loads(result.stdout)
    vm = told("create", "web", "--kernel", path, "--memory", "16M",
              "--engine", ENGINE)
    assert vm["name"] == "web" and vm["state"] == "stopped"
    assert told("start", "web", "--dry-run") == [{"started": "web"}]
    assert told("start", "web", "none", status=1) == [{"started": "web"}]
    assert told("pause", "web") == [{"paused": "web"}]
    assert told("resume", "--all") == [{"resumed": "web"}]
    assert told("reset", "web") == [{"reset": "web"}]
    assert told("stop", "--force", "--all") == [{"stopped": "web"}]
    assert told("clone", "web", "new")["name"] == "new"
    assert told("rm", "web", "new") == [{"removed": "web"},
                                        {"removed": "new"}]
    assert told("rm", "--all") == []


def test_apply_tells_as_json(lodged, apply):
    def told(text, *more):
        result = apply(text, "--json", *more)
        assert result.returncode == 0, result.stderr
        return [(one["name"], one["outcome"], one["dry_run"])
                for one in json.loads(result.stdout)]
    text = "name: web\n---\nname: db\ncpus: 2\n"
    assert told(text, "--dry-run") == [("web", "made", True),
                                       ("db", "made", True)]
    assert told(text) == [("web", "made", False), ("db", "made", False)]
    assert told(text.replace("2", "3")) == [("web", "unchanged", False),
                                            ("db", "changed", False)]
    # What the file does not say is there all the same.
    rows = {row["name"]: row for row in json.loads(
        lodged.cli("ps", "--json").stdout)}
    assert (rows["web"]["cpus"], rows["web"]["memory"]) == (1, 512 << 20)
    assert (rows["db"]["cpus"], rows["db"]["memory"]) == (3, 512 << 20)
    result = apply("name: web\ncpus: none\n", "--json")
    assert result.returncode == 2 and result.stdout == ""


@pytest.mark.parametrize("text,words", [
    ("name: a\ncpus: 1\nmemroy: 1G\n", "3: memroy: there is no such"),
    ("name: a\n---\nname: b\n\nmemory: 3\n", "5: memory: give"),
    ("name: a\nmemory: lots\n", "2: memory: lots: give a size"),
    ("name: a\ncpus: 1\ncpus: 2\n", "3: cpus: is there twice"),
    ("name: a\n---\nname: a\n", "3: name: a is there twice"),
    ("cpus: 1\n", "1: name: is missing"),
    ("- a\n- b\n", "1: a machine is"),
    ("name: a\nlabels: [x\n", "3: did not find expected"),
    ("name: a\nappend: &x y\nuser: *x\n", "3: an alias"),
    ("name: !!str a\n", "1: a tag"),
    ("name: a\n\tcpus: 1\n", "2: "),
    ("name: a\n? {a: b}\n: c\n", "2: a key"),
    ("name: a b\n", "1: name a b"),
    ("name: a\ncpus: " + "[" * 40 + "]" * 40 + "\n", "2: cpus"),
    ("name: \x07\n", ":"),
    ("# nothing\n", "there is no machine"),
])
def test_what_is_wrong_has_a_line(lodged, apply, text, words):
    result = apply(text)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    # Nothing of a file with a mistake is done.
    assert lodged.ps() == {}


def test_files_that_are_none(lodged, apply, tmp_path):
    assert lodged.cli("apply", "-f", tmp_path / "none").returncode == 1
    assert lodged.cli("apply", "-f", tmp_path).returncode == 1
    (tmp_path / "large").write_bytes(b"#" * (1 << 21))
    assert "1 MiB" in lodged.cli("apply", "-f", tmp_path / "large").stderr
    assert lodged.cli("apply").returncode == 2
    assert lodged.cli("apply", "file").returncode == 2


def test_verbs_that_are_only_looked_at(lodged, tmp_path):
    path = tmp_path / "idle.elf"
    path.write_bytes(tiny.kernel(tiny.HALT))
    config = {"kernel": str(path), "memory": 16 << 20, "engine": ENGINE}

    def plan(method, path, body=None):
        before = lodged.ask("GET", "/v1")["last_event"]
        more = "&" if "?" in path else "?"
        answer = lodged.ask(method, f"{path}{more}dry_run=true", body)
        assert lodged.ask("GET", "/v1")["last_event"] == before
        return answer

    answer = plan("POST", "/v1/vms", {"name": "web", "config": config})
    assert answer.json == {"dry_run": True, "name": "web", "verb": "create",
                           "config": config}
    assert lodged.ask("GET", "/v1/vms")["vms"] == []
    assert plan("POST", "/v1/vms", {"name": "web", "config": {"x": 1}}
                ).status == 400
    # What a start would not find.
    there, gone = str(path), str(tmp_path / "gone")
    answer = plan("POST", "/v1/vms", {"name": "web", "config": {
        "kernel": gone + ".elf", "shares": [f"{gone}:/mnt", f"{tmp_path}:/x"],
        "disks": [{"path": there}, {"path": gone + ".img", "secret": gone},
                  {"path": "nbd://nowhere/x"}]}})
    assert answer["missing"] == [gone + ".elf", gone + ".img", gone, gone]
    result = lodged.cli("create", "new", "--disk", gone, "--dry-run")
    assert (result.returncode, result.stdout) == (0, "would create new\n")
    assert result.stderr == (f"lodge: create: {gone}: there is no such file; "
                             "new starts only with it\n")
    lodged.make("web", **config)
    lodged.make("db")
    answer = plan("PATCH", "/v1/vms/web", {"config": {"initrd": gone}})
    assert answer["missing"] == [gone]
    assert plan("POST", "/v1/vms", {"name": "web"}).status == 409
    answer = plan("PATCH", "/v1/vms/web", {"config": {"cpus": 2}})
    assert answer["config"] == {**config, "cpus": 2}
    assert plan("PATCH", "/v1/vms/web", {"name": "db"}).status == 409
    assert plan("POST", "/v1/vms/web/start?wait=60")["verb"] == "start"
    assert plan("POST", "/v1/vms/web/stop").status == 409
    assert lodged.say("web", "start").status == 200
    for verb in "stop", "reset", "pause":
        assert plan("POST", f"/v1/vms/web/{verb}")["verb"] == verb
    assert plan("DELETE", "/v1/vms/web").status == 409
    assert lodged.state("web") == "running"
    assert lodged.ask("GET", "/v1/vms/web").status == 200
    assert plan("DELETE", "/v1/vms/db")["verb"] == "delete"
    assert lodged.ask("POST", "/v1/vms/web/stop?dry_run=maybe",
                      check=False).status == 400
    result = lodged.cli("start", "--all", "--dry-run")
    assert result.stdout == "would start db\n"
    result = lodged.cli("rm", "--all", "--force", "--dry-run")
    assert result.stdout == "would rm db\nwould stop and rm web\n"
    result = lodged.cli("create", "new", "--dry-run")
    assert result.stdout == "would create new\n"
    assert sorted(lodged.ps()) == ["db", "web"]


def test_all(lodged, tmp_path):
    """Those that are as they are to be are left alone."""
    path = tmp_path / "idle.elf"
    path.write_bytes(tiny.kernel(tiny.HALT))
    for i in range(6):
        lodged.make(f"vm{i}", kernel=str(path), memory=16 << 20,
                    engine=ENGINE)
    lodged.say("vm2", "start")

    def states():
        return {vm["state"] for vm in lodged.ps().values()}
    result = lodged.cli("start", "--all")
    assert result.returncode == 0, result.stderr
    assert states() == {"running"}
    assert lodged.cli("start", "--all").returncode == 0
    lodged.say("vm2", "stop", {"force": True})
    assert lodged.cli("stop", "--all", "--force").returncode == 0
    assert states() == {"stopped"}
    assert lodged.cli("rm", "--all", "vm1").returncode == 2
    assert lodged.cli("rm", "--all").returncode == 0
    assert lodged.ps() == {}

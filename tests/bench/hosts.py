"""Runs the tools side by side and prints the table. `hosts` beside this file prepares everything."""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
LAB = HERE.parent / "hosts" / "lab"
DIRECTORIES, FILES = 10, 30
# What takes a minute a run is not run more often than this.
SLOW_ROUNDS = 2


class Wrong(Exception):
    """A run that did not do the work: a figure of it would mean nothing."""


class Run:
    """One run of a command: how long, how much, and what it said."""

    def __init__(self, command, env=None, cwd=None):
        out = open(cwd / "out", "w+b") if cwd else open(os.devnull, "w+b")
        began = time.perf_counter()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=cwd
        )
        _, status, usage = os.wait4(child.pid, 0)
        self.seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        # Of the largest process among it and what it waited for: for Ansible, one of several.
        self.peak_mb = usage.ru_maxrss / 1024
        out.seek(0)
        self.text = out.read().decode(errors="replace")
        out.close()
        if child.returncode != 0:
            raise Wrong(f"exit {child.returncode}: {' '.join(map(str, command))}\n{self.text[-2000:]}")


class Bench:
    def __init__(self, work, options):
        self.work = work
        self.options = options
        self.lab_dir = work / "lab"
        self.slipway_binary = os.environ["SLIPWAY"]
        self.venv = pathlib.Path(os.environ["VENV"])
        self.env = {
            "PATH": f"{self.venv}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(work / "home"),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
        }
        (work / "home").mkdir()

    # -- The lab ----------------------------------------------------------------------------

    def up(self):
        hosts = self.options.hosts
        extra = ["--workers", str(hosts - 3)] if hosts > 3 else ["--with", "python3"]
        subprocess.run([LAB, "up", self.lab_dir, str(hosts), *extra], check=True)
        self.hosts = json.loads((self.lab_dir / "hosts.json").read_text())["hosts"]

    def ns(self, *command):
        return [LAB, "ns", self.lab_dir, *command]

    def on_all(self, script):
        """On every host, not by SSH."""
        for host in self.hosts:
            subprocess.run([LAB, "exec", self.lab_dir, host["name"], "sh", "-c", script], check=True)

    # -- The work: ten directories and thirty small files, in each tool's own place ------------

    def place(self, tool):
        root = f"/srv/bench/{tool}"
        directories = [f"{root}/directory-{d:02}" for d in range(DIRECTORIES)]
        files = [
            (f"{directories[f % DIRECTORIES]}/file-{f:02}", f"This is file {f} of the bench.\n" * 8)
            for f in range(FILES)
        ]
        return directories, files

    def forget(self, tool):
        self.on_all(f"rm -rf /srv/bench/{tool}")

    def prove(self, tool):
        directories, files = self.place(tool)
        for host in self.hosts:
            root = self.lab_dir / host["name"] / "root"
            for path, text in files:
                at = root / path.lstrip("/")
                if not at.is_file() or at.read_text() != text or at.stat().st_mode & 0o7777 != 0o644:
                    raise Wrong(f"{tool} did not write {path} on {host['name']}")
            for path in directories:
                if (root / path.lstrip("/")).stat().st_mode & 0o7777 != 0o755:
                    raise Wrong(f"{tool} left {path} on {host['name']} with another mode")

    # -- The floor -----------------------------------------------------------------------------

    def floor(self):
        ssh = " ".join(
            f"ssh -F {self.lab_dir}/ssh_config {host['name']} true & jobs=\"$jobs $!\";" for host in self.hosts
        )
        return Run(self.ns("sh", "-c", f"{ssh} for job in $jobs; do wait $job || exit 1; done"), self.env, self.work)

    # -- Ansible, with pipelining, and with Mitogen on top ---------------------------------------

    def ansible_prepare(self, tool, config):
        home = self.work / tool
        home.mkdir()
        directories, files = self.place(tool)
        (home / "files").mkdir()
        (home / "ansible.cfg").write_text(
            f"[defaults]\ninventory = hosts.ini\nforks = 50\ninterpreter_python = /usr/bin/python3\n"
            f"retry_files_enabled = False\ndeprecation_warnings = False\ngathering = explicit\n{config}"
            f"[ssh_connection]\npipelining = True\n"
            f"ssh_args = -F {self.lab_dir}/ssh_config -o ControlMaster=auto -o ControlPersist=60s\n"
            f"control_path_dir = {self.work}/{tool}/cp\n"
        )
        (home / "hosts.ini").write_text("".join(f"{host['name']} ansible_user=root\n" for host in self.hosts))
        play = {
            "hosts": "all",
            # Not gathering facts is to its advantage: nothing here needs them.
            "gather_facts": False,
            "tasks": [
                {
                    "name": "directories",
                    "ansible.builtin.file": {"path": "{{ item }}", "state": "directory", "mode": "0755"},
                    "loop": directories,
                },
                {
                    "name": "files",
                    "ansible.builtin.copy": {
                        "dest": "{{ item.path }}",
                        "content": "{{ item.text }}",
                        "mode": "0644",
                    },
                    "loop": [{"path": path, "text": text} for path, text in files],
                    "loop_control": {"label": "{{ item.path }}"},
                },
            ],
        }
        (home / "play.yml").write_text(json.dumps([play]))

    def ansible(self, tool, changes):
        run = Run(self.ns("ansible-playbook", "play.yml"), self.env | self.ansible_env(), self.work / tool)
        recap = [line for line in run.text.splitlines() if "changed=" in line]
        if len(recap) != len(self.hosts) or any(("changed=0" not in line) != changes for line in recap):
            raise Wrong(f"{tool} says:\n{run.text[-2000:]}")
        return run

    def ansible_env(self):
        return {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": "ansible.cfg"}

    def ansible_disconnect(self, tool):
        """Ends connections that it keeps for its next run."""
        for socket in (self.work / tool / "cp").glob("*"):
            subprocess.run(
                ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )

    # -- pyinfra ---------------------------------------------------------------------------------

    def pyinfra_prepare(self):
        home = self.work / "pyinfra"
        home.mkdir()
        directories, files = self.place("pyinfra")
        data = {
            "ssh_user": "root",
            "ssh_key": f"{self.lab_dir}/id_ed25519",
            "ssh_known_hosts_file": f"{self.lab_dir}/known_hosts",
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
        }
        (home / "inventory.py").write_text(f"hosts = {[(host['lan'], data) for host in self.hosts]!r}\n")
        (home / "deploy.py").write_text(
            "from io import StringIO\n"
            "from pyinfra.operations import files\n"
            f"for path in {directories!r}:\n"
            "    files.directory(path=path, mode='755')\n"
            f"for path, text in {files!r}:\n"
            "    files.put(src=StringIO(text), dest=path, mode='644')\n"
        )

    def pyinfra(self, changes):
        run = Run(self.ns("pyinfra", "-y", "inventory.py", "deploy.py"), self.env, self.work / "pyinfra")
        if changes == ("No changes" in run.text) and not changes:
            raise Wrong(f"pyinfra says:\n{run.text[-2000:]}")
        return run

    # -- Slipway ---------------------------------------------------------------------------------

    def slipway_prepare(self):
        home = self.work / "slipway"
        (home / "playbooks").mkdir(parents=True)
        # Paths in it are relative to where it lies.
        shutil.copy(self.lab_dir / "ssh_config", home)
        directories, files = self.place("slipway")
        text = (self.lab_dir / "inventory.toml").read_text()
        for path in directories:
            text += f'\n[[host.directory]]\npath = "{path}"\nmode = "0755"\n'
        for path, content in files:
            text += f'\n[[host.file]]\npath = "{path}"\ntext = {json.dumps(content)}\nmode = "0644"\n'
        (home / "inventory.toml").write_text(text)
        (home / "playbooks" / "bootstrap.toml").write_text(
            'format = 1\nname = "bootstrap"\nabout = "Files, for the bench"\n\n'
            '[[phase]]\nname = "files"\nnodes = "all"\nrun = "parallel"\nsteps = ["host-files"]\n'
        )

    def slipway(self, *arguments):
        home = self.work / "slipway"
        return Run(
            self.ns(
                self.slipway_binary, *arguments, "-i", "inventory.toml", "--playbooks", "playbooks",
                "--state-dir", "state", "--output", "plain", "--parallel", str(len(self.hosts)),
            ),
            self.env,
            home,
        )

    def slipway_reset(self):
        """As on hosts that never saw it."""
        self.slipway("reset", "--agent", "-y")
        shutil.rmtree(self.work / "slipway" / "state", ignore_errors=True)
        self.on_all("rm -rf /var/lib/slipway")

    def slipway_cold(self):
        return self.slipway("bootstrap", "-y")

    def slipway_warm(self):
        run = self.slipway("bootstrap", "-y")
        if "0 changed" not in run.text:
            raise Wrong(f"slipway changes something again:\n{run.text[-2000:]}")
        return run

    def host_prep(self):
        """What every cluster needs of a host, as the lab can have it; on top of the files."""
        home = self.work / "slipway"
        return Run(
            self.ns(
                self.slipway_binary, "bootstrap", "-y", "-i", "inventory.toml", "--playbooks", LAB.parent / "playbooks",
                "--state-dir", "state", "--output", "plain", "--parallel", str(len(self.hosts)),
            ),
            self.env, home,
        )

    def agent_peak_mb(self):
        """Of the agent that still waits on the first host for somebody to attach."""
        script = "grep VmHWM /proc/$(pgrep -of '[a]gent serve')/status"
        said = subprocess.run([LAB, "exec", self.lab_dir, self.hosts[0]["name"], "sh", "-c", script], capture_output=True, check=False)
        words = said.stdout.split()
        return int(words[1]) / 1024 if len(words) > 1 else None

    # -- Pushing the agent -------------------------------------------------------------------------

    def copy_binary(self, *options):
        target = f"{self.hosts[0]['name']}:/root/copied"
        return Run(
            self.ns("scp", "-q", "-F", f"{self.lab_dir}/ssh_config", *options, self.slipway_binary, target),
            self.env, self.work,
        )

    def plan_one(self):
        """A reading verb on one host; it pushes the agent if it is not there."""
        home = self.work / "slipway"
        command = self.ns(
            self.slipway_binary, "doctor", "-i", "inventory.toml", "--state-dir", "state", "--output", "plain",
            "--on", self.hosts[0]["name"],
        )
        began = time.perf_counter()
        # Its exit says what it found, which is not the question.
        done = subprocess.run(command, env=self.env, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode not in (0, 5):
            raise Wrong(f"doctor: exit {done.returncode}\n{done.stdout.decode()[-1000:]}{done.stderr.decode()[-1000:]}")
        return time.perf_counter() - began


class Table:
    """Rounds of several rows, each next to the floor of its own round: the machine may be shared."""

    def __init__(self):
        self.rows = {}
        self.floors = []

    def add(self, name, run, floor=None):
        say(f"  {name}: {run.seconds:.2f} s")
        self.rows.setdefault(name, []).append((run.seconds, run.seconds / (floor or self.floors[-1]), run.peak_mb))

    def show(self):
        print(f"{'':<44}{'median':>9}{'from':>9}{'to':>9}{'x floor':>9}{'peak MB':>9}")
        for name, runs in self.rows.items():
            seconds = [run[0] for run in runs]
            ratio = statistics.median(run[1] for run in runs)
            print(
                f"{name:<44}{statistics.median(seconds):>8.2f}s{min(seconds):>8.2f}s{max(seconds):>8.2f}s"
                f"{ratio:>9.1f}{max(run[2] for run in runs):>9.0f}"
            )


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def tools(bench, options):
    """Every tool once to make, then in rounds with nothing to change."""
    few = options.hosts <= 3
    others = few and not options.quick
    made, again = Table(), Table()
    mitogen = f"strategy_plugins = {next((bench.venv / 'lib').glob('*'))}/site-packages/ansible_mitogen/plugins/strategy\nstrategy = mitogen_linear\n"
    if others:
        bench.ansible_prepare("ansible", "")
        bench.ansible_prepare("mitogen", mitogen)
        bench.pyinfra_prepare()
    bench.slipway_prepare()
    bench.floor()

    for round in range(max(options.rounds // 2, 1)):
        say(f"making everything, {round + 1}")
        floor = bench.floor()
        made.floors.append(floor.seconds)
        made.add("ssh host true, all at once", floor)
        if others and round < SLOW_ROUNDS:
            for tool in ("ansible", "mitogen"):
                bench.forget(tool)
                bench.ansible_disconnect(tool)
                made.add(f"Ansible, {'pipelining' if tool == 'ansible' else 'Mitogen'}", bench.ansible(tool, True))
                bench.prove(tool)
            bench.forget("pyinfra")
            made.add("pyinfra", bench.pyinfra(True))
            bench.prove("pyinfra")
        bench.slipway_reset()
        bench.forget("slipway")
        made.add("Slipway, its agent pushed first", bench.slipway_cold())
        bench.prove("slipway")
        bench.forget("slipway")
        made.add("Slipway, its agent there", bench.slipway_cold())
        bench.prove("slipway")

    for round in range(options.rounds):
        say(f"nothing to change, {round + 1} of {options.rounds}")
        floor = bench.floor()
        again.floors.append(floor.seconds)
        again.add("ssh host true, all at once", floor)
        if others and round < SLOW_ROUNDS:
            bench.ansible_disconnect("ansible")
            again.add("Ansible, pipelining", bench.ansible("ansible", False))
            again.add("Ansible, pipelining, connections kept", bench.ansible("ansible", False))
        if others:
            bench.ansible_disconnect("mitogen")
            again.add("Ansible, Mitogen", bench.ansible("mitogen", False))
            again.add("pyinfra", bench.pyinfra(False))
        again.add("Slipway", bench.slipway_warm())
    if few:
        say("host preparation")
        bench.host_prep()
        for _ in range(options.rounds):
            floor = bench.floor()
            run = bench.host_prep()
            if "0 changed" not in run.text:
                raise Wrong(f"slipway changes something again:\n{run.text[-2000:]}")
            again.add("Slipway, all of host preparation too", run, floor.seconds)
    return made, again


def pushes(bench, options):
    table = {"scp": [], "scp -C": [], "doctor, agent pushed first": [], "doctor, agent there": []}
    bench.plan_one()
    for _ in range(options.rounds):
        table["scp"].append(bench.copy_binary().seconds)
        table["scp -C"].append(bench.copy_binary("-C").seconds)
        bench.slipway_reset()
        table["doctor, agent pushed first"].append(bench.plan_one())
        # Its directory stays, its process ends: what is left is the push alone.
        bench.on_all("for unit in $(systemctl list-units --plain --no-legend 'slipway*' | cut -d' ' -f1); do systemctl stop $unit; done")
        table["doctor, agent there"].append(bench.plan_one())
    medians = {name: statistics.median(values) for name, values in table.items()}
    for name, value in medians.items():
        print(f"{name:<44}{value:>8.2f}s")
    push = medians["doctor, agent pushed first"] - medians["doctor, agent there"]
    print(f"{'so the push alone':<44}{push:>8.2f}s{push / medians['scp']:>17.1f} x scp")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    bench = Bench(options.work, options)
    try:
        bench.up()
        made, again = tools(bench, options)
        print(f"\n{options.hosts} hosts, {DIRECTORIES} directories and {FILES} files each, on {os.cpu_count()} cores\n\nTo make them")
        made.show()
        print("\nNothing to change")
        again.show()
        agent = bench.agent_peak_mb()
        if agent:
            print(f"\nthe agent on a host: {agent:.0f} MB at most")
        if options.hosts > 3:
            for name, runs in again.rows.items():
                print(f"{name}: {statistics.median(run[0] for run in runs) / options.hosts * 1000:.0f} ms a host, {max(run[2] for run in runs) / options.hosts:.2f} MB a host in the largest process")
        else:
            size = os.path.getsize(bench.slipway_binary) / 1e6
            print(f"\nThe agent ({size:.1f} MB) to one host")
            pushes(bench, options)
    except Wrong as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())

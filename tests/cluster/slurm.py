"""A real Slurm cluster on the loopback interface: controller, accounting with its database, and two nodes."""

import socket
import subprocess
from pathlib import Path

from tests.cluster.processes import end_all, environment, free_port, processes_of, wait_for

PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "sacct", "mariadbd", "mariadb-install-db")
SLURM_CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerParameters=batch_sched_delay=1,sched_interval=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={dbd}
JobAcctGatherType=jobacct_gather/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node1} CPUs=1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={node2} CPUs=1
PartitionName=low Nodes=ALL Default=YES PriorityTier=1
PartitionName=high Nodes=ALL PriorityTier=2
"""
SLURMDBD_CONF = """\
AuthType=auth/none
DbdHost=localhost
DbdPort={dbd}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=root
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


class SlurmCluster:
    """Started on construction; `stop` ends every process of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment(folder, SLURM_CONF=str(folder / "slurm.conf"))
        self._daemons: list[subprocess.Popen[bytes]] = []
        self.commands: list[subprocess.Popen[str]] = []  # that wait for jobs; a failed test leaves one
        for name in ("state", "node1", "node2"):
            (folder / name).mkdir()
        ports = {name: free_port() for name in ("ctld", "dbd", "node1", "node2", "database")}
        values = {"folder": folder, "host": socket.gethostname().split(".")[0], **ports}
        (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (folder / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**values))
        (folder / "slurmdbd.conf").chmod(0o600)  # slurmdbd insists
        self._start_database(ports["database"])
        self._daemon("slurmdbd", "-D")
        wait_for(lambda: self.succeeds("sacctmgr", "-n", "list", "cluster"), "slurmdbd answers")
        self._daemon("slurmctld", "-D")
        wait_for(lambda: self.succeeds("scontrol", "ping"), "slurmctld answers")
        self._daemon("slurmd", "-D", "-N", "node1")
        self._daemon("slurmd", "-D", "-N", "node2")
        wait_for(lambda: self.ask("sinfo", "-h", "-p", "low", "-t", "idle", "-o", "%D") == "2", "two nodes are idle")

    def _start_database(self, port: int) -> None:
        data = f"--datadir={self.folder / 'database'}"
        self.ask("mariadb-install-db", "--no-defaults", "--user=root", data, "--skip-test-db")
        self._daemon(
            "mariadbd",
            "--no-defaults",
            "--user=root",
            data,
            f"--socket={self.folder / 'database.sock'}",
            f"--pid-file={self.folder / 'database.pid'}",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            "--skip-grant-tables",
        )
        wait_for(lambda: (self.folder / "database.sock").exists(), "the database listens")

    def _daemon(self, *command: str) -> None:
        with (self.folder / f"{'-'.join((command[0], *command[3:4])).replace('/', '_')}.out").open("wb") as log:
            self._daemons.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log))

    def ask(self, *command: str) -> str:
        """What a command prints, in the environment of the cluster."""
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout.strip()

    def succeeds(self, *command: str) -> bool:
        """Whether a command exits with 0."""
        return subprocess.run(command, env=self.env, check=False, capture_output=True).returncode == 0

    def states(self, *, every_attempt: bool = False) -> list[str]:
        """The accounting's states of all jobs; with `every_attempt`, those of requeued ones too."""
        options = ["-D"] if every_attempt else []
        return self.ask("sacct", "-a", "-X", "-n", "-P", *options, "-o", "State").splitlines()

    def ended_states(self, count: int, *, every_attempt: bool = False) -> list[str]:
        """The same once there are `count` and all have ended; the accounting hears of jobs and of their ends late."""

        def known() -> bool:
            states = self.states(every_attempt=every_attempt)
            return len(states) >= count and not {"PENDING", "RUNNING"} & set(states)

        wait_for(known, f"the accounting knows the ends of {count} jobs")
        return self.states(every_attempt=every_attempt)

    def running(self, partition: str = "low") -> dict[str, str]:
        """Node of each running job, by the job's id."""
        lines = self.ask("squeue", "-h", "-t", "R", "-p", partition, "-o", "%i %N").splitlines()
        return dict(line.split() for line in lines)

    def signal(self, job: str, name: str) -> None:
        """Signal a job as Slurm does before its time limit; scancel itself waits long for a job that left."""
        try:
            subprocess.run(["scancel", f"--signal={name}", job], env=self.env, check=False, timeout=5)
        except subprocess.TimeoutExpired:
            pass

    def start_requeued(self) -> None:
        """Let requeued jobs start at once; Slurm would wait for two minutes."""
        for job in self.ask("squeue", "-h", "-t", "PD", "-o", "%i %r").splitlines():
            if job.endswith(" BeginTime"):
                self.succeeds("scontrol", "update", f"JobId={job.split()[0]}", "StartTime=now")

    def stop(self) -> list[str]:
        """End jobs and daemons in order; the names of what was left and had to be killed."""
        try:
            for command in self.commands:
                command.kill()
                command.wait()
            self.succeeds("scancel", "--full", "--user=root")
            wait_for(lambda: not self.ask("squeue", "-h"), "all jobs have ended", 60)
            for daemon in reversed(self._daemons):
                daemon.terminate()
                daemon.wait(60)
            wait_for(lambda: not processes_of(self.folder), "all processes have ended", 30)
        finally:
            left = end_all(self.folder)
        return left

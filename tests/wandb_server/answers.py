"""Answers to the GraphQL operations of wandb 0.31, by name. Fields that were not asked for do no harm."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import yaml

from tests.wandb_server.kept import Kept, KeptRun

ENTITY = "somebody"
Variables = dict[str, Any]


class Answers:
    """One method for each operation, called by its name with the operation's variables.

    Args:
        kept: where what comes in is kept.
        address: of the server, for the places where files are to be put.
    """

    def __init__(self, kept: Kept, address: str) -> None:
        self.kept, self.address = kept, address

    def to(self, operation: str, variables: Variables) -> dict[str, Any] | None:
        """The answer to an operation; None if it is unknown."""
        answer: Callable[[Variables], dict[str, Any]] | None = getattr(self, f"on_{operation}", None)
        if answer is None:
            self.kept.unknown.append(operation)
            return None
        return answer(variables)

    def on_ServerFeaturesQuery(self, _: Variables) -> dict[str, Any]:
        return {"serverInfo": {"features": [{"name": "FILESTREAM_GZIP", "isEnabled": True}]}}

    def on_Viewer(self, _: Variables) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": name}} for name in (ENTITY, "team")]}
        return {"viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": teams}}

    on_GetViewer = on_GetDefaultEntity = on_Viewer

    def on_OrganizationCoreWeaveOrganizationID(self, _: Variables) -> dict[str, Any]:
        return {"entity": None}

    def on_RunResumeStatus(self, given: Variables) -> dict[str, Any]:
        run = self.kept.runs.get(given["name"])
        return {"model": {**_project(given["project"], given["entity"]), "bucket": run and _status(run)}}

    def on_UpsertBucket(self, given: Variables) -> dict[str, Any]:
        run = self.kept.runs.get(given["name"])
        inserted = run is None
        if run is None:
            run = self.kept.runs[given["name"]] = KeptRun(given["name"])
        run.about.update({key: value for key, value in given.items() if value is not None})
        run.opened += given["host"] is not None  # only the first request of a process names its machine
        return {"upsertBucket": {"bucket": _bucket(run), "inserted": inserted}}

    def on_CreateRunFiles(self, given: Variables) -> dict[str, Any]:
        places = [
            {"name": name, "uploadUrl": f"{self.address}/storage/runs/{given['run']}/{name}"} for name in given["files"]
        ]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": places}}

    def on_XXHashDigestsEnabled(self, _: Variables) -> dict[str, Any]:
        return {"entity": {"xxhashDigestsEnabled": False}}

    def on_ArtifactType(self, given: Variables) -> dict[str, Any]:
        name = given["name"].partition(":")[0]
        kept = [artifact for artifact in self.kept.artifacts.values() if artifact["artifactCollectionName"] == name]
        types = [artifact["artifactTypeName"] for artifact in kept]
        return {"project": {"artifact": {"artifactType": {"name": types[-1]}} if types else None}}

    def on_CreateArtifact(self, given: Variables) -> dict[str, Any]:
        number = f"artifact-{len(self.kept.artifacts)}"
        self.kept.artifacts[number] = {**given["input"], "state": "PENDING", "files": {}}
        return {
            "createArtifact": {
                "artifact": {"id": number, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
            }
        }

    def on_CreateArtifactManifest(self, given: Variables) -> dict[str, Any]:
        return {"createArtifactManifest": {"artifactManifest": self._manifest(given["artifactID"])}}

    def on_UpdateArtifactManifest(self, given: Variables) -> dict[str, Any]:
        return {"updateArtifactManifest": {"artifactManifest": self._manifest(given["artifactManifestID"])}}

    def on_CreateArtifactFiles(self, given: Variables) -> dict[str, Any]:
        nodes = []
        for file in given["input"]["artifactFiles"]:
            place = f"artifacts/{file['artifactID']}/{file['name']}"
            node = {"storagePath": place, "uploadUrl": f"{self.address}/storage/{place}", "uploadHeaders": []}
            nodes.append({"node": {**node, "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def on_CommitArtifact(self, given: Variables) -> dict[str, Any]:
        artifact = self.kept.artifacts[given["artifactID"]]
        artifact["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": artifact["digest"]}}}

    def on_UpsertSweep(self, given: Variables) -> dict[str, Any]:
        name = f"sweep{len(self.kept.sweeps)}"
        config = yaml.safe_load(given["config"])
        values = {key: options["values"] for key, options in config["parameters"].items()}
        points = [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
        self.kept.sweeps[name] = {"given": given, "config": config, "waiting": points, "agents": 0}
        project = _project(given["projectName"], given["entityName"])
        return {"upsertSweep": {"sweep": {"name": name, "project": project}, "configValidationWarnings": []}}

    def on_SweepWithRuns(self, given: Variables) -> dict[str, Any]:
        config = yaml.safe_dump(self.kept.sweeps[given["sweep"]]["config"])
        sweep = {"id": given["sweep"], "name": given["sweep"], "state": "RUNNING", "config": config}
        return {"project": {"sweep": {**sweep, "runs": {"edges": []}}}}

    on_GetSweep = on_GetSweepLegacy = on_GetSweepState = on_SweepWithRuns

    def on_CreateAgent(self, given: Variables) -> dict[str, Any]:
        self.kept.sweeps[given["sweep"]]["agents"] += 1
        return {"createAgent": {"agent": {"id": given["sweep"]}}}

    def on_Heartbeat(self, given: Variables) -> dict[str, Any]:
        """Hand the agent the next point of the grid if it has no run, and tell it to stop after the last one."""
        sweep, commands = self.kept.sweeps[given["id"]], []
        if not json.loads(given["runState"]):
            if sweep["waiting"]:
                point = sweep["waiting"].pop(0)
                arguments = {key: {"value": value} for key, value in point.items()}
                run = {"run_id": f"swept{len(self.kept.runs)}", "program": sweep["config"]["program"]}
                commands.append({"type": "run", **run, "args": arguments})
            else:
                commands.append({"type": "exit"})
        return {"agentHeartbeat": {"agent": {"id": given["id"]}, "commands": json.dumps(commands)}}

    def on_UpsertView2(self, given: Variables) -> dict[str, Any]:
        self.kept.workspaces.append(given)
        return {"upsertView": {"view": {"id": "view", "name": given["name"]}, "inserted": True}}

    def _manifest(self, artifact: str) -> dict[str, Any]:
        place = f"{self.address}/storage/artifacts/{artifact}/wandb_manifest.json"
        return {"id": artifact, "file": {"id": artifact, "uploadUrl": place, "uploadHeaders": []}}


def _project(name: str, entity: str | None) -> dict[str, Any]:
    return {"id": name, "name": name, "entity": {"id": entity or ENTITY, "name": entity or ENTITY}}


def _bucket(run: KeptRun) -> dict[str, Any]:
    about = run.about
    return {
        "id": f"id-of-{run.id}",
        "name": run.id,
        "displayName": about.get("displayName") or run.id,
        "description": "",
        "config": about["config"],
        "sweepName": about.get("sweep"),
        "project": _project(about["project"], about.get("entity")),
        "historyLineCount": len(run.of("wandb-history.jsonl")),
    }


def _status(run: KeptRun) -> dict[str, Any]:
    """What a process that continues the run is told of it: numbers of lines, and the last of each file."""
    history, events = run.of("wandb-history.jsonl"), run.of("wandb-events.jsonl")
    return {
        **_bucket(run),
        "summaryMetrics": json.dumps(run.summary),
        "logLineCount": 0,
        "historyLineCount": len(history),
        "eventsLineCount": len(events),
        "historyTail": json.dumps(history[-1:]),
        "eventsTail": json.dumps(events[-1:]),
        "tags": run.about.get("tags") or [],
        "notes": None,
        "wandbConfig": json.dumps({"t": 1}),
    }

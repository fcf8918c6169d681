"""Where a node is there, recorded code is not refused but run, in containers of that node.

CALLBROKER_REPLAY_NODE names it: the address of a `callbroker sandboxd` on whose engine
`callbroker sandbox build tests/replay/run_code --base shell` was done. Without it recorded code
waits for a person, like every call for which no rule speaks.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from broker.tools.registry import read_manifest
from sandboxes.images.layout import tool_name
from sandboxes.v1 import sandboxes_pb2 as pb
from sandboxes.v1 import sandboxes_pb2_grpc

VARIABLE = "CALLBROKER_REPLAY_NODE"
FOLDER = Path(__file__).parent / "run_code"
POLICIES = Path(__file__).parent / "redcode" / "policies"
SUITE = "redcode"
_ASK_S = 120.0  # a node looks into every image before it lists it


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """The tool that runs in containers: its manifest with an image, and the node that has it."""

    node: str
    manifest: dict[str, Any]


def contained(suite: str) -> Contained | None:
    """For recorded code, where a node is there; else None."""
    node = os.environ.get(VARIABLE)
    if suite != SUITE or not node:
        return None
    manifest = dict(read_manifest(FOLDER / "manifest.yaml"))
    section = {"image": _image(node, tool_name(manifest["name"])), **manifest["sandbox"]}
    return Contained(node=node, manifest={**manifest, "sandbox": section})


def _image(node: str, name: str) -> str:
    with grpc.insecure_channel(node) as channel:
        stub = sandboxes_pb2_grpc.SandboxServiceStub(channel)
        listed = stub.ListImages(pb.ListImagesRequest(), timeout=_ASK_S).images
    for image in listed:
        if any(known.startswith(f"{name}:") for known in image.names):
            return str(image.digest)
    raise AssertionError(f"{node} has no {name}: callbroker sandbox build {FOLDER} --base shell")

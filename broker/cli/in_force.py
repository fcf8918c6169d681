"""What the broker has in force, page after page."""

from collections.abc import Sequence

from broker.cli.connection import Line
from broker.v1 import admin_pb2
from broker.v1.admin_pb2 import Manifest
from broker.v1.admin_pb2_grpc import AdminServiceStub


def tools_in_force(line: Line[AdminServiceStub]) -> Sequence[Manifest]:
    """All tools, in name order; one that comes or goes meanwhile may be there or not."""
    found: list[Manifest] = []
    token = ""
    while True:
        request = admin_pb2.ListManifestsRequest(page_token=token)
        page = line.ask(line.stub.ListManifests, request)
        found += page.manifests
        token = page.next_page_token
        if not token:
            return found

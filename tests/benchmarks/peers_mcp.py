"""A FastMCP server whose middleware looks at each call; run by the peers' own Python.

As little as can be said to control calls: a table of tools, the scopes that each needs, and the
scopes that whoever calls has. No credential, no schema beyond the function's, no record.
"""

import os

from fastmcp import FastMCP  # type: ignore[import-not-found]  # only in the peers' environment
from fastmcp.exceptions import ToolError  # type: ignore[import-not-found]
from fastmcp.server.middleware import Middleware  # type: ignore[import-not-found]

NEEDED = {"echo": {"echo:run"}, "refund": {"refund:run"}, "send_mail": {"mail:send"}}
HELD = {"customers/bench": {"echo:run"}}


class Checked(Middleware):  # type: ignore[misc]
    """Refuses a tool whose scopes are not held."""

    async def on_call_tool(self, context, call_next):  # type: ignore[no-untyped-def]
        """The hook around each call."""
        needed = NEEDED.get(context.message.name)
        if needed is None or not needed <= HELD["customers/bench"]:
            raise ToolError("denied")
        return await call_next(context)


def echo(text: str) -> dict[str, str]:
    """Give back what was given."""
    return {"text": text}


if __name__ == "__main__":
    server = FastMCP("bench", middleware=[Checked()])
    server.tool(echo)
    server.run(
        transport="http",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        stateless_http=True,
        json_response=True,
        show_banner=False,
        log_level="warning",
        uvicorn_config={"access_log": False},
    )

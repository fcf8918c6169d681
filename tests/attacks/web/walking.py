"""Every address of the pages, with what they are about filled in: nobody has to remember one."""

from collections.abc import Iterator

from starlette.routing import Mount, Route

from broker.core.holds import Hold
from tests.pages import LINK, Site

# Open to those who are not signed in; whatever is not here asks who one is.
OPEN = frozenset(
    {"/sign-in", "/sign-in/begin", "/sign-in/return", "/sign-in/{secret}", "/sign-out"}
)


def requests_of(site: Site, hold: Hold) -> Iterator[tuple[str, str, str]]:
    """Method, path and the route's own words, of each route that there is."""
    filled = {
        "holds": hold.name.partition("/")[2],
        "invocations": hold.invocation.partition("/")[2],
        "sessions": hold.session.partition("/")[2],
        "sign-in": LINK,
        "agents": hold.agent.id.partition("/")[2],
        "tools": hold.tool,
    }
    for route in site.app.routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route, Route)
        values = dict.fromkeys(route.param_convertors, filled.get(route.path.split("/")[1], "x"))
        path = str(route.url_path_for(route.name, **values)) if values else route.path
        for method in sorted(route.methods - {"HEAD"}):
            yield method, path, route.path

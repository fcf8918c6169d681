"""A store that agents' tools can write is no source of trust for whatever is read from it.

That is seen over all tools together, since neither the tool that reads nor the one that writes can
say it alone. Any tool in force can be called by an agent, and what it writes can come from
anywhere: so the word of a tool that reads a written store is taken back, and never given.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from broker.core.caller_word import CALLER
from broker.core.manifest import Output, ToolManifest

_ELSE_MAX = 3


def writers(manifests: Iterable[ToolManifest]) -> Mapping[str, tuple[str, ...]]:
    """For each store that any of these tools writes, the names of those that do, sorted."""
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        # What is said to change nothing and to write all the same is refused before it gets here.
        for store in manifest.stores.writes or ():
            found.setdefault(store, set()).add(manifest.name)
    return {store: tuple(sorted(names)) for store, names in found.items()}


def effective_output(manifest: ToolManifest, written_by: Mapping[str, tuple[str, ...]]) -> Output:
    """What a tool's result may carry beside other tools; never better than its manifest says.

    Args:
        manifest: of the tool.
        written_by: `writers` of all tools in force, this one too: what an agent has one tool write,
            it can read by the same one.
    """
    written = any(store in written_by for store in manifest.stores.reads or ())
    if written or manifest.runner == CALLER:
        return replace(manifest.output, trust="untrusted")
    return manifest.output


def stores_advice(manifests: Iterable[ToolManifest]) -> tuple[str, ...]:
    """What follows from all tools together, and is worth a second look; each with tool and where.

    Silent about a tool whose results its manifest calls untrusted already.
    """
    every = sorted(manifests, key=lambda manifest: manifest.name)
    written_by = writers(every)
    told: list[str] = []
    readers = [m for m in every if m.output.trust == "trusted" and m.runner != CALLER]
    for manifest in readers:
        told += _of_reader(manifest, written_by)
    named = sorted({store for m in readers for store in m.stores.reads or ()})
    for manifest in every:
        if named and not manifest.behaviour.read_only and manifest.stores.writes is None:
            told.append(
                f"{manifest.name}: /stores/writes: undeclared: if it writes {_some(named)}, whose"
                " readers are trusted, say so; [] says that it writes no store that a tool reads"
            )
    return tuple(told)


def _of_reader(manifest: ToolManifest, written_by: Mapping[str, tuple[str, ...]]) -> list[str]:
    name, reads = manifest.name, manifest.stores.reads
    if reads is not None:
        return [
            f"{name}: /output/trust: counts as untrusted: it reads {store}, which"
            f" {_some(written_by[store])} can write for an agent"
            for store in reads
            if store in written_by
        ]
    if not written_by or not manifest.behaviour.read_only:
        return []
    written = _some(sorted(written_by))
    told = f"{name}: /stores/reads: undeclared, so it is trusted though other tools write {written}"
    return [told]


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _ELSE_MAX
    return ", ".join(every[:_ELSE_MAX]) + (f" and {more} more" if more > 0 else "")

"""One hash stands for all leaves in their order (RFC 9162 §2.1), and grows a leaf at a time.

A `Frontier` keeps the roots of the full subtrees that the tree so far is made of, largest first: as
many hashes as its size has ones in binary. That is all one needs to add leaves and to tell the
root, and so all that an export that starts late has to carry of what came before.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

HASH_BYTES: Final = 32


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of one leaf (RFC 9162 §2.1.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees (RFC 9162 §2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """A tree of `size` leaves, as far as adding to it needs it.

    Attributes:
        size: leaves so far.
        roots: of the full subtrees, largest first.
    """

    size: int = 0
    roots: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        wrong = any(len(root) != HASH_BYTES for root in self.roots)
        if self.size < 0 or len(self.roots) != self.size.bit_count() or wrong:
            raise ValueError("These are not the subtrees of a tree of this size.")

    def add(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        carried, size = leaf, self.size
        while size & 1:
            carried = node_hash(self.roots.pop(), carried)
            size >>= 1
        self.roots.append(carried)
        self.size += 1

    def root(self) -> bytes:
        """The tree's root; of an empty tree, the hash of nothing."""
        if not self.roots:
            return hashlib.sha256().digest()
        root = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> "Frontier":
        """Another tree that starts as this one."""
        return Frontier(size=self.size, roots=list(self.roots))

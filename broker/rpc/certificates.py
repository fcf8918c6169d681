"""What a client's certificate names, each name with its kind, so that none passes for another.

gRPC hands all subject alternative names round as plain text, where a mailbox or a host could look
like a SPIFFE id; so they are read from the certificate itself. Only URIs and host names count.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Final

from cryptography import x509

_PEM: Final = "x509_pem_cert"
_KEPT: Final = 1_024


def certificate_names(shown: Mapping[str, Iterable[bytes]]) -> frozenset[str]:
    """The names of the certificate of a connection.

    Args:
        shown: what gRPC tells of the handshake.

    Returns:
        `uri:spiffe://shop.example/worker`, `dns:worker.shop.example`; none without a certificate.
    """
    found = tuple(shown.get(_PEM, ()))
    return _names(found[0]) if len(found) == 1 else frozenset()


@functools.lru_cache(maxsize=_KEPT)
def _names(pem: bytes) -> frozenset[str]:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return frozenset()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = names.get_values_for_type(x509.DNSName)
    return frozenset({f"uri:{uri}" for uri in uris} | {f"dns:{host.lower()}" for host in hosts})

"""What several sections of the settings demand, each said once.

Each raises ValueError, whose text is the finding: it names the setting and what is wrong with it.
"""

from broker.core.addresses import is_https_or_here, listens_here_alone


def require_https(name: str, url: str) -> None:
    """Refuse a URL at which somebody could read along; for one that is no secret itself."""
    if not is_https_or_here(url):
        raise not_https(name, url)


def not_https(name: str, url: str) -> ValueError:
    """What is said of such a URL."""
    return ValueError(f"{name} = {url!r} is no https address; plain http is for loopback alone")


def require_tls_pair(certificate: object, key: object) -> None:
    """Refuse a certificate without its key, and a key without its certificate."""
    if (certificate is None) != (key is None):
        raise ValueError("tls_certificate_file and tls_key_file come together")


def require_safe_listen(listen: str, *, has_tls: bool, such_as: str) -> None:
    """Refuse what is no address to listen at, and one beyond this machine in the clear.

    Args:
        listen: the setting of that name.
        has_tls: whether there are certificate and key for it.
        such_as: an address, for whoever wrote none.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"listen = {listen!r} is not an address such as {such_as}")
    if not has_tls and not listens_here_alone(listen):
        raise ValueError(
            f"listen = {listen!r} is reachable from elsewhere and needs "
            "tls_certificate_file and tls_key_file"
        )

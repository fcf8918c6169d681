"""What pages take from others lies in the tree byte for byte as its package has it, with licence.

htmx.org 4.0.1 as npm has it: the package's integrity is
sha512-oF7JgXhDW9UXCy/k1ZYFUQgzu/rm19ORWPSPNL91vPluB2PB9+MV55tyQdH/w7o2EAbTYUG5SDW1R60mdkdqGg==
and the files are its `dist/htmx.min.js`, `dist/ext/hx-sse.min.js` and `LICENSE`.
"""

import hashlib

from tests.project.checkout import ROOT

VENDOR = ROOT / "broker" / "web" / "static" / "vendor"
SHA256 = {
    "htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "hx-sse.min.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
    "htmx.LICENSE.txt": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
}


def test_every_vendored_file_is_the_one_of_its_package() -> None:
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file()
    }

    assert found == SHA256

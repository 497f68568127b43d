#!/usr/bin/env python3
"""Computes the golden files beside it from nothing but hashlib, hmac, json and `cryptography`'s Ed25519.

It shares no code with src/: trees are the recursive definitions of RFC 6962 section 2.1, HKDF is RFC 5869 in two lines.
Usage: python3 make_golden.py   (rewrites the files; `git diff` must then be empty)
"""

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).parent

SEED = bytes(range(32))
CLUSTER = "7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70"
ORIGIN = f"notary.example/logs/{CLUSTER}"
LEAVES = [hashlib.sha256(b"event %d" % i).digest() for i in range(7)]
LEAF_INDEX = 5
LOG_INDEX = 3


def b64(data):
    return base64.b64encode(data).decode()


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(entries):
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return leaf_hash(entries[0])
    k = split(len(entries))
    return node_hash(mth(entries[:k]), mth(entries[k:]))


def path(m, entries):
    if len(entries) <= 1:
        return []
    k = split(len(entries))
    if m < k:
        return path(m, entries[:k]) + [mth(entries[k:])]
    return path(m - k, entries[k:]) + [mth(entries[:k])]


def canonical(record):
    # RFC 8785 for objects whose names are ASCII and whose values are strings.
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def es_number(number):
    """Number::toString of ECMAScript, as RFC 8785 section 3.2.2.3 asks; Python's repr has the same shortest digits."""
    if number == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(float(number))).normalize().as_tuple()
    digits = "".join(map(str, digits))
    k, n = len(digits), len(digits) + exponent
    if k <= n <= 21:
        text = digits + "0" * (n - k)
    elif 0 < n <= 21:
        text = f"{digits[:n]}.{digits[n:]}"
    elif -6 < n <= 0:
        text = "0." + "0" * -n + digits
    else:
        text = digits[0] + ("." + digits[1:] if k > 1 else "") + f"e{n - 1:+d}"
    return "-" * sign + text


def canonical_event(value):
    """RFC 8785 of any JSON: names in the order of their UTF-16 code units."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical_event(name)}:{canonical_event(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_event, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return es_number(value)
    return json.dumps(value, ensure_ascii=False)


def golden_event(text, salt):
    canonical = canonical_event(json.loads(text)).encode()
    return {
        "json": text,
        "salt": salt.hex(),
        "canonical": canonical.decode(),
        "leaf": hashlib.sha256(b"quartermaster.dev/event@v1\n" + salt.hex().encode() + b"\n" + canonical).hexdigest(),
        "hash": hashlib.sha256(canonical).hexdigest(),
    }


def hkdf(ikm, salt, info, length=32):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    assert length <= 32
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()[:length]


def derive(purpose, origin, epoch):
    return hkdf(SEED, b"quartermaster/v1", f"{purpose}\n{origin}\n{epoch}".encode())


def anchor(number, leaves, **more):
    return canonical(
        {
            "type": "quartermaster.dev/anchor@v1",
            "anchor_id": f"0195c3a0-1c00-7000-8000-00000000000{number}",
            "cluster_id": CLUSTER,
            "leaf_count": str(len(leaves)),
            "root": mth(leaves).hex(),
            "etcd_revision": more.pop("etcd_revision", "0"),
            "created_at": f"2025-03-23T12:00:0{number}.{number}00Z",
            **more,
        }
    )


succession = canonical(
    {
        "type": "quartermaster.dev/succession@v1",
        "cluster_id": CLUSTER,
        "predecessor_id": "11111111-2222-4333-8444-555555555555",
        "predecessor_origin": "notary.example/logs/11111111-2222-4333-8444-555555555555",
        "predecessor_size": "9007199254740991",
        "predecessor_root": hashlib.sha256(b"predecessor").hexdigest(),
        "reason": 'restored from a backup: "3 hours" lost',
        "created_at": "2025-03-23T12:00:00.000Z",
    }
)
minimal = anchor(1, LEAVES[:1])
full = anchor(
    3,
    LEAVES,
    etcd_revision="9223372036854775807",
    request_id="c0ffee00-0000-4000-8000-00000000c0de",
    submitter='gateway "één"\n\t\x01\x7f\\ €  😀 </x>',
)
LOG = [succession, minimal, anchor(2, LEAVES[:2]), full, anchor(4, LEAVES[:4])]

log_seed = derive("log-ed25519", ORIGIN, 1)
key = Ed25519PrivateKey.from_private_bytes(log_seed)
public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
key_id = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public).digest()[:4]
vkey = f"{ORIGIN}+{key_id.hex()}+{b64(bytes([1]) + public)}"


def checkpoint(size):
    text = f"{ORIGIN}\n{size}\n{b64(mth(LOG[:size]))}\n"
    return f"{text}\n— {ORIGIN} {b64(key_id + key.sign(text.encode()))}\n"


def head_message(size, previous):
    lines = ["quartermaster.dev/head@v1", ORIGIN, str(size), mth(LOG[:size]).hex()]
    lines += ["-", "-"] if previous is None else [str(previous), mth(LOG[:previous]).hex()]
    return "".join(f"{line}\n" for line in lines).encode()


mac_key = derive("head-mac", ORIGIN, 1)
extra = (
    f"quartermaster.dev/leaf-proof@v1\nindex {LEAF_INDEX}\n"
    + "".join(f"{b64(h)}\n" for h in path(LEAF_INDEX, LEAVES))
    + "\n"
).encode() + full
proof = (
    f"c2sp.org/tlog-proof@v1\nextra {b64(extra)}\nindex {LOG_INDEX}\n"
    + "".join(f"{b64(h)}\n" for h in path(LOG_INDEX, LOG))
    + f"\n{checkpoint(len(LOG))}"
)

values = {
    "masterSeed": SEED.hex(),
    "origin": ORIGIN,
    "clusterId": CLUSTER,
    "leaves": [leaf.hex() for leaf in LEAVES],
    "logSeedEpoch1": log_seed.hex(),
    "logSeedEpoch2": derive("log-ed25519", ORIGIN, 2).hex(),
    "headMacKeyEpoch1": mac_key.hex(),
    "seedId": hkdf(SEED, b"quartermaster/v1", b"seed-id\n\n0")[:8].hex(),
    "genesisHead": {
        "message": head_message(0, None).decode(),
        "mac": hmac.new(mac_key, head_message(0, None), hashlib.sha256).hexdigest(),
    },
    "headFrom2To5": {
        "message": head_message(5, 2).decode(),
        "mac": hmac.new(mac_key, head_message(5, 2), hashlib.sha256).hexdigest(),
    },
    "log": [b64(entry) for entry in LOG],
}

EVENTS = [
    golden_event('{"user": "ada", "type": "session.opened", "at": "2025-03-23T12:00:01.100Z"}', bytes(range(16))),
    # RFC 8785 section 3.2.2: numbers, escapes, literals
    golden_event(
        r"""{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}""",
        bytes(range(240, 256)),
    ),
    # RFC 8785 section 3.2.3: the order of names
    golden_event(
        r"""{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
        "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}""",
        bytes(16),
    ),
    golden_event('{"b": {}, "a": [], "": null, "__proto__": [[-0, -0.0, 0.1, 1e21, 9007199254740991, {"z": "", "a": "\\u007f"}]]}', bytes([255]) * 16),
]

FILES = {
    "anchor-record.json": full,
    "anchor-record-minimal.json": minimal,
    "succession-record.json": succession,
    "checkpoint-0.txt": checkpoint(0).encode(),
    "checkpoint-5.txt": checkpoint(5).encode(),
    "vkey.txt": vkey.encode(),
    "receipt.tlog-proof": proof.encode(),
    "events.json": json.dumps(EVENTS, indent=2, ensure_ascii=False).encode() + b"\n",
    "values.json": json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n",
}
for name, content in FILES.items():
    (HERE / name).write_bytes(content)
    print(f"{name}: {len(content)} bytes")

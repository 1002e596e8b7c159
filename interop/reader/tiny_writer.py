"""A minimal writer of russet repositories, format 1, from docs/format.md alone; the other half of the reader's tests.

It shares no code with docs/russet_reader.py except HChaCha20 (which has a published vector there): each side reads the
document by itself. All parameters are small, all randomness comes from the system. Not for anybody's data.
"""
import hashlib
import json
import os
import struct
import sys
from pathlib import Path

import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
from russet_reader import hchacha20  # noqa: E402

BLOB_TYPES = {"data": 1, "tree": 2, "record": 3}
PASSWORD = "caf\u00e9 au lait"  # NFC; tests give it decomposed as well
RECOVERY_KEY = bytes(range(100, 132))


def derive(context, material, length=32):
    return blake3(material, derive_key_context=context).digest(length=length)


def keyed(key, data):
    return blake3(data, key=key).digest()


def xchacha_seal(key, nonce, plain, aad):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, aad)


def words_of(entropy):
    """BIP-39, written the other way round than the reader does it: as a string of bits."""
    words = (Path(__file__).resolve().parents[2] / "docs" / "recovery-words.txt").read_text().split()
    bits = "".join(f"{byte:08b}" for byte in entropy + hashlib.sha256(entropy).digest()[:1])
    return " ".join(words[int(bits[at:at + 11], 2)] for at in range(0, 264, 11))


def entry(stored, *, what=1, domain=b"", relative=b"", ids=(), depth=0, content=b"", target=b"", mtime=(1700000000, 5),
          derived=False, flags=0, file_hash=None, length=None, padding=0, file_key=bytes(32)):
    """One entry of a leaf, §8."""
    if file_hash is None:
        file_hash = blake3(content).digest() if what == 1 else bytes(32)
    body = bytes([what, flags | (1 if derived else 0), depth, padding])
    body += struct.pack("<H", len(domain)) + domain + struct.pack("<I", len(relative)) + relative
    if not derived:
        body += struct.pack("<H", len(stored)) + stored
    body += struct.pack("<qIQ", *mtime, len(content) if length is None else length) + file_hash
    body += os.urandom(8) if flags & 2 else b""
    body += struct.pack("<H", len(target)) + target
    if flags & 4:
        body += file_key
    body += struct.pack("<I", len(ids)) + b"".join(ids)
    return struct.pack("<I", len(body)) + body


def encrypt_as_a_phone(file_key, plain):
    """The stored file of §8.1, padded by PKCS#7; and the length of its padding."""
    padder = block_padding.PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    cipher = Cipher(algorithms.AES(file_key), modes.CBC(bytes(16))).encryptor()
    return cipher.update(padded) + cipher.finalize(), len(padded) - len(plain)


def leaf(entries):
    return b"\0" + struct.pack("<I", len(entries)) + b"".join(entries)


def node(level, children):
    """`children`: (id, entries below, domain and relative path of the first one)."""
    out = bytes([level]) + struct.pack("<I", len(children))
    for blob_id, below, domain, relative in children:
        out += blob_id + struct.pack("<Q", below)
        out += struct.pack("<H", len(domain)) + domain + struct.pack("<I", len(relative)) + relative
    return out


def chunk_list(depth, ids):
    return bytes([0x80 + depth]) + struct.pack("<I", len(ids)) + b"".join(ids)


def stored_path(domain, relative):
    digest = hashlib.sha1(domain + b"-" + relative).hexdigest().encode()
    return digest[:2] + b"/" + digest


class Writer:
    """Writes files of one repository below `root`."""

    def __init__(self, root):
        self.root = Path(root)
        self.repository, self.master = os.urandom(16), os.urandom(32)
        self.id_key, self.data_key, self.epoch = os.urandom(32), os.urandom(32), 3
        self.mac_key = derive("russet format 1 mac of config and keyslots", self.master + self.repository)
        self.pending = {1: [], 2: []}  # pack type → [(blob id, payload, plain length, type, encoding)]

    # -- files, §2
    def header(self, kind, length, *, algorithm=1, pack_type=0, epoch=0, version=1):
        front = b"\x89russet\n" + bytes([kind, version, algorithm, pack_type]) + struct.pack("<I", epoch)
        front += self.repository + struct.pack("<Q", length)
        return front + blake3(front).digest()[:8]

    def put(self, folder, data, copies=3):
        name = blake3(data).hexdigest()
        path = f"{folder}/{name[:2]}/{name}" if folder == "packs" else f"{folder}/{name}"
        self.put_as(path, data, copies)
        return name

    def put_as(self, path, data, copies):
        for place in ("", "copy1", "copy2")[:copies]:
            target = self.root / place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    # -- keys and config, §3 and §4
    def keyslot(self, label, *, password=None, recovery_key=None):
        salt, nonce = os.urandom(32), os.urandom(24)
        if password is not None:
            kdf, memory, passes, lanes = 1, 64, 2, 2
            secrets = argon2.low_level.hash_secret_raw(password.encode(), salt, passes, memory, lanes, 64,
                                                       type=argon2.low_level.Type.ID, version=19)
        else:
            kdf, memory, passes, lanes = 2, 0, 0, 0
            secrets = derive("russet format 1 recovery key", recovery_key + salt, 64)
        front = self.header(2, 456) + struct.pack("<B3xIII", kdf, memory, passes, lanes) + salt + secrets[32:] + nonce
        plain = self.master + struct.pack("<QH", 1700000000, len(label)) + label
        front += xchacha_seal(secrets[:32], nonce, plain.ljust(256, b"\0"), front[:152])
        return self.put("keys", front + keyed(self.mac_key, front))

    def keyring(self, generation, data_key):
        ring = {"v": 1, "generation": generation, "id_key": self.id_key.hex(), "cut_seed": "00" * 32, "later": {},
                "epochs": [{"epoch": 1, "data_key": "11" * 32, "created": 1},
                           {"epoch": self.epoch, "data_key": data_key.hex(), "created": 2}]}
        key = derive("russet format 1 keyring", self.master + self.repository)
        return self.put("keys", self.record(3, ring, key, epoch=0))

    def config(self, features=None):
        features = features or {"read": [], "write": ["writers-only"], "check": []}
        content = json.dumps({"v": 1, "created": 1700000000, "features": features, "cut": {}}).encode()
        data = self.header(1, 48 + 4 + len(content) + 32, algorithm=0) + struct.pack("<I", len(content)) + content
        self.put_as("config", data + keyed(self.mac_key, data), 3)

    # -- records, §5
    def record(self, kind, value, key=None, epoch=None):
        epoch = self.epoch if epoch is None else epoch
        key = key or derive("russet format 1 record",
                            self.data_key + self.repository + struct.pack("<IB", epoch, kind))
        content = json.dumps(value).encode()
        length = -(-(48 + 24 + 4 + len(content) + 16) // 4096) * 4096
        plain = (struct.pack("<I", len(content)) + content).ljust(length - 48 - 24 - 16, b"\0")
        head, nonce = self.header(kind, length, epoch=epoch), os.urandom(24)
        return head + nonce + xchacha_seal(key, nonce, plain, head)

    # -- blobs and packs, §3 and §6
    def blob(self, type_name, plain, *, compress=False, payload=None, plain_len=None, encoding=None):
        kind = BLOB_TYPES[type_name]
        blob_id = keyed(derive("russet format 1 blob id " + type_name, self.id_key), plain)
        if compress:
            payload, encoding = zstandard.ZstdCompressor().compress(plain), 1
        self.pending[1 if kind == 1 else 2].append(
            (blob_id, plain if payload is None else payload, len(plain) if plain_len is None else plain_len, kind,
             encoding or 0))
        return blob_id

    def pack(self, pack_type, change_entries=lambda entries: entries):
        salt = os.urandom(32)
        material = self.data_key + self.repository + struct.pack("<IBB", self.epoch, 1, pack_type) + salt
        blobs_key, directory_key = (derive("russet format 1 pack " + part, material) for part in ("blobs", "directory"))
        area, entries = b"", []
        for ordinal, (blob_id, payload, plain_len, kind, encoding) in enumerate(self.pending[pack_type]):
            sealed = ChaCha20Poly1305(blobs_key).encrypt(struct.pack("<I8x", ordinal), payload,
                                                         struct.pack("<BI", pack_type, ordinal))
            entries.append((blob_id, ordinal, 96 + len(area), len(sealed), plain_len, kind, encoding))
            area += sealed
        area += os.urandom(-(96 + len(area)) % 4096)
        entries = change_entries(entries)
        plain = struct.pack("<II", len(entries), 0) + b"".join(struct.pack("<32s4I2B6x", *fields) for fields in entries)
        directory_len = -(-(len(plain) + 16) // 4096) * 4096
        start = self.header(4, 96 + len(area) + directory_len, pack_type=pack_type, epoch=self.epoch)
        start += salt + struct.pack("<I12x", directory_len)
        directory = ChaCha20Poly1305(directory_key).encrypt(bytes(12), plain.ljust(directory_len - 16, b"\0"), start)
        self.pending[pack_type] = []
        return self.put("packs", start + area + directory, copies=1)

    # -- snapshots and log, §9 and §10
    def snapshot(self, tree, **changes):
        value = {"v": 1, "tree": tree.hex(), "udid": "00008110-001122334455667A",
                 "device": {"name": "Blue \x1b[31miPhone"}, "backup_time": 1760000000, "captured": 1760000100,
                 "kind": "folder", "verdict": "complete",
                 "counts": {"files": 5, "len": 12345}, "writer": "aa" * 16, "seq": 1, "heads": {}}
        return self.record(6, {**value, **changes})

    def log(self, what, writer="aa" * 16, seq=2, heads=None):
        value = {"v": 1, "writer": writer, "seq": seq, "prev": None, "heads": heads or {}, "time": 1, "what": what}
        return self.put("log", self.record(7, value))


class Sample:
    """A repository with one snapshot: known content, every shape of the format once."""

    def __init__(self, root, extra_entries=(), drop_directories=False, **snapshot_changes):
        self.writer = writer = Writer(root)
        self.root = Path(root)
        self.slot_ids = [writer.keyslot(b"first", password=PASSWORD),
                         writer.keyslot(b"sheet", recovery_key=RECOVERY_KEY)]
        writer.keyring(1, bytes(32))
        writer.keyring(2, writer.data_key)
        writer.config()
        first, second = self.entries(extra_entries, drop_directories)
        leaves = [(writer.blob("tree", leaf(first)), len(first), b"", b""),
                  (writer.blob("tree", leaf(second), compress=True), len(second), b"HomeDomain", b"")]
        self.leaf_ids = [child[0] for child in leaves]
        self.root_id = writer.blob("tree", node(1, leaves), compress=True)
        record = writer.snapshot(self.root_id, **snapshot_changes)
        writer.blob("record", record)
        self.packs = {"data": writer.pack(1), "tree": writer.pack(2)}
        self.snapshot_id = writer.put("snapshots", record)

    def entries(self, extra_entries, drop_directories):
        """Two leaves: what Apple's Manifest.db does not name, and what it names."""
        writer = self.writer
        self.big = b"".join(hashlib.sha256(b"%d" % number).digest() * 3 for number in range(150))  # 150 chunks
        self.note, self.manifest, self.links = b"note " * 2000, b"SQLite format 3\0", {b"link": b"Manifest.db"}
        self.big_path, self.note_path = (stored_path(b"HomeDomain", name) for name in (b"big", b"note"))
        chunks = [writer.blob("data", self.big[at:at + 96]) for at in range(0, len(self.big), 96)]
        lists = [writer.blob("tree", chunk_list(1, part)) for part in (chunks[:70], chunks[70:])]
        self.last_chunk = chunks[-1]
        note = [writer.blob("data", part, compress=True) for part in (self.note[:4000], self.note[4000:])]
        manifest = [writer.blob("data", self.manifest)]
        # Opened: two chunks that are no whole blocks, and one without any plaintext.
        self.diary_key, self.diary_plain = os.urandom(32), b"dear diary, " * 333
        self.diary, diary_padding = encrypt_as_a_phone(self.diary_key, self.diary_plain)
        diary = [writer.blob("data", part) for part in (self.diary_plain[:1001], self.diary_plain[1001:])]
        self.nothing, _ = encrypt_as_a_phone(self.diary_key, b"")
        folders = sorted({self.big_path[:2], self.note_path[:2]})
        first = [] if drop_directories else [entry(b"", what=2, mtime=(1500000000, 0))]
        first += [] if drop_directories else [entry(folder, what=2, mtime=(-5, 0)) for folder in folders]
        first += [entry(b"Manifest.db", ids=manifest, content=self.manifest), entry(b"empty"),
                  entry(b"link", what=3, target=b"Manifest.db"),
                  entry(b"nothing", flags=4, content=self.nothing, padding=16, file_key=self.diary_key),
                  entry(b"diary", flags=4, ids=diary, content=self.diary, padding=diary_padding,
                        file_key=self.diary_key), *extra_entries]
        second = [entry(b"", domain=b"HomeDomain", relative=b"big", derived=True, flags=2, depth=1, ids=lists,
                        content=self.big),
                  entry(b"", domain=b"HomeDomain", relative=b"note", derived=True, flags=2, ids=note,
                        content=self.note)]
        self.files = {b"Manifest.db": self.manifest, b"empty": b"", b"diary": self.diary, b"nothing": self.nothing,
                      self.big_path: self.big, self.note_path: self.note}
        return first, second

    def pack_path(self, which):
        name = self.packs[which]
        return self.root / "packs" / name[:2] / name

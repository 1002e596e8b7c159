#!/usr/bin/env python3
"""A small, slow, independent reader of russet repositories, format 1.

Written from format.md, which lies next to this file; "§" in comments means a section there. It never writes to the
repository. It needs Python 3.9 or later and: pip install blake3 cryptography argon2-cffi zstandard

    russet_reader.py REPO info                       what the repository is
    russet_reader.py REPO list                       the snapshots
    russet_reader.py REPO ls SNAP                    the files of one snapshot
    russet_reader.py REPO restore SNAP TARGET_DIR    write it to TARGET_DIR/<UDID>/
    russet_reader.py REPO verify                     read and check everything
    russet_reader.py REPO passwords                  iPhone backup passwords that are kept, with their phones
    russet_reader.py --self-test                     check this program's own cryptography

SNAP is the beginning of a snapshot's id, or `latest`. The password is asked for, or read with --password-file FILE; the
24 recovery words with --recovery-file FILE (recovery-words.txt is BIP-39's English list, taken from the PyPI package
`mnemonic`, MIT licence). Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but incomplete, 10 no repository,
12 wrong password, 16 no space left, 20 verify found damage.
"""
import argparse, errno, getpass, hashlib, hmac, json, os, re, struct, sys, time, unicodedata  # noqa: E401
from collections import namedtuple

import argon2.exceptions
import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MAGIC = b"\x89russet\n"
MIB = 1 << 20
CONFIG, KEYSLOT, KEYRING, PACK, SNAPSHOT, LOG, SECRET = 1, 2, 3, 4, 6, 7, 11  # kinds of files, §2
DATA, TREE, RECORD = 1, 2, 3  # types of blobs, §6
FILE, DIRECTORY, LINK = 1, 2, 3  # what a tree's entry is, §8
DERIVED, IN_MANIFEST, OPENED, KNOWN_FLAGS = 1, 2, 4, 7  # flags of a tree's entry, §8
SMALL_FILE_LEN_MAX = 4 * MIB  # §5
COUNT_MAX = 8192  # of what stands in one blob of a tree, §8
ID = "[0-9a-f]{64}"

Header = namedtuple("Header", "kind algorithm pack_type epoch repository length")  # §2.1
Keys = namedtuple("Keys", "repository mac blob_ids data")  # blob_ids: {blob type: id key}, data: {epoch: data key}
Pack = namedtuple("Pack", "name header blob_key")
Place = namedtuple("Place", "pack ordinal offset sealed_len plain_len type encoding")  # of a blob, in packs[pack]
Entry = namedtuple("Entry", "what flags depth padding domain relative_path stored_path mtime_ns length file_hash "
                   "target file_key ids")
DIRECTORY_ENTRY = struct.Struct("<32s4I2B6x")  # of a pack, §6
PACKED_PLACE = struct.Struct("<5I2B")  # there may be millions of blobs, so places are kept as bytes

class Damage(Exception):
    """One thing cannot be used. It is reported, and the work goes on without it."""
class Stop(Exception):
    """Nothing more can be done. Arguments: exit code, text."""

class Report:
    """What went wrong, each thing said once, on stderr. For what is damaged a copy may help; what is lost is lost."""
    def __init__(self):
        self.damaged, self.lost = set(), set()
    def damage(self, text):
        self.say("damaged: " + text, self.damaged)
    def loss(self, text):
        self.say("LOST: " + text, self.lost)
    def say(self, text, said):
        if text not in said:
            print(text, file=sys.stderr)
        said.add(text)

def printable(text):
    """Names come from phones and from drives: never let one steer a terminal."""
    text = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

# ------------------------------------------------------------------------------------------------ primitives
def derive_key(context, material, length=32):
    return blake3(material, derive_key_context=context).digest(length=length)
def keyed(key, data):
    return blake3(data, key=key).digest()

def quarter_round(state, a, b, c, d):
    """RFC 8439 §2.1."""
    for x, y, z, count in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[x] = (state[x] + state[y]) & 0xFFFFFFFF
        mixed = state[z] ^ state[x]
        state[z] = ((mixed << count) | (mixed >> (32 - count))) & 0xFFFFFFFF

def hchacha20(key, nonce16):
    """draft-irtf-cfrg-xchacha §2.2: ChaCha20's rounds without the last addition; first and last row are the key."""
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce16))
    for _ in range(10):
        for i in range(4):  # columns
            quarter_round(state, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):  # diagonals
            quarter_round(state, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *state[0:4], *state[12:16])

def chacha_open(key, nonce12, sealed, aad):
    """ChaCha20-Poly1305, RFC 8439."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce12, sealed, aad)
    except (InvalidTag, ValueError):
        raise Damage("its seal does not hold") from None

def xchacha_open(key, nonce24, sealed, aad):
    """XChaCha20-Poly1305, draft-irtf-cfrg-xchacha §2.3."""
    if len(nonce24) != 24:
        raise Damage("it is too short")
    return chacha_open(hchacha20(key, nonce24[:16]), bytes(4) + nonce24[16:], sealed, aad)

def zstd_decode(payload, plain_len):
    """§6: exactly one zstd frame that says it gives plain_len bytes. No more than that is ever unpacked."""
    try:
        if payload[:4] != b"\x28\xb5\x2f\xfd" or zstandard.frame_content_size(payload) != plain_len:
            raise Damage("its zstd frame does not say the length it should")
        plain = zstandard.ZstdDecompressor(max_window_size=16 * MIB).decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as why:
        raise Damage(f"its zstd frame is bad ({why})") from None
    if len(plain) != plain_len:
        raise Damage("its zstd frame does not give the length it should")
    return plain

def recovery_key_of(text):
    """BIP-39: 24 words of 11 bits are 256 bits of entropy, then 8 bits of its SHA-256. §3.1."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recovery-words.txt")
    with open(path, encoding="ascii") as file:
        word_list = file.read().split()
    words = text.lower().split()
    unknown = [word for word in words if word not in word_list]
    if len(words) != 24 or unknown:
        raise Stop(12, f"24 recovery words are needed, not {len(words)}; not in the list: {printable(unknown)}")
    bits = "".join(f"{word_list.index(word):011b}" for word in words)
    entropy, checksum = int(bits[:256], 2).to_bytes(32, "big"), int(bits[256:], 2)
    if hashlib.sha256(entropy).digest()[0] != checksum:
        raise Stop(12, "the checksum of the recovery words is wrong: one is misread or out of place")
    return entropy

# ------------------------------------------------------------------------------------------------ decoding
class Cursor:
    """Takes fields off the front of some bytes; never reads past their end."""
    def __init__(self, data):
        self.data, self.at = data, 0
    def take(self, length):
        if length > len(self.data) - self.at:
            raise Damage("it ends too early")
        self.at += length
        return self.data[self.at - length:self.at]
    def number(self, width, signed=False):
        return int.from_bytes(self.take(width), "little", signed=signed)
    def counted(self, width):
        """A length of `width` bytes, then that many bytes."""
        return self.take(self.number(width))
    def ids(self):
        return [self.take(32) for _ in range(self.count())]
    def count(self):
        count = self.number(4)
        if count > COUNT_MAX:
            raise Damage("it counts more than one blob may hold")
        return count
    def end(self):
        if self.at != len(self.data):
            raise Damage("bytes stand after its end")

def decode_header(data):
    """The first 48 bytes of a file, §2.1."""
    cursor = Cursor(data)
    if cursor.take(8) != MAGIC:
        raise Damage("it does not begin like a file of russet")
    kind, version, algorithm, pack_type = cursor.take(4)
    if version != 1:
        raise Damage(f"it has format {version}; this reader knows format 1 only")
    if algorithm not in (0, 1):
        raise Damage(f"its algorithm {algorithm} is not known")
    header = Header(kind, algorithm, pack_type, cursor.number(4), cursor.take(16), cursor.number(8))
    if cursor.take(8) != blake3(data[:40]).digest()[:8]:
        raise Damage("its first 48 bytes are damaged")
    return header

def decode_json(content):
    """§5: one object."""
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Damage("it is not JSON") from None
    if not isinstance(value, dict) or value.get("v") != 1:
        raise Damage("it is not a JSON object of version 1")
    return value

def member(json_object, name, kind, default):
    """A member of a JSON object, if it is there and of the right kind."""
    value = json_object.get(name) if isinstance(json_object, dict) else None
    return value if type(value) is kind else default

def id_member(json_object, name):
    text = member(json_object, name, str, "")
    if not re.fullmatch(ID, text):
        raise Damage(f"its {name} is not 64 hex digits")
    return bytes.fromhex(text)

def time_text(seconds):
    in_range = 0 <= seconds < 250_000_000_000  # the years 1970 to 9892
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) if in_range else "?"

# ------------------------------------------------------------------------------------------------ files, §2
class Files:
    """The repository's folder: names, copies, the first 48 bytes. Knows no keys."""
    def __init__(self, root, report):
        self.root, self.report = root, report
        self.repository = None  # the 16 byte id, once it is known
        self.foreign = set()  # files that are not ours, §1.2 and §2.1
    def scan(self, folder, pattern):
        """Names in a folder that look like ours; the others are foreign."""
        path = os.path.join(self.root, folder)
        names = sorted(os.listdir(path)) if os.path.isdir(path) else []
        self.foreign.update(os.path.join(folder, name) for name in names if not re.fullmatch(pattern, name))
        return [name for name in names if re.fullmatch(pattern, name)]
    def pack_names(self):
        for two in self.scan("packs", "[0-9a-f]{2}"):
            for name in self.scan(os.path.join("packs", two), two + "[0-9a-f]{62}"):
                yield os.path.join("packs", two, name)
    def is_foreign(self, name, header):
        if self.repository not in (None, header.repository):
            self.foreign.add(name)
        return name in self.foreign
    def pieces(self, name, start, length):
        """Bytes of a file, at most 1 MiB at a time."""
        try:
            with open(os.path.join(self.root, name), "rb") as file:
                file.seek(start)
                while length and (piece := file.read(min(length, MIB))):
                    yield piece
                    length -= len(piece)
        except OSError as why:
            raise Damage(f"it cannot be read ({why.strerror})") from None
        if length:
            raise Damage("it is shorter than it should be")
    def read(self, name, start, length):
        return b"".join(self.pieces(name, start, length))
    def read_small(self, name, kinds):
        """A whole file, cut to the exact length that its header says. §2: a name that is an id must be its BLAKE3."""
        header = decode_header(self.read(name, 0, 48))
        if header.kind not in kinds or header.length > SMALL_FILE_LEN_MAX:
            raise Damage("its kind or its length is wrong")
        data = self.read(name, 0, header.length)
        if os.path.basename(name) not in ("config", blake3(data).hexdigest()):
            raise Damage("its bytes do not give its name")
        return header, data
    def good_copies(self, name, *kinds):
        """§2: a file with three copies stands under three names; any good one counts."""
        for copy in (name, os.path.join("copy1", name), os.path.join("copy2", name)):
            try:
                header, data = self.read_small(copy, kinds)
                if not self.is_foreign(copy, header):
                    yield data
            except Damage as why:
                self.report.damage(f"{copy}: {why}")
    def read_folder(self, folder, *kinds):
        """Every file of a folder of which a good copy is found, by id."""
        ids = {name for place in ("", "copy1", "copy2") for name in self.scan(os.path.join(place, folder), ID)}
        found = {name: list(self.good_copies(os.path.join(folder, name), *kinds)) for name in sorted(ids)}
        return {name: copies[0] for name, copies in found.items() if copies}

# ------------------------------------------------------------------------------------------------ keys, §3
def keyslot_secrets(slot, password, recovery_key):
    """§3.1: 32 bytes KEK and 32 bytes commitment; None if this slot is for the other kind of secret."""
    kdf, memory, passes, lanes, salt = struct.unpack_from("<B3x3I32s", slot, 48)
    if kdf == 2 and recovery_key is not None:
        return derive_key("russet format 1 recovery key", recovery_key + salt, 64)
    if kdf != 1 or password is None:
        return None
    if not (1 <= lanes <= 16 and 1 <= passes <= 64 and 8 * lanes <= memory <= 2 << 20):  # memory is in KiB
        raise Damage("it asks for too much or too little work")
    try:
        return argon2.low_level.hash_secret_raw(password, salt, passes, memory, lanes, 64,
                                                type=argon2.low_level.Type.ID, version=0x13)
    except argon2.exceptions.HashingError as why:
        raise Damage(f"Argon2id failed ({why})") from None

def mac_key(master, repository):
    return derive_key("russet format 1 mac of config and keyslots", master + repository)

def open_keyslot(slot, password, recovery_key):
    """§3.1: the master key and the slot's label; None if this is not the slot's password."""
    if len(slot) != 456:
        raise Damage("a keyslot has 456 bytes")
    secrets = keyslot_secrets(slot, password, recovery_key)
    if secrets is None or not hmac.compare_digest(secrets[32:], slot[96:128]):
        return None
    plain = Cursor(xchacha_open(secrets[:32], slot[128:152], slot[152:424], slot[:152]))
    master, _created, label = plain.take(32), plain.number(8), plain.counted(2)
    if not hmac.compare_digest(slot[424:], keyed(mac_key(master, decode_header(slot).repository), slot[:424])):
        raise Damage("its MAC is wrong")
    return master, label

def open_record(data, key):
    """§5: the JSON in a record."""
    return decode_json(Cursor(xchacha_open(key, data[48:72], data[72:], data[:48])).counted(4))

def open_keyring(data, master):
    """§3.2: generation and keys."""
    repository = decode_header(data).repository
    ring = open_record(data, derive_key("russet format 1 keyring", master + repository))
    id_key, epochs = id_member(ring, "id_key"), member(ring, "epochs", list, [])
    blob_ids = {kind: derive_key("russet format 1 blob id " + type_name, id_key)
                for kind, type_name in ((DATA, "data"), (TREE, "tree"), (RECORD, "record"))}
    data_keys = {member(epoch, "epoch", int, 0): id_member(epoch, "data_key") for epoch in epochs}
    return member(ring, "generation", int, 0), Keys(repository, mac_key(master, repository), blob_ids, data_keys)

def config_content(config, keys):
    """§4. A config counts if its MAC is right."""
    cursor = Cursor(config)
    cursor.take(48)
    content, mac = cursor.counted(4), cursor.take(32)
    cursor.end()
    if not hmac.compare_digest(mac, keyed(keys.mac, config[:-32])):
        raise Damage("the MAC of one of its copies is wrong")
    return decode_json(content)

class Repository:
    """A repository that the password has opened: its keys, config, log and snapshots."""
    def __init__(self, files, password, recovery_key):
        self.files, self.report = files, files.report
        configs = list(files.good_copies("config", CONFIG))
        key_files = files.read_folder("keys", KEYSLOT, KEYRING)
        if not configs and not key_files:
            raise Stop(10, f"{files.root}: there is no russet repository here")
        master = self.unlock(configs, key_files, password, recovery_key)
        rings = [self.attempt("keys/" + name, open_keyring, data, master) for name, data in key_files.items()
                 if not files.is_foreign("keys/" + name, decode_header(data)) and decode_header(data).kind == KEYRING]
        if not any(rings):
            raise Stop(1, "the keyslot opens, but no keyring can be read")
        self.keys = max((ring for ring in rings if ring), key=lambda ring: ring[0])[1]  # the highest generation
        configs = [self.attempt("config", config_content, config, self.keys) for config in configs
                   if not files.is_foreign("config", decode_header(config))]
        self.config = next((config for config in configs if config), {})
        if not self.config:
            self.report.damage("no copy of config is good: whether newer software is needed is not known")
        self.refuse_unknown_features("read")
        self.log = self.records("log", LOG)
        self.snapshots = dict(sorted(self.records("snapshots", SNAPSHOT).items(), key=lambda item: (
            time_of(item[1]), member(item[1], "captured", int, 0), item[0])))
        self.forgotten = forgotten_in(self.log.values())
        said = [member(record, "what", dict, {}) for record in self.log.values()]
        if {"keyslot_revoked"} & {what.get("type") for what in said if what.get("keyslot") == self.slot}:
            print("this password was removed from the repository; it is used all the same", file=sys.stderr)  # §3.1
    def attempt(self, name, work, *arguments):
        """None, and a line in the report, if the thing is damaged."""
        try:
            return work(*arguments)
        except Damage as why:
            self.report.damage(f"{name}: {why}")
            return None
    def unlock(self, configs, key_files, password, recovery_key):
        """The master key. Keyslots of another repository may lie about: those that agree with the config come first."""
        ours = {decode_header(config).repository for config in configs}
        slots = [name for name, data in key_files.items() if decode_header(data).kind == KEYSLOT]
        if not slots:
            raise Stop(1, "no keyslot can be read, and without one nothing can be opened")
        for name in sorted(slots, key=lambda name: decode_header(key_files[name]).repository not in ours):
            opened = self.attempt("keys/" + name, open_keyslot, key_files[name], password, recovery_key)
            if opened:
                self.slot = name
                self.slot_text = f"keyslot {name[:8]} ({printable(opened[1])})"
                self.files.repository = decode_header(key_files[name]).repository
                return opened[0]
        raise Stop(12, "no keyslot opens with this " + ("password" if recovery_key is None else "recovery key"))
    def refuse_unknown_features(self, kind):
        """§4. Format 1 began without any feature, so none is known here."""
        names = member(member(self.config, "features", dict, {}), kind, list, [])
        if names:
            raise Stop(1, f"this repository needs software that knows: {printable(names)}")
    def records(self, folder, kind):
        """§5: the JSON of every record of a folder, by id."""
        found = {name: self.attempt(f"{folder}/{name}", self.open, data)
                 for name, data in self.files.read_folder(folder, kind).items()}
        return {name: record for name, record in found.items() if record}
    def open(self, data):
        header = decode_header(data)
        material = self.data_key(header) + self.keys.repository + struct.pack("<IB", header.epoch, header.kind)
        return open_record(data, derive_key("russet format 1 record", material))
    def data_key(self, header):
        if header.epoch not in self.keys.data:
            raise Damage(f"it is sealed under epoch {header.epoch}, which the keyring does not have")
        return self.keys.data[header.epoch]
    def select(self, wanted):
        """A snapshot by the beginning of its id, or the latest one that is not forgotten."""
        names = [name for name in self.snapshots if name.startswith(wanted)]
        if wanted == "latest":  # §9
            names = [name for name in self.snapshots if name not in self.forgotten]
            good = [name for name in names if self.snapshots[name].get("verdict") != "incomplete"
                    and time_of(self.snapshots[name]) <= time.time() + 86400]
            names = (good or names)[-1:]
        if len(names) != 1:
            raise Stop(1, f"{len(names)} snapshots match {printable(wanted)}; `list` shows them")
        return names[0], self.snapshots[names[0]]

def time_of(record):
    """§9. What is rescued may lack either."""
    backup_time, captured = member(record, "backup_time", int, 0), member(record, "captured", int, 0)
    return (backup_time or captured) if record.get("kind") == "folder" else (captured or backup_time)

def time_shown(record):
    """§9: when the phone was backed up, as russet shows it; `captured` only where a rescued record lacks it."""
    return member(record, "backup_time", int, 0) or member(record, "captured", int, 0)

def forgotten_in(log):
    """§10, kept simple: who saw whom is not asked, so a snapshot that was ever pinned is shown rather than hidden."""
    said = {(what.get("type"), member(what, "on", bool, None), member(what, "snapshot", str, ""))
            for what in (member(record, "what", dict, {}) for record in log) if member(what, "type", str, "")}
    return {snapshot for kind, _, snapshot in said if kind == "forgotten" and ("pin", True, snapshot) not in said}

# ------------------------------------------------------------------------------------------------ packs, §6
class Blobs:
    """All blobs in all packs."""
    def __init__(self, repository):
        self.repository, self.files, self.report = repository, repository.files, repository.report
        self.packs = []
        self.places = {}  # blob id → one or more PACKED_PLACEs, joined
        for name in self.files.pack_names():
            repository.attempt(name, self.load_pack, name)
    def load_pack(self, name):
        start = self.files.read(name, 0, 96)
        header, salt, directory_len = decode_header(start), start[48:80], int.from_bytes(start[80:84], "little")
        if self.files.is_foreign(name, header):
            return
        if header.kind != PACK or header.algorithm != 1 or header.pack_type not in (DATA, TREE):
            raise Damage("its kind, algorithm or pack type is not known")
        directory_at = header.length - directory_len
        if header.length > 256 * MIB or directory_at < 96:
            raise Damage("its lengths cannot be right")
        numbers = struct.pack("<IBB", header.epoch, header.algorithm, header.pack_type)
        material = self.repository.data_key(header) + header.repository + numbers + salt
        sealed = self.files.read(name, directory_at, directory_len)
        key = derive_key("russet format 1 pack directory", material)
        directory = Cursor(chacha_open(key, bytes(12), sealed, start))
        count, _zero = directory.number(4), directory.number(4)
        entries = directory.take(count * DIRECTORY_ENTRY.size)
        self.packs.append(Pack(name, header, derive_key("russet format 1 pack blobs", material)))
        self.add_entries(name, header.pack_type, entries, directory_at)
    def add_entries(self, name, pack_type, entries, area_end):
        """Each entry must keep inside the blob area, and not overlap the one before."""
        free_from = 96
        for fields in sorted(DIRECTORY_ENTRY.iter_unpack(entries), key=lambda fields: fields[2]):
            blob_id, place = fields[0], Place(len(self.packs) - 1, *fields[1:])
            place_end = place.offset + place.sealed_len
            fits = free_from <= place.offset and place_end <= area_end and place.plain_len <= 16 * MIB
            if not fits or place.type not in {DATA: (DATA,), TREE: (TREE, RECORD)}[pack_type]:
                self.report.damage(f"{name}: its entry for blob {blob_id.hex()} cannot be right")
                continue
            free_from = place_end
            self.places[blob_id] = self.places.get(blob_id, b"") + PACKED_PLACE.pack(*place)
    def places_of(self, blob_id):
        return [Place(*fields) for fields in PACKED_PLACE.iter_unpack(self.places.get(blob_id, b""))]
    def read_at(self, blob_id, place):
        """The plaintext of a blob from one place, with the checks of §6."""
        pack, ordinal = self.packs[place.pack], place.ordinal.to_bytes(4, "little")
        sealed = self.files.read(pack.name, place.offset, place.sealed_len)
        plain = chacha_open(pack.blob_key, ordinal + bytes(8), sealed, bytes([pack.header.pack_type]) + ordinal)
        if place.encoding == 1:
            plain = zstd_decode(plain, place.plain_len)
        elif place.encoding != 0:
            raise Damage(f"its encoding {place.encoding} is not known")
        if len(plain) != place.plain_len or keyed(self.repository.keys.blob_ids[place.type], plain) != blob_id:
            raise Damage("its content does not give its length and its id")
        return plain
    def read(self, blob_id, kind):
        """The plaintext of a blob from any place that gives it."""
        reasons = []
        for place in self.places_of(blob_id):
            if place.type == kind:
                try:
                    return self.read_at(blob_id, place)
                except Damage as why:
                    reasons.append(f"{self.packs[place.pack].name}: {why}")
        raise Damage(f"blob {blob_id.hex()}: {'; '.join(reasons) or 'no pack holds it'}")

# ------------------------------------------------------------------------------------------------ trees, §8
def decode_entry(data):
    cursor = Cursor(data)
    what, flags, depth, padding = cursor.take(4)
    domain, relative_path = cursor.counted(2), cursor.counted(4)
    if flags & DERIVED:
        digest = hashlib.sha1(domain + b"-" + relative_path).hexdigest().encode()
        stored_path = digest[:2] + b"/" + digest
    else:
        stored_path = cursor.counted(2)
    seconds, nanoseconds, length = cursor.number(8, signed=True), cursor.number(4), cursor.number(8)
    file_hash = cursor.take(32)
    cursor.take(8 if flags & IN_MANIFEST else 0)  # of the row in Manifest.db; only writers compare it
    target = cursor.counted(2)
    file_key = cursor.take(32 if flags & OPENED else 0)
    ids = cursor.ids()
    cursor.end()
    if what not in (FILE, DIRECTORY, LINK) or flags & ~KNOWN_FLAGS or depth > 4 or len(ids) > 64 \
            or nanoseconds >= 10**9 or (flags & OPENED and (what != FILE or padding > 16)):
        raise Damage(f"{printable(stored_path)}: its entry cannot be right")
    mtime_ns = seconds * 10**9 + nanoseconds
    return Entry(what, flags, depth, padding if flags & OPENED else 0, domain, relative_path, stored_path, mtime_ns,
                 length, file_hash, target, file_key, ids)

def check_entry(entry):
    """§8. No stored path may leave the folder that is written; the backup folder itself has the empty one."""
    path, names = entry.stored_path, entry.stored_path.split(b"/")
    if not (path == b"" and entry.what == DIRECTORY):
        if b"\0" in path or any(name in (b"", b".", b"..") for name in names):
            raise Damage("refused, this path is not allowed")
    if os.name == "nt" and (b"\\" in path or b":" in path):
        raise Damage("refused, Windows would take this path for another one")

def walk(blobs, blob_id, done, level_above=17):
    """Every entry below a tree blob, but not of parts that are `done`: those were walked, and nothing in them was lost.
    A part that cannot be read is reported as lost, and passed over."""
    lost_before = len(blobs.report.lost)
    if blob_id in done:
        return
    try:
        level, below = decode_node(blobs.read(blob_id, TREE))
        if level >= level_above:
            raise Damage(f"blob {blob_id.hex()}: its level is not below that of its parent")
    except Damage as why:
        blobs.report.loss(f"a part of a tree: {why}")
        return
    for child in below:
        if level > 0:
            yield from walk(blobs, child, done, level)
            continue
        try:
            yield decode_entry(child)
        except Damage as why:
            blobs.report.loss(f"an entry of tree blob {blob_id.hex()}: {why}")
    if len(blobs.report.lost) == lost_before:
        done.add(blob_id)

def decode_node(plain):
    """A node's level, then: the ids of an inner node's children, or the bytes of a leaf's entries."""
    cursor, below = Cursor(plain), []
    level, count = cursor.number(1), cursor.count()
    if level > 16 or len(plain) > 1 * MIB:
        raise Damage("the level or the length of a tree blob cannot be right")
    for _ in range(count):
        below.append(cursor.take(32) if level else cursor.counted(4))
        if level:
            _entry_count, _domain, _relative_path = cursor.number(8), cursor.counted(2), cursor.counted(4)
    cursor.end()
    return level, below

def chunk_ids(blobs, ids, depth):
    """The ids of the data blobs of a file, in order."""
    for blob_id in ids:
        if depth == 0:
            yield blob_id
            continue
        cursor = Cursor(blobs.read(blob_id, TREE))
        if cursor.number(1) != 0x80 + depth:
            raise Damage(f"blob {blob_id.hex()} is not a list of chunks of depth {depth}")
        below = cursor.ids()
        cursor.end()
        yield from chunk_ids(blobs, below, depth - 1)

def stored_pieces(entry, chunks):
    """§8.1: what stands in the backup folder, from the chunks; those of an opened file are its plaintext."""
    if not entry.flags & OPENED:
        yield from chunks
        return
    cipher = Cipher(algorithms.AES(entry.file_key), modes.CBC(bytes(16))).encryptor()
    for chunk in chunks:
        yield cipher.update(chunk)
    try:
        yield cipher.update(bytes([entry.padding]) * entry.padding) + cipher.finalize()
    except ValueError:
        raise Damage("its plaintext and its padding are no whole blocks") from None

# ------------------------------------------------------------------------------------------------ restore, §9.1
class Restore:
    """Writes one snapshot into the folder `target`, which must not exist yet."""
    def __init__(self, blobs, root_id, target):
        self.blobs, self.report, self.root_id = blobs, blobs.report, root_id
        self.target = os.fsencode(os.path.abspath(target))
        self.listed = {}  # stored path → number and kind of its first entry, the one that counts
        self.made = {b""}  # directories that were made
        self.file_count = 0
    def run(self):
        for number, entry in enumerate(walk(self.blobs, self.root_id, set())):
            self.listed.setdefault(entry.stored_path, (number, entry.what))
        os.makedirs(self.target, mode=0o700)
        for what, write in ((DIRECTORY, lambda entry, _path: self.make(entry.stored_path)), (FILE, self.write_file),
                            (LINK, self.write_link), (DIRECTORY, self.set_times)):
            for number, entry in enumerate(walk(self.blobs, self.root_id, set())):
                if entry.what == what:
                    self.write(number, entry, write)
    def write(self, number, entry, write):
        try:
            check_entry(entry)
            if self.listed.get(entry.stored_path) != (number, entry.what):
                raise Damage("refused, this path stands twice in the tree")
            self.need_parent(entry.stored_path)
            write(entry, os.path.join(self.target, entry.stored_path))
        except (Damage, OSError, ValueError, OverflowError, RecursionError) as why:
            if getattr(why, "errno", None) == errno.ENOSPC:
                raise Stop(16, "there is no space left where the files are written") from None
            self.report.loss(f"{printable(entry.stored_path)}: {why}")
    def need_parent(self, path):
        """§9.1: directories that the tree does not list are made, but never below a file or a link."""
        parent = path.rpartition(b"/")[0]
        if parent in self.made:
            return
        if self.listed.get(parent, (0, DIRECTORY))[1] != DIRECTORY:
            raise Damage("refused, it lies below something that the tree lists as a file or a link")
        self.need_parent(parent)
        self.make(parent)
    def make(self, path):
        if path not in self.made:
            os.mkdir(os.path.join(self.target, path))
            self.made.add(path)
    def write_file(self, entry, path):
        out = open(path, "xb")
        try:
            with out:
                self.write_chunks(entry, out)
        except BaseException:
            os.remove(path)  # better no file than one that looks whole
            raise
        self.set_times(entry, path)
        self.file_count += 1
    def write_chunks(self, entry, out):
        file_hash, length = blake3(), 0
        chunks = (self.blobs.read(blob_id, DATA) for blob_id in chunk_ids(self.blobs, entry.ids, entry.depth))
        for piece in stored_pieces(entry, chunks):
            length += len(piece)
            if length > entry.length:
                break
            file_hash.update(piece)
            out.write(piece)
        if length != entry.length or file_hash.digest() != entry.file_hash:
            raise Damage("its length or its BLAKE3 is wrong")
    def write_link(self, entry, path):
        os.symlink(entry.target, path)
        self.set_times(entry, path)
    def set_times(self, entry, path):
        if entry.what != LINK or os.utime in os.supports_follow_symlinks:
            os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=entry.what != LINK)

# ------------------------------------------------------------------------------------------------ commands
def command_info(repository, _blobs):
    files, made = repository.files, time_text(member(repository.config, "created", int, 0))
    sizes = [os.path.getsize(os.path.join(files.root, name)) for name in files.pack_names()]
    print(f"repository {repository.keys.repository.hex()}, format 1, made {made}, opened by {repository.slot_text}")
    print(f"features {printable(repository.config.get('features'))}")
    print(f"{len(sizes)} packs of {sum(sizes)} bytes, {len(repository.snapshots)} snapshots, "
          f"{len(repository.log)} records in the log, {len(files.foreign)} foreign files")

def command_passwords(repository, _blobs):
    """§14. Which keybag, the beginning of BLAKE3 of BackupKeyBag in Manifest.plist; then the password, to the line's end."""
    said = [member(record, "what", dict, {}) for record in repository.log.values()]
    gone = {what.get("secret") for what in said if what.get("type") == "secret_forgotten"}
    for name, secret in repository.records("secrets", SECRET).items():
        if name in gone or (secret.get("type"), secret.get("v")) != ("phone_password", 1):
            continue
        try:
            password = bytes.fromhex(member(secret, "password", str, "")).decode("utf-8")
        except ValueError:
            raise Damage(f"secrets/{name}: its password is no hex of UTF-8") from None
        print(printable(member(secret, "udid", str, "")), printable(member(secret, "keybag", str, "")[:8]), password)
def command_list(repository, _blobs):
    for name, record in repository.snapshots.items():
        counts, device = member(record, "counts", dict, {}), member(record, "device", dict, {})
        print(f"{name[:8]}  {time_text(time_shown(record))}  {printable(device.get('name', '?'))}  "
              f"{member(counts, 'files', int, 0)} files  {member(counts, 'len', int, 0)} bytes  "
              f"{printable(record.get('verdict', '?'))}{'  (forgotten)' if name in repository.forgotten else ''}")

def command_ls(repository, blobs, wanted):
    _, record = repository.select(wanted)
    for entry in walk(blobs, id_member(record, "tree"), set()):
        print(f"{' fdl'[entry.what]} {entry.length:>12}  {time_text(entry.mtime_ns // 10**9)}  "
              f"{printable(entry.stored_path)}  {printable(entry.domain)}  {printable(entry.relative_path)}")

def command_restore(repository, blobs, wanted, target_dir):
    name, record = repository.select(wanted)
    udid = member(record, "udid", str, "")  # it becomes a folder's name, so it must look like a UDID
    plausible = re.fullmatch("[0-9A-Za-z][0-9A-Za-z-]{0,63}", udid)
    target = os.path.join(target_dir, udid if plausible else "snapshot-" + name[:16])
    if os.path.lexists(target):
        raise Stop(1, f"{target} exists, and this program never overwrites")
    restore = Restore(blobs, id_member(record, "tree"), target)
    restore.run()
    print(f"snapshot {name[:8]}: {restore.file_count} files written to {target}")
    if record.get("verdict") != "complete":
        print(f"the backup itself was {printable(record.get('verdict', '?'))} when it was captured")

def command_verify(repository, blobs):
    repository.refuse_unknown_features("check")
    good, done = {}, set()  # blob id → length of its plaintext; tree blobs below which all is there
    for number, pack in enumerate(blobs.packs):
        print(f"pack {number + 1} of {len(blobs.packs)}", end="\r", file=sys.stderr, flush=True)
        repository.attempt(pack.name, verify_pack_name, blobs, pack)
    for blob_id in blobs.places:
        for place in blobs.places_of(blob_id):
            name = f"{blobs.packs[place.pack].name}: blob {blob_id.hex()}"
            plain = repository.attempt(name, blobs.read_at, blob_id, place)
            if plain is not None:
                good[blob_id] = len(plain)
    for name in set(repository.snapshots) - repository.forgotten:
        repository.attempt("snapshots/" + name, verify_tree, blobs, name, repository.snapshots[name], good, done)
    report = repository.report
    print(f"{len(blobs.packs)} packs, {len(good)} good blobs, {len(repository.snapshots)} snapshots; "
          f"{len(report.damaged)} damaged, {len(report.lost)} lost, {len(blobs.files.foreign)} foreign files ignored")

def verify_pack_name(blobs, pack):
    """§2: a file's name is the BLAKE3 of its bytes."""
    file_hash = blake3()
    for piece in blobs.files.pieces(pack.name, 0, pack.header.length):
        file_hash.update(piece)
    if file_hash.hexdigest() != os.path.basename(pack.name):
        raise Damage("its bytes do not give its name")

def verify_tree(blobs, snapshot_id, record, good, done):
    """Is every chunk of every file there?"""
    for entry in walk(blobs, id_member(record, "tree"), done):
        try:
            check_entry(entry)
            lengths = [good.get(blob_id) for blob_id in chunk_ids(blobs, entry.ids, entry.depth)]
            if None in lengths:
                raise Damage(f"{lengths.count(None)} of its chunks are lost")
            if entry.what == FILE and sum(lengths) + entry.padding != entry.length:
                raise Damage("its chunks do not give its length")
        except Damage as why:
            blobs.report.loss(f"snapshot {snapshot_id[:8]}: {printable(entry.stored_path)}: {why}")

DRAFT_A31 = bytes.fromhex(
    "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54"
    "c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f6"
    "15c68b13b52ec0875924c1c7987947deafd8780acf49")
WORDS = "legal winner thank year wave sausage worth useful " * 2 + "legal winner thank year wave sausage worth title"
VECTORS = (  # what is used, in published examples; a wrong package or a wrong line in this file shows here
    ("HChaCha20, draft-irtf-cfrg-xchacha-03 2.2.1", "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc",
     lambda: hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))),
    ("XChaCha20-Poly1305, the draft's A.3.1", b"Ladies and Gentlemen".hex(),
     lambda: xchacha_open(bytes(range(128, 160)), bytes(range(64, 88)), DRAFT_A31,
                          bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))[:20]),
    ("BLAKE3, its test_vectors.json", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
     lambda: blake3(b"").digest()),
    ("BLAKE3 keyed, the same", "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
     lambda: keyed(b"whats the Elvish word for friend", b"")),
    ("BLAKE3 derive_key, the same", "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d905630c8be290dfc",
     lambda: derive_key("BLAKE3 2019-12-27 16:29:52 test vectors context", b"", 40)),
    ("Argon2id, its reference test.c", "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7",
     lambda: argon2.low_level.hash_secret_raw(b"password", b"somesalt", 2, 65536, 1, 32, argon2.low_level.Type.ID, 19)),
    ("BIP-39, its reference vectors", "7f" * 32, lambda: recovery_key_of(WORDS)))

def document_table():
    """The table of §12, if format.md lies next to this file as it does in every repository."""
    try:
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "format.md"), encoding="utf-8") as file:
            section = file.read().partition("\n## 12.")[2].partition("\n## ")[0]
    except FileNotFoundError:
        return {}
    return dict(re.findall(r"^\| (.*) \| `([^`]*)` \|$", section, re.MULTILINE))

def document_vectors(table):
    """§12 computed here, row by row."""
    master, repository, data_key, id_key, salt, recovery_key, slot_nonce, nonce = (
        bytes(range(first, first + length)) for first, length in (
            (0, 32), (0x20, 16), (0x30, 32), (0x50, 32), (0x80, 32), (0xc0, 32), (0xa0, 24), (0x80, 24)))
    def header(kind, pack_type, epoch, length):
        start = MAGIC + bytes([kind, 1, 1, pack_type]) + struct.pack("<I", epoch) + repository + struct.pack("<Q", length)
        return start + blake3(start).digest()[:8]
    def xseal(key, nonce24, plain, aad):
        return ChaCha20Poly1305(hchacha20(key, nonce24[:16])).encrypt(bytes(4) + nonce24[16:], plain, aad)
    slot, password = header(2, 0, 0, 456) + struct.pack("<B3x3I32s", 1, 64, 2, 2, salt), "p\u00e4ssw\u00f6rd"
    secrets = keyslot_secrets(slot, password.encode(), None)
    slot += secrets[32:] + slot_nonce
    slot += xseal(secrets[:32], slot_nonce, (master + struct.pack("<QH", 1760000000, 7) + b"kitchen").ljust(256, b"\0"), slot)
    slot += keyed(mac_key(master, repository), slot)
    recovery_slot = struct.pack("<48xB15x32s", 2, salt)
    record_key = derive_key("russet format 1 record", data_key + repository + struct.pack("<IB", 1, LOG))
    record = header(LOG, 0, 1, 4096)
    record += nonce + xseal(record_key, nonce, (struct.pack("<I", 7) + b'{"v":1}').ljust(4096 - 88, b"\0"), record)
    material = data_key + repository + struct.pack("<IBB", 1, 1, DATA) + salt
    blob_key, directory_key = (derive_key("russet format 1 pack " + part, material) for part in ("blobs", "directory"))
    def id_of(type_name):
        return keyed(derive_key("russet format 1 blob id " + type_name, id_key), b"hello")
    row = keyed(derive_key("russet format 1 row", id_key), struct.pack("<q", 1) + b"bplist00")[:8]
    def leaf_of(flags, padding, content, file_key):
        names = b"\x0a\0HomeDomain" + b"\x12\0\0\0Library/SMS/sms.db"
        entry = bytes([1, flags, 0, padding]) + names + struct.pack("<qIQ", 1700000000, 5, len(content))
        entry += blake3(content).digest() + row + b"\0\0" + file_key + b"\1\0\0\0" + id_of("data")
        return b"\0\1\0\0\0" + struct.pack("<I", len(entry)) + entry
    leaf, stored = leaf_of(3, 0, b"hello", b""), bytes.fromhex(table.get("tree: stored bytes of `hello`, opened", ""))
    opened = leaf_of(7, 11, stored, recovery_key)
    opened_entry = decode_entry(decode_node(opened)[1][0])
    return {
        "header": header(4, 2, 1, 8192), "mac key": mac_key(master, repository),
        "key of the keyring": derive_key("russet format 1 keyring", master + repository),
        "key of records of kind 7": record_key, "id of `hello`, type data": id_of("data"),
        "id of `hello`, type tree": id_of("tree"), "id of `hello`, type record": id_of("record"),
        "check value of a row, flags 1, column `bplist00`": row,
        "tree cut of `HomeDomain`, `a`, `b`": keyed(derive_key("russet format 1 tree cut", id_key), b"HomeDomain\0a\0b"),
        "recovery words": recovery_key == recovery_key_of(table["recovery words"]) and table["recovery words"],
        "KDF 1 of `p\u00e4ssw\u00f6rd`": secrets, "KDF 2 of the recovery key": keyslot_secrets(recovery_slot, None, recovery_key),
        "keyslot, BLAKE3 of its file": blake3(slot).digest() if open_keyslot(slot, password.encode(), None) else b"",
        "record, its bytes 72 to 103": record[72:104], "record, BLAKE3 of its file": blake3(record).digest(),
        "blob key": blob_key, "directory key": directory_key,
        "blob of payload `hello`, ordinal 3": ChaCha20Poly1305(blob_key).encrypt(b"\3" + bytes(11), b"hello", b"\1\3\0\0\0"),
        "directory": ChaCha20Poly1305(directory_key).encrypt(bytes(12), bytes(16), bytes(96)),
        "tree: leaf": leaf if decode_entry(decode_node(leaf)[1][0]).ids == [id_of("data")] else b"",
        "tree: leaf, opened": opened if opened_entry.ids == [id_of("data")] else b"",
        "tree: stored bytes of `hello`, opened": b"".join(stored_pieces(opened_entry, [b"hello"])),
        "tree: list of chunks": b"\x81\2\0\0\0" + id_of("data") * 2}

def self_test():
    wrong = [name for name, expected, work in VECTORS if work().hex() != expected]
    right = [name for name, _, _ in VECTORS]
    table = document_table()
    if table:
        computed = {name: value.hex() if isinstance(value, bytes) else value
                    for name, value in document_vectors(table).items()}
        wrong += ["format.md 12, " + name for name in sorted(set(table) | set(computed))
                  if table.get(name) != computed.get(name)]
        right.append(f"format.md 12, {len(table)} rows")
    print("WRONG: " + "; ".join(wrong) if wrong else "ok: " + "; ".join(right))
    return 1 if wrong else 0

def secret_of(options):
    """Password and recovery key, one of them None. §3: NFC, and one line end at the end of a file is dropped."""
    if options.recovery_file:
        with open(options.recovery_file, encoding="utf-8") as file:
            return None, recovery_key_of(file.read())
    if options.password_file:
        with open(options.password_file, encoding="utf-8", newline="") as file:
            password = re.sub("\r?\n\\Z", "", file.read())
    else:
        password = getpass.getpass("repository password: ")
    return unicodedata.normalize("NFC", password).encode("utf-8"), None

COMMANDS = {  # the function, whether it reads packs, how many arguments it takes
    "info": (command_info, False, 0), "list": (command_list, False, 0), "ls": (command_ls, True, 1),
    "restore": (command_restore, True, 2), "verify": (command_verify, True, 0),
    "passwords": (command_passwords, False, 0)}

def run(options):
    command, wants_blobs, _ = COMMANDS[options.command]
    if not os.path.isdir(options.repository):
        raise Stop(10, f"{options.repository}: there is no such folder")
    report = Report()
    repository = Repository(Files(options.repository, report), *secret_of(options))
    command(repository, Blobs(repository) if wants_blobs else None, *options.arguments)
    if options.command == "verify":
        return 20 if report.damaged or report.lost else 0
    return 3 if report.lost else 0

def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("repository", nargs="?")
    parser.add_argument("command", nargs="?", choices=list(COMMANDS))
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--password-file")
    parser.add_argument("--recovery-file")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_intermixed_args()
    if not options.self_test and len(options.arguments) != COMMANDS.get(options.command, (0, 0, -1))[2]:
        parser.error("expected REPO and a command with what it needs")
    sys.stdout.reconfigure(errors="backslashreplace")  # stderr is so by itself
    try:
        return self_test() if options.self_test else run(options)
    except (Stop, Damage, OSError, UnicodeError, EOFError) as why:
        code, text = why.args if isinstance(why, Stop) else (1, why)
        print(f"error: {text}", file=sys.stderr)
        return code

if __name__ == "__main__":
    sys.exit(main())

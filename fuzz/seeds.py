"""Writes small good inputs for the targets that would take long to find one: python3 fuzz/seeds.py FOLDER

Made here and not kept as files, so that what they hold can be read.
"""

import json
import plistlib
import sqlite3
import struct
import sys
import tempfile
from datetime import datetime
from pathlib import Path

UDID = "00008110-000A1B2C3D4E5F60"
DOMAIN, PATH = b"HomeDomain", b"Library/SMS/sms.db"


def archived_file():
    objects = [
        "$null",
        {"$class": plistlib.UID(3), "RelativePath": plistlib.UID(2), "Size": 4096, "Mode": 0o100644,
         "LastModified": 1_700_000_000, "Birth": 1_600_000_000, "InodeNumber": 77, "ProtectionClass": 3,
         "Digest": plistlib.UID(4), "EncryptionKey": plistlib.UID(5)},
        PATH.decode(),
        {"$classname": "MBFile", "$classes": ["MBFile", "NSObject"]},
        bytes(20),
        {"NS.data": struct.pack("<I", 3) + bytes(40)},
    ]
    return {"$version": 100000, "$archiver": "NSKeyedArchiver", "$top": {"root": plistlib.UID(1)}, "$objects": objects}


def database():
    with tempfile.TemporaryDirectory() as folder:
        name = Path(folder) / "Manifest.db"
        db = sqlite3.connect(name)
        db.execute("PRAGMA page_size = 512")
        db.execute("CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB)")
        db.execute("CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB)")
        blob = plistlib.dumps(archived_file(), fmt=plistlib.FMT_BINARY)
        for at in range(3):
            db.execute("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", (f"{at:040x}", "HomeDomain", f"Library/{at}", 1, blob))
        db.commit()
        db.close()
        return name.read_bytes()


def entry(what=1, ids=(bytes(32),), flags=1, stored=b"", depth=0):
    body = bytes([what, flags, depth, 0])
    body += struct.pack("<H", len(DOMAIN)) + DOMAIN + struct.pack("<I", len(PATH)) + PATH
    if not flags & 1:
        body += struct.pack("<H", len(stored)) + stored
    body += struct.pack("<qIQ", 1_700_000_000, 5, 4096) + bytes(32)
    if flags & 2:
        body += bytes(8)
    body += struct.pack("<H", 0) + struct.pack("<I", len(ids)) + b"".join(ids)
    return struct.pack("<I", len(body)) + body


def keybag():
    def field(tag, value):
        return tag + struct.pack(">I", len(value)) + value

    def number(tag, value):
        return field(tag, struct.pack(">I", value))

    bag = number(b"VERS", 5) + number(b"TYPE", 1) + field(b"UUID", bytes(16)) + field(b"HMCK", bytes(40))
    bag += number(b"WRAP", 0) + field(b"SALT", bytes(20)) + number(b"ITER", 10_000)
    bag += number(b"DPWT", 1) + number(b"DPIC", 10_000_000) + field(b"DPSL", bytes(20))
    for each in (4, 3):
        bag += field(b"UUID", bytes(16)) + number(b"CLAS", each) + number(b"WRAP", 2) + number(b"KTYP", 0)
        bag += field(b"WPKY", bytes(40))
    return bag


def leaf(entries):
    return bytes([0]) + struct.pack("<I", len(entries)) + b"".join(entries)


def inner(level, places):
    node = bytes([level]) + struct.pack("<I", len(places))
    for place in places:
        node += b"@@" + bytes([place]) + bytes(29) + struct.pack("<Q", 1)
        node += struct.pack("<H", len(DOMAIN)) + DOMAIN + struct.pack("<I", len(PATH)) + PATH
    return node


def short(path):
    return struct.pack("<H", len(path)) + path


def draft_edits():
    file = bytes([3, 0, 1]) + struct.pack("<QqI", 4096, 1_700_000_000, 5) + bytes(32 + 20 + 8 + 32)
    edits = [b"\1" + short(b"Snapshot/ab/c") + file, b"\2" + short(b"ab"), b"\4" + short(b"Snapshot/ab/c") + short(b"ab/c"),
             b"\5" + short(b"ab") + short(b"cd"), b"\3" + short(b"Snapshot")]
    return bytes([1]) + struct.pack("<I", len(edits)) + b"".join(edits)


def nodes(*all_nodes):
    return b"".join(struct.pack("<H", len(node)) + node for node in all_nodes)


def directory_entry(ordinal, offset, sealed_len=100):
    return bytes([ordinal]) * 32 + struct.pack("<4I2B6x", ordinal, offset, sealed_len, 90, 1, 1)


def framed(data):
    return struct.pack(">I", len(data)) + data


def message(*parts):
    return framed(plistlib.dumps(list(parts), fmt=plistlib.FMT_BINARY))


def conversation():
    batch = message("DLMessageUploadFiles", {}, 12.5, 9)
    batch += framed(b"/var/a") + framed(b"U/ab/1") + framed(b"\x0cbytes") + framed(b"\x00")
    batch += framed(b"/var/b") + framed(b"U/ab/2") + framed(b"\x0bwhy") + framed(b"")
    questions = [
        ("DLMessageGetFreeDiskSpace",), ("DLMessagePurgeDiskSpace", 1000, 4), ("DLContentsOfDirectory", "U"),
        ("DLMessageCreateDirectory", "U/ab"), ("DLMessageMoveItems", {"U/ab/1": "U/cd/1"}, {}, 50.0),
        ("DLMessageRemoveItems", ["U/ab/2"], {}, 60.0), ("DLMessageCopyItem", "U", "V"),
        ("DLMessageDownloadFiles", ["U/cd/1", "U/no"], {}, 70.0, 0),
        ("DLMessageProcessMessage", {"MessageName": "Response", "ErrorCode": 0}),
    ]
    return batch + b"".join(message(*parts) for parts in questions)


def seeds():
    plists = {
        "status": {"SnapshotState": "finished", "Date": datetime(2026, 5, 3), "UUID": "A-B", "IsFullBackup": False,
                   "Version": "3.3", "BackupState": "new"},
        "info": {"Device Name": "Blue iPhone", "Unique Identifier": UDID, "Product Type": "iPhone14,5",
                 "Product Version": "26.1", "Build Version": "23A1", "Serial Number": "X",
                 "Last Backup Date": datetime(2026, 5, 3)},
        "manifest": {"IsEncrypted": True, "BackupKeyBag": bytes(16), "ManifestKey": bytes(44), "Version": "10.0",
                     "Date": datetime(2026, 5, 3), "Lockdown": {"UniqueDeviceID": UDID}},
    }
    for name, value in plists.items():
        yield "plists", name + ".xml", plistlib.dumps(value)
        yield "plists", name, plistlib.dumps(value, fmt=plistlib.FMT_BINARY)
    yield "keybag", "bag", keybag()
    yield "keybag", "plist", plistlib.dumps({"BackupKeyBag": keybag(), "ManifestKey": bytes(44)}, fmt=plistlib.FMT_BINARY)
    # `hello` under the key c0 … df.
    yield "keybag", "file", bytes(range(0xC0, 0xE0)) + bytes.fromhex("9088613793d2e7385fa65531c4cb992f")
    yield "mb_file", "binary", plistlib.dumps(archived_file(), fmt=plistlib.FMT_BINARY)
    yield "manifest_db", "three_rows", database()
    yield "manifest_pages", "three_rows", database()
    yield "tree_entry", "file", entry()
    yield "tree_entry", "named", entry(flags=2, stored=b"ab/cdef")
    yield "tree_entry", "folder", entry(what=2, ids=(), flags=0, stored=b"ab")
    list_of_chunks = bytes([0x81]) + struct.pack("<I", 2) + bytes(64)
    yield "draft_edits", "moves", draft_edits()
    yield "tree_node", "leaf", nodes(leaf([entry(), entry(what=2, ids=(), flags=0, stored=b"ab")]))
    yield "tree_node", "levels", nodes(leaf([entry()]), inner(1, [0, 0]), inner(2, [1, 1]))
    yield "tree_node", "lists", nodes(list_of_chunks, leaf([entry(ids=(b"@@" + bytes(30),), depth=1)]))
    cut = {"rule": "two-level-1", "general": [16384, 65536, 262144], "media": [262144, 1048576, 4194304],
           "page_target": 16384, "whole_max": 65536}
    config = {"v": 1, "created": 1_760_000_000, "features": {"read": ["x"], "write": [], "check": []}, "cut": cut}
    yield "config", "plain", json.dumps(config).encode()
    chain = {"writer": "11" * 16, "seq": 2, "prev": "22" * 32, "heads": {"33" * 16: 4}}
    says = [{"type": "pin", "snapshot": "44" * 32, "on": True}, {"type": "tag", "snapshot": "44" * 32, "tag": "a", "on": True},
            {"type": "note", "snapshot": "44" * 32, "text": "b"}, {"type": "forgotten", "snapshot": "44" * 32},
            {"type": "setting", "name": "c", "value": "d"}, {"type": "unheard of"}]
    lines = [json.dumps({"v": 1, **chain, "time": 5, "what": what}) for what in says]
    yield "record", "log", "\n".join(lines).encode()
    snapshot = {"v": 1, "tree": "55" * 32, "udid": UDID, "device": {"name": "Blue iPhone"}, "backup_time": 1_760_000_000,
                "backup_time_source": "status", "captured": 1_760_000_100, "kind": "folder", "verdict": "complete", **chain}
    yield "record", "snapshot", json.dumps(snapshot).encode()
    for word in ("latest~1", "2026-05-01", "Blue iPhone@latest", "00"):
        yield "selection", word.replace("@", "_"), f"{word}\n{json.dumps(snapshot)}\n{json.dumps(snapshot)}\n".encode()
    two = directory_entry(0, 96) + directory_entry(1, 196)
    yield "directory", "two", struct.pack("<BII", 0, 4096, 2) + two
    yield "segment", "one", struct.pack("<I", 1) + bytes(32) + struct.pack("<QB3xI", 8192, 1, 2) + two
    yield "link", "conversation", conversation()
    read = b"\x0e" + bytes(8), b"\x02" + b"argument" + b"bytes of a file", b"\x02", b"\x01" + bytes(8)
    yield "services", "media", b"\x7f".join([*read, b"\x0e" + bytes(8), *[b"\x01" + bytes(8)] * 3, b"\x01" + struct.pack("<Q", 8)])
    app = {"CFBundleIdentifier": "a.b", "ApplicationSINF": b"s", "iTunesMetadata": b"m"}
    yield "services", "apps", plistlib.dumps({"Status": "Complete", "CurrentList": [app]}, fmt=plistlib.FMT_BINARY)
    yield "chunker", "small", struct.pack("<3H2B", 64, 256, 1024, 7, 200) + bytes(range(256))


def main():
    for target, name, data in seeds():
        folder = Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()

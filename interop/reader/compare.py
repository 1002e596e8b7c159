"""Is a restored folder what it should be? Shares nothing with russet or its reader.

compare.py EXPECTED FOLDER: EXPECTED is a folder, or a list of JSON lines as tests/golden/v1/README.md describes it.
Paths, kinds, bytes, modification times and the targets of links count. Folders that a list does not name may be there.
"""
import json
import os
import sys
from pathlib import Path

from blake3 import blake3


def found_at(path):
    status = path.lstat()
    if path.is_symlink():
        return "link", os.fsencode(os.readlink(path)).hex()
    if path.is_dir():
        return "directory", status.st_mtime_ns
    return "file", status.st_mtime_ns, blake3(path.read_bytes()).hexdigest()


def of_folder(root):
    return {os.fsencode(path.relative_to(root)): found_at(path) for path in root.rglob("*")} | {b".": found_at(root)}


def of_list(text):
    expected = {}
    for line in map(json.loads, text.splitlines()):
        time = line["mtime"] * 10**9 + line["nanos"]
        rest = {"link": [line.get("target_hex")], "directory": [time], "file": [time, line.get("blake3")]}
        expected[bytes.fromhex(line["path_hex"]) or b"."] = (line["what"], *rest[line["what"]])
    return expected


def main():
    wanted, folder = map(Path, sys.argv[1:])
    found = of_folder(folder)
    if wanted.is_dir():
        expected = of_folder(wanted)
    else:
        expected = of_list(wanted.read_text(encoding="utf-8"))
        found = {path: what for path, what in found.items() if path in expected or what[0] != "directory"}
    wrong = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    for path in wrong[:20]:
        print(f"{path!r}: should be {expected.get(path)}, is {found.get(path)}")
    print(f"{len(expected)} paths compared, {len(wrong)} wrong")
    return 1 if wrong or not expected else 0


if __name__ == "__main__":
    sys.exit(main())

"""Compares two encrypted backups of one phone whose keys were drawn apart, with a parser that knows nothing of russet.

    same_content.py equal FIRST SECOND PASSWORD_FILE    rows equal but for EncryptionKey and Digest, plaintexts equal
    same_content.py apart FIRST SECOND                  no 16 bytes of ciphertext are in both

`equal` is for two hosts that backed up two phones of one content; both commands fail if they had nothing to compare.
"""

import contextlib
import hashlib
import io
import os
import plistlib
import sys

# What a phone draws or computes anew for each file that it encrypts.
OWN = {"EncryptionKey", "Digest"}
BLOCK_LEN = 16


def resolve(objects, value):
    """An archived object as plain lists and dictionaries."""
    if isinstance(value, plistlib.UID):
        return resolve(objects, objects[value.data])
    if isinstance(value, dict):
        return {key: resolve(objects, each) for key, each in value.items()}
    if isinstance(value, list):
        return [resolve(objects, each) for each in value]
    return value


def row(file_id, domain, path, flags, blob):
    archive = plistlib.loads(blob)
    root = resolve(archive["$objects"], archive["$top"]["root"])
    own = {key: root.pop(key) for key in OWN if key in root}
    # The class that a key is wrapped under is no secret and no chance.
    own_class = own["EncryptionKey"]["NS.data"][:4] if "EncryptionKey" in own else None
    return (file_id, domain, path, flags, own_class, sorted(own), root), own


def opened(folder, password):
    from iphone_backup_decrypt import EncryptedBackup

    backup = EncryptedBackup(backup_directory=folder, passphrase=password)
    backup.test_decryption()
    with backup.manifest_db_cursor() as cursor:
        cursor.execute("SELECT fileID, domain, relativePath, flags, file FROM Files ORDER BY fileID")
        listed = cursor.fetchall()
        cursor.execute("SELECT key, value FROM Properties ORDER BY key")
        properties = cursor.fetchall()
    rows, keys, plain = [], {}, {}
    for file_id, domain, path, flags, blob in listed:
        rest, own = row(file_id, domain, path, flags, blob)
        rows.append(rest)
        if flags == 1:
            keys[file_id] = own
            content = backup._decrypt_inner_file(file_id=file_id, file_bplist=blob)
            plain[file_id] = hashlib.sha256(content).hexdigest()
    return rows, properties, keys, plain


def equal(first, second, password_file):
    with open(password_file, encoding="utf-8") as file:
        password = file.readline().rstrip("\r\n")
    # The parser remarks on sizes in rows that are not those of the files; Apple's are not either.
    with contextlib.redirect_stdout(io.StringIO()):
        (rows, properties, keys, plain), theirs = opened(first, password), opened(second, password)
    wrong = []
    if properties != theirs[1]:
        wrong.append("the tables of properties differ")
    if len(rows) != len(theirs[0]):
        wrong.append(f"{len(rows)} rows and {len(theirs[0])}")
    wrong += [f"row: {a!r:.300} and {b!r:.300}" for a, b in zip(rows, theirs[0]) if a != b]
    wrong += [f"content of {name}" for name in sorted(plain.keys() | theirs[3].keys()) if plain.get(name) != theirs[3].get(name)]
    same_keys = [name for name in keys if name in theirs[2] and keys[name]["EncryptionKey"] == theirs[2][name]["EncryptionKey"]]
    if same_keys:
        wrong.append(f"{len(same_keys)} files have the same key in both: the phones do not draw apart")
    if not plain:
        wrong.append("there was no file")
    return wrong, f"{len(rows)} rows and {len(plain)} plaintexts are the same, no key is"


def payloads(folder):
    for shard in sorted(os.listdir(folder)):
        if len(shard) == 2:
            for name in sorted(os.listdir(os.path.join(folder, shard))):
                with open(os.path.join(folder, shard, name), "rb") as file:
                    yield f"{shard}/{name}", file.read()
    with open(os.path.join(folder, "Manifest.db"), "rb") as file:
        yield "Manifest.db", file.read()


def blocks(content):
    return (content[at : at + BLOCK_LEN] for at in range(0, len(content), BLOCK_LEN))


def apart(first, second):
    known = set()
    for _, content in payloads(first):
        known.update(blocks(content))
    wrong = [f"{name} has ciphertext of the other run" for name, content in payloads(second) if not known.isdisjoint(blocks(content))]
    if not known:
        wrong.append("there was no file")
    return wrong, f"of {len(known)} blocks of ciphertext none is in the other"


if __name__ == "__main__":
    problems, words = {"equal": equal, "apart": apart}[sys.argv[1]](*sys.argv[2:])
    if problems:
        print(*problems[:20], sep="\n", file=sys.stderr)
        sys.exit(1)
    print(f"  {words}")

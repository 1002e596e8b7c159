"""Runs mvt on a backup, after decrypting it with mvt if needed, and checks what mvt found."""

import json
import os
import subprocess
import sys
import tempfile

from check import Check

check = Check("mvt")
mvt = [os.path.join(os.path.dirname(sys.executable), "mvt-ios"), "--disable-update-check", "--disable-indicator-update-check"]


def run(*arguments, **environment):
    done = subprocess.run([*mvt, *arguments], env=os.environ | environment, capture_output=True, text=True)
    if done.returncode != 0:
        check.problem(f"mvt-ios {arguments[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")


with tempfile.TemporaryDirectory() as work:
    source = check.backup
    if check.password is not None:
        source = os.path.join(work, "decrypted")
        run("decrypt-backup", "-d", source, check.backup, MVT_IOS_BACKUP_PASSWORD=check.password)
    results = os.path.join(work, "results")
    run("check-backup", "-m", "Manifest", "-o", results, source)
    try:
        with open(os.path.join(results, "manifest.json"), encoding="utf-8") as file:
            rows = json.load(file)
    except OSError as error:
        check.problem(f"mvt wrote no listing: {error}")
        rows = []
    for row in rows:
        if row["flags"] == 1:
            payload = os.path.join(source, row["file_id"][:2], row["file_id"])
            if row.get("missing") or not os.path.isfile(payload):
                check.problem(f"{row['domain']} {row['relative_path']}: mvt finds no payload")
            else:
                check.file(row["domain"], row["relative_path"], payload)
    check.finish(f"{len(rows)} rows" + ("" if check.password is None else ", decrypted by mvt"))

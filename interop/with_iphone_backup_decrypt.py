"""Opens an encrypted backup with iphone_backup_decrypt: keybag, Manifest.db, then every file. Its padding check is strict."""

import os
import tempfile

from iphone_backup_decrypt import EncryptedBackup

from check import Check

check = Check("iphone_backup_decrypt")
backup = EncryptedBackup(backup_directory=check.backup, passphrase=check.password)
backup.test_decryption()

with backup.manifest_db_cursor() as cursor:
    cursor.execute("SELECT fileID, domain, relativePath, flags, file FROM Files")
    rows = cursor.fetchall()

for file_id, domain, path, flags, blob in rows:
    if flags == 1:
        check.file(domain, path, backup._decrypt_inner_file(file_id=file_id, file_bplist=blob))

# The public way out, too: it finds its files by pattern.
with tempfile.TemporaryDirectory() as folder:
    count = backup.extract_files(domain_like="HomeDomain", output_folder=os.path.join(folder, "out"), preserve_folders=True)
    home = sum(1 for row in rows if row[3] == 1 and row[1] == "HomeDomain")
    if count != home:
        check.problem(f"extract_files wrote {count} of {home} files of HomeDomain")

check.finish(f"password opens, {len(rows)} rows")

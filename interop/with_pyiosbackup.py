"""Opens a plain or encrypted backup with pyiosbackup and reads every file."""

from pyiosbackup import Backup

from check import Check

check = Check("pyiosbackup")
backup = Backup.from_path(check.backup, check.password or "")
if backup.is_encrypted != (check.password is not None):
    check.problem(f"is_encrypted is {backup.is_encrypted}")

row_count = 0
for entry in backup.iter_entries():
    row_count += 1
    if entry.is_file():
        check.file(entry.domain, entry.relative_path, entry.read_bytes())
        # A name on the phone leads back to the same row.
        if "'" not in entry.relative_path:
            again = backup.get_entry_by_domain_and_path(entry.domain, entry.relative_path)
            if again.file_id != entry.file_id:
                check.problem(f"{entry.domain} {entry.relative_path}: another row answers to that name")

check.finish(f"{backup.target_identifier}, iOS {backup.ios_version}, {backup.date}, {row_count} rows")

"""Opens a plain backup with ios-backup-browser, reads its metadata and every file."""

from ios_backup.backup import Backup

from check import Check

check = Check("ios-backup-browser")
backup = Backup(check.backup)
kinds = {"file": 0, "directory": 0, "symlink": 0}
for record in backup.get_content(parse_metadata=True):
    kinds[record.type] += 1
    if not record.mtime:
        check.problem(f"{record.domain} {record.relative_path}: the row's property list has no mtime")
    if record.type == "symlink" and not record.symlink_target:
        check.problem(f"{record.domain} {record.relative_path}: the link has no target")
    if record.type == "file":
        domain = f"{record.domain}-{record.namespace}" if record.namespace else record.domain
        path = backup.get_file_by_id(record.file_id)
        check.file(domain, record.relative_path, path)
        if backup.get_file_by_path(domain, record.relative_path) != path:
            check.problem(f"{domain} {record.relative_path}: the name does not lead to the payload")

count = backup.get_content_count()
if count != sum(kinds.values()):
    check.problem(f"get_content_count says {count}")
backup.close()
check.finish(f"{kinds['file']} files, {kinds['directory']} directories, {kinds['symlink']} links")

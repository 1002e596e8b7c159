"""Compares two Info.plists of one backup by two hosts, key by key.

Every key must be in both with the same value, but for those below, each with the reason.
"""

import plistlib
import sys

# Keys whose values are each host's own.
OTHER_VALUE = {
    "GUID": "idevicebackup2 draws it by chance; russet's follows from the UDID, so that it stays",
    "Last Backup Date": "idevicebackup2 takes its own clock; russet the date that the phone gives its backup",
}


def main(theirs_path, ours_path):
    with open(theirs_path, "rb") as file:
        theirs = plistlib.load(file)
    with open(ours_path, "rb") as file:
        ours = plistlib.load(file)
    wrong = []
    for key in sorted(set(theirs) | set(ours)):
        if key not in theirs:
            wrong.append(f"only russet writes {key}: {ours[key]!r:.80}")
        elif key not in ours:
            wrong.append(f"only idevicebackup2 writes {key}: {theirs[key]!r:.80}")
        elif theirs[key] != ours[key] and key not in OTHER_VALUE:
            wrong.append(f"{key}: idevicebackup2 {theirs[key]!r:.200}, russet {ours[key]!r:.200}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

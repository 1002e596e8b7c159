"""What the checks share: the arguments, the truth, and the verdict on what a parser read.

Knows nothing about backups itself: all it is told is (domain, path) -> SHA-256 of what a parser handed over, and the
counts of rows that the parser saw. A check that compared nothing fails.
"""

import hashlib
import importlib.metadata
import json
import sys


class Check:
    def __init__(self, package):
        self.package = package
        self.backup, password_file, truth_file = sys.argv[1:4]
        self.password = None
        if password_file:
            with open(password_file, encoding="utf-8") as file:
                self.password = file.readline().rstrip("\r\n")
        self.truth = read_truth(truth_file) if truth_file else None
        self.files = {}
        self.problems = []

    def file(self, domain, path, content):
        """A file as the parser read it: bytes, or the path of a file with them."""
        if isinstance(content, bytes):
            digest = hashlib.sha256(content).hexdigest()
        else:
            hasher = hashlib.sha256()
            with open(content, "rb") as file:
                while part := file.read(1 << 20):
                    hasher.update(part)
            digest = hasher.hexdigest()
        if (domain, path) in self.files:
            self.problem(f"{domain} {path}: read twice")
        self.files[(domain, path)] = digest

    def problem(self, text):
        self.problems.append(text)

    def finish(self, facts):
        """Compares with the truth, prints the verdict and exits."""
        if not self.files:
            self.problem("no file was read")
        if self.truth is not None:
            for key in sorted(self.truth.keys() | self.files.keys()):
                expected, found = self.truth.get(key), self.files.get(key)
                if expected != found:
                    self.problem(f"{key[0]} {key[1]!r}: expected {expected}, read {found}")
        version = importlib.metadata.version(self.package)
        against = "compared with the truth file" if self.truth is not None else "read, no truth file given"
        verdict = "FAILED" if self.problems else "ok"
        print(f"{verdict}: {self.package} {version}: {facts}; {len(self.files)} files {against}")
        for problem in self.problems[:20]:
            print(f"  {problem}")
        if len(self.problems) > 20:
            print(f"  and {len(self.problems) - 20} more")
        sys.exit(1 if self.problems else 0)


def read_truth(name):
    truth = {}
    with open(name, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            # Lines of directories and links have no hash.
            if entry["sha256"] is not None:
                truth[(entry["domain"], entry["path"])] = entry["sha256"]
    if not truth:
        sys.exit(f"{name} names no file")
    return truth

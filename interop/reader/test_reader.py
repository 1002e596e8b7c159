"""docs/russet_reader.py against repositories that tiny_writer.py made, whole and damaged.

Run with the Python that setup.sh prints. Each test runs the reader as a person would: as a program, by its exit code.
"""
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
import unittest
from pathlib import Path

import zstandard

import tiny_writer
from tiny_writer import PASSWORD, RECOVERY_KEY, Sample, entry, leaf, node, words_of

READER = Path(__file__).resolve().parents[2] / "docs" / "russet_reader.py"
UDID = "00008110-001122334455667A"
DONE, FAILED, INCOMPLETE, NO_REPOSITORY, WRONG_PASSWORD, DAMAGE = 0, 1, 3, 10, 12, 20


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


class ReaderCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.repository = self.folder / "repository"
        self.target = self.folder / "out"
        self.password = self.secret("password", PASSWORD.encode() + b"\n")

    def secret(self, name, data):
        (self.folder / name).write_bytes(data)
        return ["--password-file" if name == "password" else "--recovery-file", str(self.folder / name)]

    def reader(self, *arguments, secret=None):
        done = subprocess.run([sys.executable, str(READER), str(self.repository), *map(str, arguments),
                               *(secret or self.password)], capture_output=True, text=True, timeout=120)
        self.assertNotIn("Traceback", done.stderr)
        self.said = done.stdout + done.stderr
        return done.returncode

    def restored(self):
        """Everything below the target, by stored path."""
        top = self.target / UDID
        found = {}
        for path in top.rglob("*"):
            name = os.fsencode(path.relative_to(top))
            if path.is_symlink():
                found[name] = ("link", os.fsencode(os.readlink(path)))
            elif path.is_file():
                found[name] = path.read_bytes()
        return found

    def restore(self, code, *, secret=None):
        self.assertEqual(self.reader("restore", "latest", self.target, secret=secret), code, self.said)
        return self.restored()

    def whole(self, sample):
        return {**sample.files, b"link": ("link", b"Manifest.db")}


class WholeRepositories(ReaderCase):
    def test_every_file_comes_back_with_its_bytes(self):
        sample = Sample(self.repository)
        self.assertEqual(self.restore(DONE), self.whole(sample))

    def test_times_of_files_and_directories_come_back(self):
        sample = Sample(self.repository)
        self.restore(DONE)
        top = self.target / UDID
        self.assertEqual((top / "Manifest.db").stat().st_mtime_ns, 1700000000 * 10**9 + 5)
        self.assertEqual(top.stat().st_mtime_ns, 1500000000 * 10**9)
        self.assertEqual((top / sample.big_path[:2].decode()).stat().st_mtime_ns, -5 * 10**9)

    def test_the_24_words_open_it(self):
        sample = Sample(self.repository)
        words = self.secret("words", words_of(RECOVERY_KEY).replace(" ", "\n").encode())
        self.assertEqual(self.restore(DONE, secret=words), self.whole(sample))

    def test_a_decomposed_password_with_a_dos_line_end_opens_it(self):
        Sample(self.repository)
        other = self.secret("password", unicodedata.normalize("NFD", PASSWORD).encode() + b"\r\n")
        self.assertEqual(self.reader("info", secret=other), DONE)

    def test_only_one_line_end_is_dropped_from_a_password_file(self):
        Sample(self.repository)
        other = self.secret("password", PASSWORD.encode() + b"\n\n")
        self.assertEqual(self.reader("info", secret=other), WRONG_PASSWORD)

    def test_a_wrong_password_has_its_own_exit_code(self):
        Sample(self.repository)
        self.assertEqual(self.reader("list", secret=self.secret("password", b"cafe au lait")), WRONG_PASSWORD)

    def test_swapped_recovery_words_fail_by_their_checksum(self):
        Sample(self.repository)
        words = words_of(RECOVERY_KEY).split()
        words[0], words[1] = words[1], words[0]
        self.assertEqual(self.reader("list", secret=self.secret("words", " ".join(words).encode())), WRONG_PASSWORD)
        self.assertIn("checksum", self.said)

    def test_an_empty_folder_is_no_repository(self):
        self.repository.mkdir()
        self.assertEqual(self.reader("info"), NO_REPOSITORY)

    def test_verify_of_a_whole_repository_finds_nothing(self):
        Sample(self.repository)
        self.assertEqual(self.reader("verify"), DONE, self.said)

    def test_list_shows_the_snapshot_and_no_escape_codes(self):
        sample = Sample(self.repository)
        self.assertEqual(self.reader("list"), DONE)
        for part in (sample.snapshot_id[:8], "2025-10-09 08:53:20", "Blue \\x1b[31miPhone", "12345 bytes", "complete"):
            self.assertIn(part, self.said)

    def test_ls_names_domain_and_stored_path(self):
        sample = Sample(self.repository)
        self.assertEqual(self.reader("ls", sample.snapshot_id[:6]), DONE)
        self.assertIn(sample.big_path.decode() + "  HomeDomain  big", self.said)

    def test_an_existing_target_is_not_touched(self):
        Sample(self.repository)
        (self.target / UDID).mkdir(parents=True)
        self.assertEqual(self.restore(FAILED), {})

    def test_the_repository_is_not_written_to(self):
        Sample(self.repository)
        before = {path: path.stat().st_mtime_ns for path in self.repository.rglob("*")}
        self.restore(DONE)
        self.reader("verify")
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.repository.rglob("*")}, before)

    def test_latest_passes_over_a_forgotten_snapshot(self):
        sample = Sample(self.repository)
        newer = sample.writer.put("snapshots", sample.writer.snapshot(bytes(32), backup_time=1770000000))
        sample.writer.log({"type": "forgotten", "snapshot": newer})
        self.assertEqual(self.restore(DONE), self.whole(sample))
        self.assertEqual(self.reader("verify"), DONE, self.said)

    def test_latest_passes_over_an_incomplete_one_and_one_from_the_future(self):
        sample = Sample(self.repository)
        for changes in ({"backup_time": 1770000000, "verdict": "incomplete"}, {"backup_time": 1 << 40}):
            sample.writer.put("snapshots", sample.writer.snapshot(bytes(32), **changes))
        self.assertEqual(self.restore(DONE), self.whole(sample))

    def test_a_revoked_password_is_told_and_used(self):
        sample = Sample(self.repository)
        sample.writer.log({"type": "keyslot_revoked", "keyslot": sample.slot_ids[0]})
        self.assertEqual(self.restore(DONE), self.whole(sample))
        self.assertIn("was removed from the repository", self.said)

    def test_a_pin_wins_over_forgotten(self):
        sample = Sample(self.repository)
        sample.writer.log({"type": "forgotten", "snapshot": sample.snapshot_id})
        self.assertEqual(self.reader("restore", "latest", self.target), FAILED)
        sample.writer.log({"type": "pin", "snapshot": sample.snapshot_id, "on": True}, writer="bb" * 16, seq=1)
        self.restore(DONE)

    def test_an_unknown_feature_to_read_is_refused_by_name(self):
        Sample(self.repository).writer.config({"read": ["holograms"], "write": [], "check": []})
        self.assertEqual(self.reader("list"), FAILED)
        self.assertIn("holograms", self.said)

    def test_an_unknown_feature_to_check_stops_verify_only(self):
        Sample(self.repository).writer.config({"read": [], "write": [], "check": ["parity"]})
        self.assertEqual(self.reader("verify"), FAILED)
        self.restore(DONE)


class DamagedRepositories(ReaderCase):
    def test_one_flipped_bit_in_a_blob_costs_one_file(self):
        sample = Sample(self.repository)
        flip(sample.pack_path("data"), 96 + 10)  # the first chunk of the big file
        expected = self.whole(sample)
        del expected[sample.big_path]
        self.assertEqual(self.restore(INCOMPLETE), expected)
        self.assertIn(sample.big_path.decode(), self.said)
        self.assertEqual(self.reader("verify"), DAMAGE)
        self.assertIn("its bytes do not give its name", self.said)

    def test_a_flipped_bit_between_blobs_loses_nothing_but_is_damage(self):
        sample = Sample(self.repository)
        path = sample.pack_path("data")
        flip(path, len(path.read_bytes()) - 4096 * 3 - 1)  # the filling before a directory of three pages
        self.assertEqual(self.restore(DONE), self.whole(sample))
        self.assertEqual(self.reader("verify"), DAMAGE)

    def test_a_truncated_data_pack_is_named_and_the_rest_comes_back(self):
        sample = Sample(self.repository)
        path = sample.pack_path("data")
        path.write_bytes(path.read_bytes()[:-4096])
        left = {b"empty": b"", b"nothing": sample.nothing, b"link": ("link", b"Manifest.db")}
        self.assertEqual(self.restore(INCOMPLETE), left)
        self.assertIn(path.name, self.said)
        self.assertEqual(self.reader("verify"), DAMAGE)

    def test_an_empty_pack_is_named(self):
        sample = Sample(self.repository)
        sample.pack_path("data").write_bytes(b"")
        self.assertEqual(self.reader("verify"), DAMAGE)
        self.assertIn(sample.packs["data"], self.said)

    def test_a_missing_tree_pack_is_reported(self):
        sample = Sample(self.repository)
        sample.pack_path("tree").unlink()
        self.assertEqual(self.restore(INCOMPLETE), {})
        self.assertEqual(self.reader("verify"), DAMAGE)

    def test_any_one_of_three_copies_is_enough(self):
        for keep in ("", "copy1", "copy2"):
            with self.subTest(keep=keep):
                self.repository = self.folder / ("repository" + keep)
                self.target = self.folder / ("out" + keep)
                sample = Sample(self.repository)
                for place in {"", "copy1", "copy2"} - {keep}:
                    for path in (self.repository / place).glob("*"):
                        if path.name in ("keys", "snapshots"):
                            for file in path.iterdir():
                                file.unlink()
                    flip(self.repository / place / "config", 60)
                self.assertEqual(self.restore(DONE), self.whole(sample))
                self.assertEqual(self.reader("verify"), DAMAGE)
                self.assertIn("No such file", self.said)

    def test_a_damaged_copy_is_found_by_verify(self):
        sample = Sample(self.repository)
        flip(self.repository / "copy2" / "snapshots" / sample.snapshot_id, 100)
        self.assertEqual(self.reader("verify"), DAMAGE)
        self.assertEqual(self.restore(DONE), self.whole(sample))

    def test_without_any_config_the_files_still_come_back(self):
        sample = Sample(self.repository)
        for place in ("", "copy1", "copy2"):
            (self.repository / place / "config").unlink()
        self.assertEqual(self.restore(DONE), self.whole(sample))

    def test_foreign_names_are_ignored_and_counted(self):
        sample = Sample(self.repository)
        for name in ("packs/.DS_Store", "packs/00/._x", "keys/tmp.1", "snapshots/" + "A" * 64, "log/x"):
            (self.repository / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repository / name).write_bytes(b"foreign")
        self.assertEqual(self.reader("verify"), DONE, self.said)
        self.assertIn("5 foreign files", self.said)
        self.assertEqual(self.restore(DONE), self.whole(sample))

    def test_files_of_another_repository_are_ignored_and_counted(self):
        sample = Sample(self.repository)
        other = Sample(self.folder / "other")
        for path in (self.folder / "other").rglob("*"):
            mine = self.repository / path.relative_to(self.folder / "other")
            if path.is_dir():
                mine.mkdir(exist_ok=True)
            elif path.name != "config":
                mine.write_bytes(path.read_bytes())
        self.assertEqual(self.reader("verify"), DONE, self.said)
        self.assertIn("1 snapshots", self.said)
        self.assertNotIn(" 0 foreign", self.said)
        self.assertEqual(self.reader("ls", other.snapshot_id), FAILED)
        self.assertEqual(self.restore(DONE), self.whole(sample))

    def test_a_blob_that_stands_twice_is_read_from_the_good_place(self):
        sample = Sample(self.repository)
        sample.writer.blob("data", sample.big[:96])
        sample.writer.pack(1)
        flip(sample.pack_path("data"), 96 + 10)
        self.assertEqual(self.restore(DONE), self.whole(sample))

    def test_a_lost_leaf_of_directories_does_not_take_the_files_with_it(self):
        sample = Sample(self.repository)
        # The first leaf is the third blob of the tree pack, behind two lists of chunks and their tags.
        flip(sample.pack_path("tree"), 96 + (5 + 70 * 32 + 16) + (5 + 80 * 32 + 16) + 10)
        found = self.restore(INCOMPLETE)
        self.assertEqual(found, {sample.big_path: sample.big, sample.note_path: sample.note})

    def test_a_format_that_is_not_known_is_refused_by_its_number(self):
        sample = Sample(self.repository)
        path = sample.pack_path("data")
        path.write_bytes(sample.writer.header(4, 4096, version=7).ljust(4096, b"\0"))
        self.assertEqual(self.reader("verify"), DAMAGE)
        self.assertIn("format 7", self.said)


class HostileRepositories(ReaderCase):
    """Written with the right keys, and still not to be trusted."""

    def refused(self, *entries, words="refused"):
        sample = Sample(self.repository, extra_entries=entries)
        outside = set(self.folder.iterdir())
        found = self.restore(INCOMPLETE)
        self.assertIn(words, self.said)
        self.assertEqual(set(self.folder.iterdir()) - outside, {self.target})
        self.assertEqual([path.name for path in self.target.iterdir()], [UDID])
        return sample, found

    def test_paths_that_leave_the_target_are_refused(self):
        paths = (b"../x", b"a/../../x", b"/x", b"./x", b"a//x", b"x/", b".", b"..", b"", b"a\0b")
        for number, path in enumerate(paths):
            with self.subTest(path=path):
                self.repository, self.target = self.folder / f"repository{number}", self.folder / f"out{number}"
                sample, found = self.refused(entry(path, content=b""), words="this path is not allowed")
                self.assertEqual(found, self.whole(sample))

    def test_nothing_is_written_through_a_link(self):
        sample, found = self.refused(entry(b"way", what=3, target=b".."), entry(b"way/x"))
        self.assertEqual(found, {**self.whole(sample), b"way": ("link", b"..")})

    def test_folders_that_are_not_listed_are_made(self):
        sample = Sample(self.repository, extra_entries=[entry(b"nowhere/at/all")])
        self.assertEqual(self.restore(DONE), {**self.whole(sample), b"nowhere/at/all": b""})

    def test_nothing_is_written_below_a_file(self):
        sample, found = self.refused(entry(b"empty/x"))
        self.assertEqual(found, self.whole(sample))

    def test_of_a_path_that_stands_twice_the_first_counts(self):
        sample, found = self.refused(entry(b"Manifest.db"), entry(b"Manifest.db", what=3, target=b"x"))
        self.assertEqual(found, self.whole(sample))

    def test_nanoseconds_that_make_seconds_are_refused(self):
        sample, found = self.refused(entry(b"late", mtime=(1, 10**9)), words="its entry cannot be right")
        self.assertEqual(found, self.whole(sample))

    def test_a_wrong_hash_of_a_file_is_refused(self):
        sample, found = self.refused(entry(b"lie", file_hash=bytes(32)), words="BLAKE3 is wrong")
        self.assertEqual(found, self.whole(sample))

    def test_an_opened_file_that_does_not_come_back_to_the_byte_is_refused(self):
        opened = {"flags": 4, "content": bytes(16), "padding": 16}
        for number, (changes, words) in enumerate((({}, "BLAKE3 is wrong"), ({"padding": 15}, "no whole blocks"),
                                                   ({"padding": 0}, "BLAKE3 is wrong"), ({"length": 32}, "BLAKE3 is wrong"))):
            with self.subTest(changes=changes):
                self.repository, self.target = self.folder / f"repository{number}", self.folder / f"out{number}"
                sample, found = self.refused(entry(b"secret", **{**opened, **changes}), words=words)
                self.assertEqual(found, self.whole(sample))

    def test_what_can_only_be_a_file_and_one_block_of_padding_is_held_to_it(self):
        for number, changes in enumerate(({"what": 2}, {"what": 3}, {"padding": 17}, {"flags": 8}, {"flags": 12})):
            with self.subTest(changes=changes):
                self.repository, self.target = self.folder / f"repository{number}", self.folder / f"out{number}"
                _, found = self.refused(entry(b"secret", **{"flags": 4, "padding": 1, **changes}),
                                        words="its entry cannot be right")
                self.assertNotIn(b"secret", found)

    def test_an_udid_that_is_a_path_does_not_name_the_folder(self):
        sample = Sample(self.repository, udid="../../x")
        self.assertEqual(self.reader("restore", "latest", self.target), DONE)
        self.assertEqual([path.name for path in self.target.iterdir()], ["snapshot-" + sample.snapshot_id[:16]])

    def with_blob(self, **blob):
        """A repository with one more file, `bomb`, whose only chunk is made as told."""
        sample = Sample(self.repository)
        plain = bytes(1000)
        blob_id = sample.writer.blob("data", plain, **blob)
        sample.writer.pack(1)
        tree = sample.writer.blob("tree", leaf([entry(b"", what=2), entry(b"bomb", ids=[blob_id], content=plain)]))
        sample.writer.pack(2)
        sample.writer.put("snapshots", sample.writer.snapshot(tree, backup_time=1770000000))
        return self.restore

    def test_a_zstd_bomb_is_not_blown_up(self):
        packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(2000)) + packer.flush()
        restore = self.with_blob(payload=bomb, encoding=1)
        self.assertEqual(restore(INCOMPLETE), {})
        self.assertIn("zstd frame", self.said)

    def test_a_second_zstd_frame_is_refused(self):
        restore = self.with_blob(payload=zstandard.compress(bytes(1000)) + zstandard.compress(b""), encoding=1)
        self.assertEqual(restore(INCOMPLETE), {})
        self.assertIn("zstd frame", self.said)

    def test_a_zstd_frame_that_gives_more_than_it_says_is_refused(self):
        blocks = (((128 << 10) << 3) | 2).to_bytes(3, "little") + b"\0"  # 128 KiB of one byte
        restore = self.with_blob(payload=bytes.fromhex("28b52ffd4038e802") + blocks * 20000 + b"\1\0\0", encoding=1)
        self.assertEqual(restore(INCOMPLETE), {})
        self.assertIn("zstd frame", self.said)

    def test_a_zstd_frame_that_promises_much_is_not_believed(self):
        bomb = bytes.fromhex("28b52ffde0") + (1 << 50).to_bytes(8, "little") + bytes.fromhex("010000")
        restore = self.with_blob(payload=bomb, encoding=1)
        self.assertEqual(restore(INCOMPLETE), {})

    def test_a_zstd_frame_that_gives_too_little_is_refused(self):
        restore = self.with_blob(payload=zstandard.compress(bytes(999)), encoding=1)
        self.assertEqual(restore(INCOMPLETE), {})

    def test_an_unknown_encoding_costs_one_blob(self):
        restore = self.with_blob(encoding=9)
        self.assertEqual(restore(INCOMPLETE), {})
        self.assertIn("encoding 9", self.said)

    def test_a_plaintext_that_does_not_give_its_id_is_refused(self):
        restore = self.with_blob(payload=b"\1" * 1000)
        self.assertEqual(restore(INCOMPLETE), {})
        self.assertIn("its content does not give its length and its id", self.said)

    def test_directory_entries_that_overlap_or_leave_the_blob_area_are_refused(self):
        changes = ((2, lambda ordinal, offset: 95 - ordinal), (2, lambda ordinal, offset: 4096 + offset),
                   (2, lambda ordinal, offset: 2**32 - 1), (1, lambda ordinal, offset: offset - ordinal))
        for number, (refused_count, new_offset) in enumerate(changes):
            with self.subTest(number=number):
                self.repository = self.folder / f"repository{number}"
                sample = Sample(self.repository)
                sample.writer.blob("data", b"one"), sample.writer.blob("data", b"two")
                sample.writer.pack(1, lambda entries: [
                    (*fields[:2], new_offset(*fields[1:3]), *fields[3:]) for fields in entries])
                self.assertEqual(self.reader("verify"), DAMAGE)
                self.assertEqual(self.said.count("cannot be right"), refused_count, self.said)

    def test_a_blob_of_a_type_that_its_pack_may_not_hold_is_refused(self):
        sample = Sample(self.repository)
        sample.writer.blob("data", b"one")
        sample.writer.pack(1, lambda entries: [(*fields[:5], 2, fields[6]) for fields in entries])
        self.assertEqual(self.reader("verify"), DAMAGE)
        self.assertIn("cannot be right", self.said)

    def test_a_tree_that_two_snapshots_share_is_checked_for_both(self):
        sample = Sample(self.repository)
        flip(sample.pack_path("data"), 96 + 10)
        other = sample.writer.put("snapshots", sample.writer.snapshot(sample.root_id, backup_time=1770000000))
        self.assertEqual(self.reader("verify"), DAMAGE)
        for snapshot_id in (sample.snapshot_id, other):
            self.assertIn(f"LOST: snapshot {snapshot_id[:8]}: {sample.big_path.decode()}", self.said)

    def test_a_node_as_high_as_its_parent_is_refused(self):
        sample = Sample(self.repository)
        low = sample.writer.blob("tree", node(1, [(sample.leaf_ids[0], 1, b"", b"")]))
        high = sample.writer.blob("tree", node(1, [(low, 1, b"", b"")]))
        sample.writer.pack(2)
        sample.writer.put("snapshots", sample.writer.snapshot(high, backup_time=1770000000))
        self.assertEqual(self.restore(INCOMPLETE), {})
        self.assertIn("level", self.said)

    def test_a_keyslot_that_asks_for_too_much_memory_is_refused(self):
        sample = Sample(self.repository)
        for name in sample.slot_ids:
            data = (self.repository / "keys" / name).read_bytes()
            for place in ("", "copy1", "copy2"):
                (self.repository / place / "keys" / name).unlink()
            sample.writer.put("keys", data[:52] + (2**21 + 1).to_bytes(4, "little") + data[56:])
        self.assertEqual(self.reader("list"), WRONG_PASSWORD)
        self.assertIn("too much", self.said)


    def test_files_too_short_for_what_they_say_they_are_are_damage(self):
        sample = Sample(self.repository)
        for kind, folder in ((2, "keys"), (3, "keys"), (6, "snapshots"), (7, "log")):
            for length in (48, 60, 72, 80):
                sample.writer.put(folder, sample.writer.header(kind, length, epoch=3).ljust(length, b"\0"))
        for length in (48, 95, 96, 4096):
            start = sample.writer.header(4, length, pack_type=1, epoch=3)
            sample.writer.put("packs", start.ljust(length, b"\0"), copies=1)
        self.assertEqual(self.reader("verify"), DAMAGE)
        named = [line for line in self.said.splitlines() if re.match("damaged: (snapshots|log|packs)/", line)]
        self.assertEqual(len(named), 12, self.said)
        self.assertEqual(self.restore(DONE), self.whole(sample))

    def test_a_snapshot_without_a_tree_does_not_stop_verify(self):
        sample = Sample(self.repository)
        sample.writer.put("snapshots", sample.writer.record(6, {"v": 1}))
        self.assertEqual(self.reader("verify"), DAMAGE)
        self.assertIn("tree is not 64 hex digits", self.said)
        self.assertEqual(self.restore(DONE), self.whole(sample))

class SelfTest(unittest.TestCase):
    def test_the_published_vectors_hold(self):
        done = subprocess.run([sys.executable, str(READER), "--self-test"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for name in ("HChaCha20", "XChaCha20-Poly1305", "BLAKE3 derive_key", "Argon2id", "BIP-39", "format.md 12, 23 rows"):
            self.assertIn(name, done.stdout)

    def test_the_words_are_those_of_bip_39(self):
        """Its vector for 32 zero bytes."""
        self.assertEqual(words_of(bytes(32)), "abandon " * 23 + "art")
        self.assertEqual(tiny_writer.hashlib.sha256((READER.parent / "recovery-words.txt").read_bytes()).hexdigest(),
                         "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda")


if __name__ == "__main__":
    unittest.main()

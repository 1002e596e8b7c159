# russet: what there is to run. The gate is .ci/run.
#
# Everything is built with --release: RocksDB takes 26 minutes of processor time for each profile.
# CARGO_TARGET_DIR is respected. All tests but `interop` work offline once the crates are fetched.

CARGO := scripts/cargo.sh

.PHONY: help demo test interop interop-device soak bench fuzz windows check fmt clippy doc deny setup fetch

help:
	@echo "make demo     four weeks of a scripted iPhone: backed up, listed, verified, restored to another one and to a folder, compared"
	@echo "make test     all tests, offline"
	@echo "make interop  other programs' parsers and the Python reader on what russet restored and stored,"
	@echo "              real clients on the scripted phone"
	@echo "make interop-device  of that only idevicebackup2 and pymobiledevice3, which back up and restore the scripted phone"
	@echo "make soak     the tests with full counts: kills, faults, histories"
	@echo "make bench    figures; write them to benches/results/"
	@echo "make fuzz     every decoder, FUZZ_SECS=60 seconds each"
	@echo "make windows  type-checks for Windows what is Rust; nothing is linked or run"
	@echo "make check    fmt, clippy, doc, deny"
	@echo ".ci/run       all that must pass: check, test, interop"

setup:
	@scripts/setup.sh

# Offline if everything is there already; a gate on a train is a gate.
fetch: setup
	@$(CARGO) fetch --locked --offline --quiet 2>/dev/null || $(CARGO) fetch --locked

demo: fetch
	@scripts/demo.sh

test: fetch
	$(CARGO) test --workspace --release --locked --offline

interop: fetch
	@scripts/setup.sh interop
	@scripts/interop.sh
	@interop/device/idevicebackup2.sh
	@interop/device/pymobiledevice3.sh
	@interop/device/differential.sh
	@interop/device/fresh_keys.sh
	@interop/device/answers.sh
	@interop/device/restored_by_russet.sh

interop-device: fetch
	$(CARGO) build --workspace --release --locked --offline
	interop/device/idevicebackup2.sh
	interop/device/pymobiledevice3.sh
	interop/device/differential.sh
	interop/device/fresh_keys.sh
	interop/device/answers.sh
	interop/device/restored_by_russet.sh

soak: fetch
	@scripts/setup.sh soak
	@rm -f "$$(scripts/target_dir.sh)/soak-figures.txt"
	RUSSET_SOAK="$$(scripts/target_dir.sh)/soak-figures.txt" $(CARGO) test --workspace --release --locked --offline
	@scripts/setup.sh interop
	@DIFFERENTIAL_SEEDS="$$(seq -s ' ' 1 24)" interop/device/differential.sh
	@cat "$$(scripts/target_dir.sh)/soak-figures.txt"

bench: fetch
	@scripts/bench.sh
	@scripts/bench_device.sh

fuzz: setup
	@scripts/fuzz.sh

windows: fetch
	@scripts/windows.sh

check: fmt clippy doc deny

fmt:
	@cargo fmt --all --check -- --files-with-diff || { echo "these files are not formatted; run: cargo fmt --all"; exit 1; }

clippy: fetch
	$(CARGO) clippy --workspace --all-targets --release --locked --offline -- -D warnings
	$(CARGO) clippy -p russet -p russet-store --no-default-features --all-targets --release --locked --offline -- -D warnings

doc: fetch
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --release --locked --offline

deny:
	@scripts/deny.sh

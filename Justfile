# One line per recipe: the logic is in the crates and scripts. `just` alone lists them.

set positional-arguments

[private]
list:
    @just --list

# Try every power cut of an update: on all layouts, then with the images of the firmware, or with your own.
sim *args:
    scripts/sim "$@"

# Prove that no sequence of power cuts bricks a device, and verify the proofs. Takes about 20 minutes without arguments, for all update code.
prove *args:
    scripts/prove "$@"

# Verify certificates that `just prove` wrote.
check-certificate +files:
    cargo run --quiet --release --package sim --bin sim -- check-certificate "$@"

# Tell step by step of an update what one power cut comes to.
guarantee *args:
    cargo run --quiet --release --package sim --bin sim -- guarantee "$@"

# Find known bugs of other update code, and do not find them once corrected.
known *args:
    cargo run --quiet --release --package sim --bin sim -- known "$@"

# Run all tests. Some run the firmware on virtual boards, so it is built first if it is not there.
test *args:
    scripts/need-fw && cargo test --workspace "$@"

# Check formatting, lints and documentation.
lint: fmt clippy doc

# Check formatting, also of the crates outside the workspace.
fmt:
    cargo fmt --all --check && rustfmt --check --edition 2024 ota-core/size/src/main.rs sim/fixtures/*/src/*.rs sim/fixtures/pack/src/bin/*.rs sim/fixtures/app/build.rs tests/clients/src/main.rs tests/flasher/src/main.rs tests/proofs/src/main.rs tests/proofs/src/slots.rs update-agent/fuzz/src/lib.rs update-agent/fuzz/fuzz_targets/*.rs device-fw/build.rs device-fw/src/main.rs device-fw/family/src/main.rs tests/foreign-fw/build.rs tests/foreign-fw/src/bin/*.rs

# Run clippy on all targets.
clippy:
    cargo clippy --workspace --all-targets -- --deny warnings

# Check the parts behind cargo features (their tests: `cargo test -p hil-runner --features probe --lib probe`).
features:
    cargo clippy --package hil-runner --features probe,ppk2 --all-targets -- --deny warnings

# Build the documentation.
doc:
    RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps

# Run the benchmarks.
bench *args:
    cargo bench --workspace --benches "$@"

# Report code size and worst-case stack of ota-core on the ESP32-C3, and check their limits.
size:
    cargo run --quiet --package cutpoint-tests --bin size

# Compare the bootloader model with Espressif's bootloader on generated flash contents.
differential *args:
    cargo run --quiet --release --package cutpoint-tests --bin differential -- "$@"

# Show that the tests and the explorer catch each seeded mutant.
mutants *args:
    cargo run --quiet --package cutpoint-tests --bin mutants -- "$@"

# Prove theorems about the pure functions for all inputs, all or those whose name contains the argument.
prove-pure *args:
    scripts/prove-pure "$@"

# Show that the scenarios find each bug that is planted in the firmware (`just fw` first).
seeded *args:
    cargo run --quiet --package cutpoint-tests --bin seeded -- "$@"

# Remake the application images in sim/fixtures.
fixtures:
    cargo run --quiet --release --target-dir target/fixtures --manifest-path sim/fixtures/pack/Cargo.toml

# Check that the application images in sim/fixtures are what `just fixtures` makes.
fixtures-check:
    cargo run --quiet --release --target-dir target/fixtures --manifest-path sim/fixtures/pack/Cargo.toml -- --check

# Build the firmware images into target/fw, all or those named (`--bootloader FILE` for another bootloader).
fw *args:
    cargo run --quiet --release --target-dir target/fixtures --manifest-path device-fw/family/Cargo.toml -- "$@"

# Build the firmware of the scenarios that does not speak SMP into target/fw.
fw-byo:
    tests/foreign-fw/byo.sh

# Report flash, RAM and stack of the firmware that `just fw` made, or of another ELF file.
fw-size *args:
    cargo run --quiet --package cutpoint-tests --bin fw_size -- "$@"

# Check the images of `just fw` with esptool: the one with the broken hash must fail, all others pass.
fw-check:
    scripts/check-images target/fw/v?[.-][!b]*.app.bin && test -f target/fw/v2-broken-hash.app.bin && ! scripts/check-images target/fw/v2-broken-hash.app.bin

# Test the images of `just fw` on the virtual board.
fw-test *args:
    cargo test --release --package cutpoint-tests --test firmware -- --ignored "$@"

# Update a simulated device over a pseudo-terminal with smpmgr and mcumgr-toolkit.
clients:
    scripts/smp-clients

# Fuzz the update agent, so many seconds per target.
fuzz *args:
    scripts/fuzz "$@"

# Cut power in every flash operation of an update of the firmware on the virtual board (`just fw` first).
sweep *args:
    cargo run --quiet --release --package cutpoint-tests --bin sweep -- "$@"

# Run firmware that is not ours on the virtual board, and cut power while it updates itself.
foreign *args:
    tests/foreign-fw/build.sh && cargo run --quiet --release --package cutpoint-tests --bin foreign -- "$@"

# Flash a virtual board with esptool and espflash (`just fw` first).
serial-tools *args:
    scripts/serial-tools "$@"

# Update the firmware of a virtual board over its pseudo-terminal with mcumgr-toolkit (`just fw` first).
smp-board:
    scripts/smp-board

# Run scenarios on the boards of bench.toml, or on virtual boards; builds what is missing.
hil *args:
    scripts/hil "$@"

# Cut the power of a good and a bad firmware on the virtual board; builds what is missing.
demo:
    scripts/demo

# Look at the HTML report of scenarios in Chromium.
report-check:
    cargo test --package hil-runner --test report_browser -- --nocapture

# Run the virtual board; `just board --help` tells how.
board *args:
    cargo run --quiet --release --package virtual-board -- "$@"

# Do what continuous integration does.
ci:
    .ci/run

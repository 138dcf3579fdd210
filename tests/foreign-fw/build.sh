#!/usr/bin/env bash
# Builds the firmware beside this script into target/foreign: two versions of the one that updates itself,
# a third that follows them, and the one with Embassy.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}/foreign-fw
output=$root/target/foreign
elf=$target/riscv32imc-unknown-none-elf/release

mkdir -p "$output"
for version in 1.0.0 2.0.0 3.0.0; do
    FW_VERSION=$version SOURCE_DATE_EPOCH=0 CARGO_TARGET_DIR=$target \
        "$root/scripts/riscv" build --release --quiet --locked --manifest-path "$here/Cargo.toml" \
        --bin updater --bin embassy
    cp "$elf/updater" "$output/updater-$version.elf"
done
cp "$elf/embassy" "$output/embassy.elf"

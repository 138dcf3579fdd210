#!/usr/bin/env bash
# Builds the product of scenarios/bring-your-own-firmware.toml into target/fw: byo-2.0.0.bin, byo-1.0.0.bin
# with it inside, and byo-example-1.0.0.bin, the same but for what it does about a torn select entry.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}/foreign-fw
output=$root/target/fw
elf=$target/riscv32imc-unknown-none-elf/release/byo

# Builds an image: its name, version, what it does about a torn entry, and the image inside, if any.
build() {
    local next=()
    if [[ -n ${4-} ]]; then
        next=("BYO_NEXT=$(realpath "$output/$4.bin")")
    fi
    env "${next[@]}" FW_VERSION="$2" BYO_TORN_ENTRY="$3" SOURCE_DATE_EPOCH=0 CARGO_TARGET_DIR="$target" \
        "$root/scripts/riscv" build --release --quiet --locked --manifest-path "$here/Cargo.toml" --bin byo
    cargo run --quiet --release --target-dir "$root/target/fixtures" \
        --manifest-path "$root/sim/fixtures/pack/Cargo.toml" --bin app-image -- "$elf" "$output/$1.bin"
    echo "$1: $(stat --format %s "$output/$1.bin") bytes"
}

mkdir -p "$output"
build byo-2.0.0 2.0.0 mend
build byo-1.0.0 1.0.0 mend byo-2.0.0
build byo-example-1.0.0 1.0.0 reset byo-2.0.0

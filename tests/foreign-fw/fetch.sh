#!/usr/bin/env bash
# Fetches programs for the ESP32-C3 that others have published, checks that they are what they were, and
# makes flash contents of 4 MiB of each in target/foreign/public. Nothing of it is kept in the repository.
set -euo pipefail

output=$(cd "$(dirname "$0")/../.." && pwd)/target/foreign/public
mkdir -p "$output"
cd "$output"

# get FILE SHA256 URL: downloads a file, unless it is there and right.
get() {
    if ! sha256sum --check --status <<<"$2  $1" 2>/dev/null; then
        curl --fail --silent --show-error --location --output "$1" "$3"
        sha256sum --check --quiet <<<"$2  $1"
    fi
}

# flash NAME [OFFSET FILE]...: erased flash with files at multiples of 4096.
flash() {
    local image=$1
    shift
    head --bytes=4194304 /dev/zero | tr '\0' '\377' >"$image"
    while (($#)); do
        dd if="$2" of="$image" bs=4096 seek=$(($1 / 4096)) conv=notrunc status=none
        shift 2
    done
    echo "$output/$image"
}

# Applications of ESP-IDF with their own bootloaders: test data of Espressif's pytest-embedded (MIT).
commit=0d6502d999f674d8d0ece09ac50713a7c613fa85
fixtures=https://raw.githubusercontent.com/espressif/pytest-embedded/$commit/tests/fixtures

# idf NAME FOLDER PROGRAM BOOTLOADER_SHA256 TABLE_SHA256 PROGRAM_SHA256
idf() {
    get "$1.bootloader" "$4" "$fixtures/$2/bootloader/bootloader.bin"
    get "$1.table" "$5" "$fixtures/$2/partition_table/partition-table.bin"
    get "$1.app" "$6" "$fixtures/$2/$3.bin"
    flash "$1.bin" 0 "$1.bootloader" 0x8000 "$1.table" 0x10000 "$1.app"
}

idf hello-world hello_world_esp32c3/build hello_world \
    8ee3e2339ae8424961e2f58d37b45e11d9462569c6d8a857d0caf46c586a11ce \
    7f00b6c042a89b15b0cac534f82ed988caf29278ff5700b0c511eb1b5bb7c820 \
    581548d1810089adcf1c5d2e5f2eb021d2da365eb737218d96ce47bacb1cefe4
idf panic hello_world_esp32c3_panic/build hello_world \
    ac9570d48a946e6f039570aaf6b629699f0135d8cb6e04df7a69f4aa8435c8a4 \
    7f00b6c042a89b15b0cac534f82ed988caf29278ff5700b0c511eb1b5bb7c820 \
    958f836d37dcd13eb16bdec4b715b99b2bd47fa2308e972a629a450ceedeb443
idf unit-tests unit_test_app_idf/build_esp32c3 unit_test_app_idf \
    a738a175636c3418aa73acd75745c7c9983c2200497b0f5c7b0418a1085e2464 \
    7f00b6c042a89b15b0cac534f82ed988caf29278ff5700b0c511eb1b5bb7c820 \
    037b856c8f2608e1232a6ddd91a29464e7e83525cefdfeef3105fc7f81a79358

# A blinking light that the ROM starts without a bootloader: test data of the crate espflash 2.1.0.
get espflash-2.1.0.crate 76acb8029cc0571b926262ba45bce67686bc41081a40ae286779a664373d6132 https://static.crates.io/crates/espflash/espflash-2.1.0.crate
tar --extract --gzip --to-stdout --file espflash-2.1.0.crate \
    espflash-2.1.0/tests/resources/esp32c3_hal_blinky_db.bin >blinky.app
flash blinky.bin 0 blinky.app

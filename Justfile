# One line per recipe: the logic is in the crates and scripts. `just` alone lists them.

set positional-arguments

[private]
list:
    @just --list

# Try every power cut of an update on all layouts, on the images in sim/fixtures or your own.
sim *args:
    cargo run --quiet --release --package sim --bin sim -- "$@"

# Run all tests.
test *args:
    cargo test --workspace "$@"

# Check formatting, lints and documentation.
lint: fmt clippy doc

# Check formatting, also of the crates outside the workspace.
fmt:
    cargo fmt --all --check && rustfmt --check --edition 2024 ota-core/size/src/main.rs sim/fixtures/*/src/main.rs sim/fixtures/app/build.rs

# Run clippy on all targets.
clippy:
    cargo clippy --workspace --all-targets -- --deny warnings

# Build the documentation.
doc:
    RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps

# Run the benchmarks.
bench *args:
    cargo bench --workspace --benches "$@"

# Report code size and worst-case stack of ota-core on the ESP32-C3, and check their limits.
size:
    cargo run --quiet --package cutpoint-tests --bin size

# Show that the tests and the explorer catch each seeded mutant.
mutants *args:
    cargo run --quiet --release --package cutpoint-tests --bin mutants -- "$@"

# Remake the application images in sim/fixtures.
fixtures:
    cargo run --quiet --release --target-dir target/fixtures --manifest-path sim/fixtures/pack/Cargo.toml

# Check that the application images in sim/fixtures are what `just fixtures` makes.
fixtures-check:
    cargo run --quiet --release --target-dir target/fixtures --manifest-path sim/fixtures/pack/Cargo.toml -- --check

# Do what continuous integration does.
ci:
    .ci/run

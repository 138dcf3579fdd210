//! The simulated NOR flash chip.

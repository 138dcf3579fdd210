//! Boot selection in the notation `[sector 0 | sector 1]`, each `sequence/STATE` or `-`.

mod anti_rollback;
mod device;
mod generations;
mod pins;
mod power_cuts;
mod selection;

use device::{Device, factory_and_slots, slots};

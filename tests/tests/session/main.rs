//! The update session of `ota-core` on simulated flash.

mod boot_selection;
mod cuts;
mod device;
mod errors;
mod faults;
mod machine;
mod writing;

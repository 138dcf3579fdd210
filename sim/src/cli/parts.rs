//! `sim parts`: the flash parts, and what a power cut may leave on them.

use sim::flash::Part;
use sim::flash::fault::{ChipProfile, TornClass};
use std::fmt::Write;

/// The list.
pub(super) fn list() -> String {
    let mut text = String::from("Chip profiles: what a power cut may leave, and who says so\n");
    for ChipProfile { name, about, torn } in ChipProfile::ALL {
        let _ = writeln!(text, "\n{name}: {about}");
        for TornClass { class, source } in *torn {
            let _ = writeln!(text, "    {class}  {source}");
        }
    }
    text += "\nFlash parts. No vendor was found to say how an interrupted operation leaves data, so none is told apart\n\n";
    for Part { name, capacity, profile, profile_source, .. } in Part::ALL {
        let (mib, profile) = (capacity >> 20, profile.name);
        let _ = writeln!(text, "{name:<9} {mib:>2} MiB  {profile}  {profile_source}");
    }
    text
}

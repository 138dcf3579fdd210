//! The firmware images that `just fw` builds.

use super::file::ChipName;

/// A member of the family of firmware images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its name, and the start of its file's.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) chip: ChipName,
    /// Why no device may run it.
    pub(super) unfit: Option<&'static str>,
    /// Why it cannot be confirmed.
    pub(super) unconfirmed: Option<&'static str>,
    /// Whether it ends in a reset by itself.
    pub(super) resets_itself: bool,
    /// Its length, if that is part of its purpose.
    pub(super) bytes: Option<u32>,
}

const V2: Member = Member {
    name: "v2.0.0",
    version: "2.0.0",
    chip: ChipName::Esp32c3,
    unfit: None,
    unconfirmed: None,
    resets_itself: false,
    bytes: None,
};

/// All of them; `device-fw/family` builds them.
pub(super) const FAMILY: [Member; 9] = [
    Member { name: "v1.0.0", version: "1.0.0", ..V2 },
    Member { name: "v1-padded", version: "1.0.0-padded", bytes: Some(0x10_0000), ..V2 },
    V2,
    Member {
        name: "v2-crashing",
        version: "2.0.0-crashing",
        unconfirmed: Some("it panics before it can be confirmed"),
        resets_itself: true,
        ..V2
    },
    Member {
        name: "v2-hanging",
        version: "2.0.0-hanging",
        unconfirmed: Some("it hangs before it can be confirmed"),
        resets_itself: true,
        ..V2
    },
    Member {
        name: "v2-never-confirms",
        version: "2.0.0-never",
        unconfirmed: Some("it refuses to be confirmed"),
        ..V2
    },
    Member { name: "v2-broken-hash", unfit: Some("its SHA-256 is wrong"), ..V2 },
    Member { name: "v2-esp32c6", chip: ChipName::Esp32c6, ..V2 },
    Member { name: "v2-esp32h2", chip: ChipName::Esp32h2, ..V2 },
];

/// The member of that name.
pub(super) fn member(name: &str) -> Option<&'static Member> {
    FAMILY.iter().find(|member| member.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_is_the_one_that_is_built() {
        let source = include_str!("../../../device-fw/family/src/main.rs");
        let list = source.split_once("const V2: Member").unwrap().1;
        let list = list.split_once("];").unwrap().0;
        let built: Vec<_> =
            list.split("name: \"").skip(1).map(|it| it.split_once('"').unwrap().0).collect();
        let mut known: Vec<_> = FAMILY.iter().map(|member| member.name).collect();
        known.sort_unstable();
        let mut built: Vec<_> = built.into_iter().collect();
        built.sort_unstable();
        assert_eq!(known, built);
        for member in FAMILY {
            assert!(list.contains(&format!("version: \"{}\"", member.version)), "{}", member.name);
        }
    }
}

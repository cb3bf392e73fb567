//! Which versions this build speaks, and the rule by which they grow.
//!
//! **Functions** carry the protocol's version in their names, so that two libraries stand beside each
//! other and work on the same data; each program calls its own. **Layouts** (frames, hints, values)
//! carry theirs in the data. A new layout takes two releases: the first one only reads it, the next
//! one writes it. So each reads all that the release after it writes, and any two neighbours can run
//! together and be rolled back, at any moment and without agreeing on anything.

use std::ops::RangeInclusive;

use super::functions::Library;

/// One library, a file for each subject: each knows what stands in those before it.
const SOURCE: &str = concat!(
    include_str!("carillon_3/frames.lua"),
    include_str!("carillon_3/devices.lua"),
    include_str!("carillon_3/inbox.lua"),
    include_str!("carillon_3/reading.lua"),
    include_str!("carillon_3/read_state.lua"),
    include_str!("carillon_3/scheduled.lua"),
    include_str!("carillon_3/channels.lua"),
    include_str!("carillon_3/assigned.lua"),
    include_str!("carillon_3/connections.lua"),
    include_str!("carillon_3/leases.lua"),
);

/// Whether this build stands for the release to come, in tests of updates.
const NEXT: u8 = if cfg!(feature = "next-protocol") {
    1
} else {
    0
};

/// The version of the functions.
pub const PROTOCOL: u8 = 3 + NEXT;

/// The layout that is written.
pub const WRITTEN: u8 = 1;

/// The layouts that are read.
pub const READABLE: RangeInclusive<u8> = 1..=WRITTEN + NEXT;

/// The functions of this version.
pub fn library() -> Library {
    library_of(PROTOCOL)
}

fn library_of(protocol: u8) -> Library {
    Library {
        name: format!("carillon_{protocol}").into(),
        source: SOURCE
            .replace("name=carillon_3", &format!("name=carillon_{protocol}"))
            .replace("('c3_", &format!("('c{protocol}_"))
            .into(),
    }
}

/// Whether data of this layout is understood.
pub fn is_readable(layout: &str) -> bool {
    layout
        .parse()
        .is_ok_and(|layout: u8| READABLE.contains(&layout))
}

/// What is wrong with a Redis that holds data up to this layout, if this build cannot work with it.
pub fn refusal(held: u8) -> Option<String> {
    if READABLE.contains(&held) {
        return None;
    }
    let (first, last) = (READABLE.start(), READABLE.end());
    let remedy = if held > *last {
        "run the version that wrote it, or a later one"
    } else {
        "go through the versions between, one after the other"
    };
    Some(format!(
        "this Redis holds data of layout {held}, and this version reads {first} to {last}: {remedy}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        assert!(is_readable(&WRITTEN.to_string()));
        assert_eq!(refusal(WRITTEN), None);
        for other in ["0", "9", "", "1x", "256"] {
            assert!(!is_readable(other), "{other}");
        }
    }

    #[test]
    fn a_layout_that_cannot_be_read_is_refused_with_a_remedy() {
        let later = refusal(9).unwrap();
        assert!(
            later.contains("layout 9") && later.contains("or a later one"),
            "{later}"
        );
        let earlier = refusal(0).unwrap();
        assert!(earlier.contains("the versions between"), "{earlier}");
    }

    #[test]
    fn the_library_knows_the_canary() {
        let line = format!("local CANARY = '{}'\n", crate::ids::UserId::CANARY);
        assert!(SOURCE.contains(&line));
    }

    #[test]
    fn each_library_has_functions_of_its_own() {
        let next = library_of(4);
        assert_eq!(next.name, "carillon_4");
        assert!(next.source.starts_with("#!lua name=carillon_4\n"));
        assert!(next.source.contains("'c4_send'") && !next.source.contains("'c3_"));
        assert_eq!(library_of(3).source, SOURCE);
    }
}

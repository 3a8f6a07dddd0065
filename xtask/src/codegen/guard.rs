//! Which statements hold in which versions: the tests, and the blocks under them.

use std::fmt::Write;

use crate::schema::Versions;

/// The test for `versions` among the versions `within`; none when all of them pass.
pub(super) fn condition(versions: Versions, within: Versions) -> Option<String> {
    let versions = versions.intersect(within);
    if versions.covers(within) {
        return None;
    }
    Some(match (versions.low > within.low, versions.high < within.high) {
        (true, true) if versions.low == versions.high => format!("form.version == {}", versions.low),
        (true, true) => format!("({}..={}).contains(&form.version)", versions.low, versions.high),
        (true, false) => format!("form.version >= {}", versions.low),
        (false, _) => format!("form.version <= {}", versions.high),
    })
}

/// Statements; neighbours under the same test share one block.
#[derive(Default)]
pub(super) struct Blocks {
    text: String,
    open: Option<String>,
}

impl Blocks {
    pub(super) fn push(&mut self, guard: Option<String>, lines: &str) {
        if self.open != guard {
            self.close();
            if let Some(test) = &guard {
                let _ = writeln!(self.text, "if {test} {{");
            }
            self.open = guard;
        }
        self.text += lines;
    }

    /// Ends the block that is open with a branch for all other versions.
    pub(super) fn push_else(&mut self, branch: &str) {
        assert!(self.open.take().is_some(), "a branch of no block");
        self.text += "}";
        self.text += branch;
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.text += "}\n";
        }
    }

    pub(super) fn text(mut self) -> String {
        self.close();
        self.text
    }
}

/// The test for the versions `within` that are not in `versions`.
pub(super) fn negated(versions: Versions, within: Versions) -> String {
    let versions = versions.intersect(within);
    match (versions.low > within.low, versions.high < within.high) {
        (true, true) => format!("!({}..={}).contains(&form.version)", versions.low, versions.high),
        (true, false) => format!("form.version < {}", versions.low),
        (false, _) => format!("form.version > {}", versions.high),
    }
}

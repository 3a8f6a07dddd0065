//! What is kept of all that one client and its broker said: for each API, version and role the smallest frame and the largest that is
//! not too large. Written as `crates/dohle-protocol/tests/golden/README.md` says.
//!
//! What a file holds already stays as it is: a frame of a kind that is there would bring new ids and times and no news.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::frames::{Frame, Role};

/// A frame is kept as the largest of its kind only below this.
const LARGE_BYTES: usize = 2 << 10;
/// A frame above this is not kept, even if no smaller one was sent.
const FRAME_BYTES_MAX: usize = 16 << 10;

/// A shorter secret would be found in any random id.
const SECRET_BYTES_MIN: usize = 4;

/// The frames of one client.
#[derive(Default)]
pub(super) struct Collection {
    kept: BTreeMap<(i16, i16, Role), Kept>,
}

struct Kept {
    smallest: Vec<u8>,
    largest: Option<Vec<u8>>,
}

impl Collection {
    /// True before the first frame.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Keeps the frame, if it is smaller or larger than those of its kind before it.
    pub(super) fn add(&mut self, frame: Frame) {
        if frame.bytes.len() > FRAME_BYTES_MAX {
            return;
        }
        let kept = self.kept.entry((frame.api, frame.version, frame.role));
        let kept = kept.or_insert_with(|| Kept { smallest: frame.bytes.clone(), largest: None });
        let is_larger = frame.bytes.len() > kept.largest.as_ref().map_or(kept.smallest.len(), Vec::len);
        if frame.bytes.len() < kept.smallest.len() {
            let next = std::mem::replace(&mut kept.smallest, frame.bytes);
            if kept.largest.is_none() && next.len() < LARGE_BYTES {
                kept.largest = Some(next);
            }
        } else if is_larger && frame.bytes.len() < LARGE_BYTES {
            kept.largest = Some(frame.bytes);
        }
    }

    /// Fails when a frame tells anything of the machine on which it was captured.
    pub(super) fn check_tells_none_of(&self, secrets: &[String]) -> Result<()> {
        for ((api, version, role), kept) in &self.kept {
            let bytes = [Some(&kept.smallest), kept.largest.as_ref()];
            for secret in secrets.iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN) {
                if bytes.into_iter().flatten().any(|frame| holds(frame, secret.as_bytes())) {
                    bail!("a {role:?} of API {api} version {version} holds `{secret}`");
                }
            }
        }
        Ok(())
    }

    /// The lines of the file: those that it has, and all of each kind that it has not. `names` knows every API by its key.
    pub(super) fn lines(&self, names: &BTreeMap<i16, String>, file: &str) -> Result<String> {
        let mut lines = present(names, file)?;
        for (&kind, kept) in &self.kept {
            let (api, version, role) = kind;
            let name = names.get(&api).with_context(|| format!("no API has the key {api}"))?;
            lines.entry(kind).or_insert_with(|| kept.lines(&format!("{name} {version} {}", role.name())));
        }
        Ok(lines.into_values().collect())
    }
}

impl Kept {
    fn lines(&self, kind: &str) -> String {
        let mut text = String::new();
        for frame in [Some(&self.smallest), self.largest.as_ref()].into_iter().flatten() {
            let _ = write!(text, "{kind} ");
            frame.iter().for_each(|byte| {
                let _ = write!(text, "{byte:02x}");
            });
            text.push('\n');
        }
        text
    }
}

/// The frames of a file, as they are written there, by their kind.
fn present(names: &BTreeMap<i16, String>, file: &str) -> Result<BTreeMap<(i16, i16, Role), String>> {
    let mut lines: BTreeMap<_, String> = BTreeMap::new();
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [name, version, role, _] = line.split(' ').collect::<Vec<_>>()[..] else { bail!("not a frame: {line}") };
        let (api, _) = names.iter().find(|(_, known)| *known == name).with_context(|| format!("no API {name}"))?;
        let role = Role::of(role).with_context(|| format!("neither request nor response: {role}"))?;
        let kind = (*api, version.parse().with_context(|| format!("the version of {name}"))?, role);
        let _ = writeln!(lines.entry(kind).or_default(), "{line}");
    }
    Ok(lines)
}

fn holds(frame: &[u8], secret: &[u8]) -> bool {
    frame.windows(secret.len()).any(|window| window == secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sizes: &[usize]) -> Vec<usize> {
        let mut collection = Collection::default();
        for &size in sizes {
            collection.add(Frame { api: 3, version: 9, role: Role::Request, bytes: vec![7; size] });
        }
        let lines = collection.lines(&BTreeMap::from([(3, "Metadata".to_owned())]), "").unwrap();
        lines.lines().map(|line| line.strip_prefix("Metadata 9 request ").unwrap().len() / 2).collect()
    }

    #[test]
    fn the_smallest_and_the_largest_are_kept() {
        assert_eq!(kept(&[30, 20, 40, 10, 35]), [10, 40]);
        assert_eq!(kept(&[20, 20]), [20]);
        assert_eq!(kept(&[20, LARGE_BYTES, 30]), [20, 30]);
        assert_eq!(kept(&[LARGE_BYTES]), [LARGE_BYTES], "the only one that there is");
        assert_eq!(kept(&[FRAME_BYTES_MAX + 1, LARGE_BYTES, 5]), [5]);
    }

    #[test]
    fn what_a_file_has_stays_and_only_another_kind_is_added() {
        let mut collection = Collection::default();
        for version in [8, 9] {
            collection.add(Frame { api: 3, version, role: Role::Response, bytes: vec![7] });
        }
        let names = BTreeMap::from([(3, "Metadata".to_owned())]);
        let file = "# by hand\n\nMetadata 9 response 0102\nMetadata 9 response 03\nMetadata 7 request 04\n";
        let lines = "Metadata 7 request 04\nMetadata 8 response 07\nMetadata 9 response 0102\nMetadata 9 response 03\n";
        assert_eq!(collection.lines(&names, file).unwrap(), lines);
        assert!(collection.lines(&names, "Fetch 1 request 00").is_err());
    }

    #[test]
    fn a_frame_that_tells_of_the_machine_is_found() {
        let mut collection = Collection::default();
        collection.add(Frame { api: 35, version: 4, role: Role::Response, bytes: b"..nest..".to_vec() });
        assert!(collection.check_tells_none_of(&["nest".to_owned()]).is_err());
        assert!(collection.check_tells_none_of(&["tower".to_owned(), String::new()]).is_ok());
    }
}

//! Judges what the dump tool prints. It knows the tool's words, not the files.

use std::collections::{BTreeMap, BTreeSet};

use super::super::clients::CODECS;

/// Follows one run of the tool, line by line.
pub(super) struct Judge {
    missing: BTreeSet<String>,
    is_decoding: bool,
    file: String,
    /// The base offset of the file that "Non-consecutive offsets" was last said of.
    gap_base: Option<u64>,
    gap: Option<String>,
    /// By topic that is named after a codec.
    uses_codec: BTreeMap<String, bool>,
    complaints: Vec<String>,
}

impl Judge {
    /// `files` are those that the tool was given; `is_decoding` when it decodes the records of an internal topic.
    pub(super) fn new(files: impl Iterator<Item = String>, is_decoding: bool) -> Judge {
        Judge {
            missing: files.collect(),
            is_decoding,
            file: String::new(),
            gap_base: None,
            gap: None,
            uses_codec: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }

    /// A line of standard output.
    pub(super) fn printed(&mut self, line: &str) {
        if let Some(file) = line.strip_prefix("Dumping ") {
            file.clone_into(&mut self.file);
            self.missing.remove(file);
        } else if line.starts_with("baseOffset: ") {
            self.batch(line);
        } else if line.starts_with("Found ") && line.contains(" invalid bytes at the end of ") || self.is_unknown(line)
        {
            self.complain(line);
        }
    }

    fn is_unknown(&self, line: &str) -> bool {
        self.is_decoding && line.starts_with("| offset: ") && UNKNOWN.iter().any(|words| line.contains(words))
    }

    fn batch(&mut self, line: &str) {
        if !line.ends_with(" isvalid: true") {
            self.complain(line);
        }
        let told = CODECS.iter().find(|codec| line.contains(&format!(" compresscodec: {codec} ")));
        if let (Some((topic, codec)), Some(told)) = (topic_of_codec(&self.file), told) {
            let is_used = self.uses_codec.entry(topic.to_owned()).or_default();
            *is_used |= codec == *told;
            // A client leaves a batch as it is when it would not become smaller.
            if codec != *told && *told != "none" {
                self.complain(&format!("not with {codec}: {line}"));
            }
        }
    }

    /// A line of standard error.
    pub(super) fn complained(&mut self, line: &str) {
        if let Some(file) = line.strip_prefix("Non-consecutive offsets in ") {
            let name = file.rsplit('/').next().unwrap_or_default();
            self.gap_base = name.trim_end_matches(".log").trim_end_matches(".checkpoint").parse().ok();
            self.gap = Some(line.to_owned());
            return;
        }
        if let Some(after) = line.strip_prefix("  -1 is followed by ")
            && after.parse().ok() == self.gap_base
        {
            // The tool takes every segment to begin with offset 0.
            return;
        }
        if !line.trim().is_empty() && !line.starts_with("SLF4J") {
            if let Some(gap) = self.gap.take() {
                self.complaints.push(gap);
            }
            self.complaints.push(line.to_owned());
        }
    }

    fn complain(&mut self, line: &str) {
        let line: String = line.chars().take(300).collect();
        self.complaints.push(format!("{}: {line}", self.file));
    }

    /// All complaints; none means that the files are good.
    pub(super) fn verdict(mut self) -> Vec<String> {
        let unused = self.uses_codec.iter().filter(|(_, is_used)| !**is_used);
        self.complaints
            .extend(unused.map(|(topic, _)| format!("{topic}: no batch has the codec that it is named after")));
        self.complaints.extend(self.missing.iter().map(|file| format!("{file}: the tool did not come to it")));
        self.complaints
    }
}

/// The topic of a file, and the codec when that is the last word of the topic's name.
fn topic_of_codec(file: &str) -> Option<(&str, &str)> {
    let (topic, _partition) = file.split('/').next()?.rsplit_once('-')?;
    let (_, codec) = topic.rsplit_once('-')?;
    CODECS.contains(&codec).then_some((topic, codec))
}

const UNKNOWN: &[&str] = &[" key: Unknown record type ", " key: Error at offset ", " payload: Error at "];

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: &str =
        "baseOffset: 0 lastOffset: 9 count: 10 size: 80 magic: 2 compresscodec: zstd crc: 1 isvalid: true";

    fn verdict(printed: &[&str], complained: &[&str]) -> Vec<String> {
        let mut judge = Judge::new(["t-zstd-0/00000000000000000007.log".to_owned()].into_iter(), true);
        printed.iter().for_each(|line| judge.printed(line));
        complained.iter().for_each(|line| judge.complained(line));
        judge.verdict()
    }

    #[test]
    fn valid_batches_of_the_right_codec_are_no_complaint() {
        let seen = "Dumping t-zstd-0/00000000000000000007.log";
        assert!(verdict(&[seen, BATCH], &["SLF4J: a word"]).is_empty());
        assert_eq!(verdict(&[seen, &BATCH.replace("true", "false")], &[]).len(), 1);
        assert_eq!(verdict(&[seen, BATCH, &BATCH.replace("zstd", "gzip")], &[]).len(), 1);
        assert!(verdict(&[seen, BATCH, &BATCH.replace("zstd", "none")], &[]).is_empty());
        assert_eq!(verdict(&[seen, &BATCH.replace("zstd", "none")], &[]).len(), 1);
        assert_eq!(verdict(&[seen, "Found 3 invalid bytes at the end of 00.log"], &[]).len(), 1);
        assert_eq!(verdict(&[seen, "| offset: 3 key: Unknown record type 99 at offset 3, skipping."], &[]).len(), 1);
        assert_eq!(verdict(&[seen, "| offset: 3 payload: Error at 3, skipping. x"], &[]).len(), 1);
        assert_eq!(verdict(&[], &[]), ["t-zstd-0/00000000000000000007.log: the tool did not come to it"]);
    }

    #[test]
    fn a_segment_may_begin_at_its_base_but_not_have_a_gap() {
        let seen = &["Dumping t-zstd-0/00000000000000000007.log"];
        let said = "Non-consecutive offsets in /x/t-zstd-0/00000000000000000007.log";
        assert!(verdict(seen, &[said, "  -1 is followed by 7"]).is_empty());
        assert_eq!(verdict(seen, &[said, "  -1 is followed by 8"]).len(), 2);
        assert_eq!(verdict(seen, &[said, "  -1 is followed by 7", "  9 is followed by 11"]).len(), 2);
    }
}

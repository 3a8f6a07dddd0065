//! What a bomb costs in resident memory. A process of its own, for nothing else may run beside it.
#![allow(clippy::unwrap_used, reason = "all of this is tests")]

use bytes::Bytes;
use dohle_records::batch::decode::Malformed;
use dohle_records::batch::encode::{Builder, Entry, Settings};
use dohle_records::batch::validate::{self, Rules};
use dohle_records::{Batch, Budget, Codec, Compression};

/// What unpacked bytes a bomb holds.
const BOMB_BYTES: usize = 100 << 20;
/// What the whole process may take while it looks through one: itself, the packed bomb, a codec's context and window, a
/// chunk, and what the allocator keeps.
const RESIDENT_KIB_MAX: usize = 24 << 10;

fn bomb(codec: Codec) -> Bytes {
    let value = vec![0; BOMB_BYTES];
    let mut builder = Builder::new(Settings { compression: Compression::of(codec), ..Settings::default() });
    builder.append(&Entry { value: Some(&value), ..Entry::default() }).unwrap();
    Bytes::copy_from_slice(builder.finish().bytes())
}

/// The most that has been resident so far.
fn resident_kib_max() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Forgets the largest so far; false where the system has no such thing.
fn forget_resident_max() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[test]
fn looking_through_a_bomb_takes_little_memory() {
    for codec in &Codec::ALL[1..] {
        let batch = Batch::first(&bomb(*codec)).unwrap().unwrap();
        if !forget_resident_max() {
            return;
        }
        let rules = Rules { keys: false, times: None, budget: Budget::default() };
        validate::validate(&batch, &rules).unwrap();
        let small = Rules { budget: Budget { batch_bytes_max: 1 << 20, ..Budget::default() }, ..rules };
        let refusal = validate::validate(&batch, &small).unwrap_err();
        assert_eq!(refusal, Malformed::OverBudget(1 << 20).into());
        let Some(resident) = resident_kib_max() else { return };
        println!("{codec}: {} bytes, {BOMB_BYTES} unpacked, {resident} KiB resident", batch.bytes().len());
        assert!(resident <= RESIDENT_KIB_MAX, "{codec}: {resident} KiB");
    }
}

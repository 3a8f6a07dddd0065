//! What a broker's disk will do wrong soon.
//!
//! Owns the faults that wait for the next write or sync, and whether a start of the machine is due after them.

use std::io;

use dohle_base::Rng;
use dohle_log::disk::{self, Memory};

use crate::weather::Fault;

/// How many operations a power cut lets pass at most before it comes.
const OPERATIONS_BEFORE_CUT: u64 = 20;

/// The faults that wait.
#[derive(Debug, Default)]
pub(crate) struct Spoiled {
    next_write: Option<disk::Fault>,
    next_sync: Option<disk::Fault>,
    reboot: bool,
}

impl Spoiled {
    /// Lets the disk do something wrong soon; false where the fault is none of a disk.
    pub(crate) fn ask(&mut self, fault: Fault, disk: &Memory, rng: &mut Rng) -> bool {
        match fault {
            Fault::PowerCutInOperation => {
                disk.fail(disk.operations() + 1 + rng.below(OPERATIONS_BEFORE_CUT), disk::Fault::Crash);
                self.reboot = true;
            }
            Fault::SyncError => {
                self.next_sync = Some(disk::Fault::Error(io::ErrorKind::Other));
                self.reboot = true;
            }
            Fault::WriteError => {
                self.next_write = Some(disk::Fault::Error(io::ErrorKind::Other));
                self.reboot = true;
            }
            Fault::ShortWrite => self.next_write = Some(disk::Fault::Short),
            _ => return false,
        }
        true
    }

    /// The disk is about to write.
    pub(crate) fn before_write(&mut self, disk: &Memory) {
        if let Some(fault) = self.next_write.take() {
            disk.fail(disk.operations() + 1, fault);
        }
    }

    /// The disk is about to sync.
    pub(crate) fn before_sync(&mut self, disk: &Memory) {
        if let Some(fault) = self.next_sync.take() {
            disk.fail(disk.operations() + 1, fault);
        }
    }

    /// Whether the process alone cannot make good what its disk did: what the disk has lost is still in memory, and
    /// only a start of the machine shows what is really there.
    pub(crate) fn must_reboot(&self) -> bool {
        self.reboot
    }
}

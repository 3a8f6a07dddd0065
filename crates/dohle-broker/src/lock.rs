//! Taking a lock. Owns the one decision about a thread that died while it held one: nobody goes on with what it left behind.

use std::sync::{LockResult, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::vital;

/// Takes a short lock: nothing below it may wait, sync, create, delete or scan.
pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    whole(mutex.lock())
}

/// Takes a lock that is held while a disk is waited for: only threads that may wait for the disk come here, never a core's.
pub(crate) fn hold_over_disk<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    whole(mutex.lock())
}

/// Reads beside other readers while a disk is waited for: only threads that may wait for the disk come here.
pub(crate) fn read_over_disk<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    whole(lock.read())
}

/// Writes alone while a disk is waited for: only threads that may wait for the disk come here.
pub(crate) fn write_over_disk<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    whole(lock.write())
}

/// Reads beside other readers.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    whole(lock.read())
}

/// Writes alone.
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    whole(lock.write())
}

fn whole<G>(taken: LockResult<G>) -> G {
    taken.unwrap_or_else(|_| vital::end("a law was broken under a lock"))
}

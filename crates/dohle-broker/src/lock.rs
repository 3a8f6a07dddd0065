//! Taking a lock. Owns the one decision about a thread that died while it held one.

use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

const LAW: &str = "a law was broken under this lock: nobody goes on with what is left behind";

/// Takes a short lock: nothing below it may wait, sync, create, delete or scan.
pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(LAW)
}

/// Reads beside other readers.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().expect(LAW)
}

/// Writes alone.
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().expect(LAW)
}

//! What other threads tell the driver, and how they wake it without a system call when it is
//! awake anyway.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages for the driver, in the order in which they came.
pub(crate) struct Mailbox<T> {
    messages: Mutex<Vec<T>>,
    /// The driver is about to sleep or sleeps: whoever posts must wake it.
    sleeping: AtomicBool,
    waker: mio::Waker,
}

/// A lock whose holder panicked still guards plain data that is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Mailbox<T> {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self { messages: Mutex::new(Vec::new()), sleeping: AtomicBool::new(false), waker }
    }

    /// Leaves a message, and wakes the driver if it sleeps.
    pub(crate) fn post(&self, message: T) {
        lock(&self.messages).push(message);
        // Sequentially consistent, as in `prepare_to_sleep`: either we see that it sleeps, or it
        // sees our message.
        if self.sleeping.swap(false, Ordering::SeqCst)
            && let Err(err) = self.waker.wake()
        {
            tracing::error!(%err, "cannot wake the driver");
        }
    }

    /// Announces that the driver is about to sleep; false if there is a message already.
    pub(crate) fn prepare_to_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        lock(&self.messages).is_empty()
    }

    /// The driver is awake.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }

    /// Takes all messages; `into` is empty and lends its memory.
    pub(crate) fn take(&self, into: &mut Vec<T>) {
        std::mem::swap(&mut *lock(&self.messages), into);
    }
}

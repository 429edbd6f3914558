//! A place where the code under test waits until the test lets it go on.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Whoever comes waits; the test hears of it and opens. Clones are the same gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self { reached: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Ends when somebody waits at the gate.
    pub(crate) async fn reached(&self) {
        self.reached.acquire().await.expect("never closed").forget();
    }

    /// Lets everybody through from now on.
    pub(crate) fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Comes to the gate and waits.
    pub(super) async fn pass(&self) {
        self.reached.add_permits(1);
        drop(self.open.acquire().await.expect("never closed"));
    }
}

//! Work that was begun before anybody waits for it.

use tokio::task::JoinHandle;

/// Ends with whoever has it.
#[derive(Debug)]
pub(super) struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Send + 'static> Task<T> {
    pub fn begin(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// None when it did not come to its end.
    pub async fn done(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

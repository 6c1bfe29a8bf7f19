//! What a source has of the gateway around it.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use super::report::{Board, Outcomes};
use super::{Found, Source};

/// One source's way to the manager and back.
#[derive(Clone)]
pub struct SourceContext {
    /// Where the whole set goes each time that the source was asked, changed or not.
    pub found: mpsc::Sender<Found>,
    /// Who we are; a change is a reason to ask at once.
    pub identity: watch::Receiver<Arc<Identity>>,
    /// What became of all configurations, of other sources too.
    pub outcomes: watch::Receiver<Outcomes>,
    /// The gateway stops.
    pub stop: CancellationToken,
    pub(crate) board: Arc<Board>,
}

impl SourceContext {
    /// The source cannot be asked: nothing is sent, and this is told. The error names who was asked and why it failed.
    pub fn failed(&self, source: Source, error: &str) {
        if self.board.failed(source, error) {
            tracing::warn!(
                "{}: {error}; what they said last stands, and they are asked again",
                source.words()
            );
        }
    }

    /// Something of the source is not as it should be, though it says what is wanted; `None`: all is well.
    pub fn warned(&self, source: Source, warning: Option<&str>) {
        if self.board.warned(source, warning)
            && let Some(warning) = warning
        {
            tracing::warn!("{}: {warning}", source.words());
        }
    }
}

/// Resolves when we are somebody else; never where nobody can tell any more.
pub(super) async fn changed(identity: &mut watch::Receiver<Arc<Identity>>) {
    if identity.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

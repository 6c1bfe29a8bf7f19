//! Cutting what was read into complete messages: MessagePack objects, or JSON texts turned into such objects.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Session, SessionError};
use crate::input::forward::json::{self, Framer};

/// Complete messages: their bytes, and for each where it ends and where its body ends (0: not known).
type Messages = (Bytes, Vec<(usize, usize)>);

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    /// Takes all complete messages off the buffer. What stands before a fault is given with it.
    pub(super) async fn cut(&mut self) -> Result<(Messages, Result<(), SessionError>), SessionError> {
        match self.json.take() {
            None => Ok(self.cut_objects()),
            Some(mut framer) => {
                let (messages, cut) = self.cut_texts(&mut framer);
                self.json = Some(framer);
                // What was made counts as if it had been read.
                let (budget, grant) = (&self.forward.intake.budget, &mut self.reader.grant);
                self.window.beside(budget.extend(grant, messages.0.len())).await?;
                Ok((messages, cut))
            }
        }
    }

    fn cut_objects(&mut self) -> (Messages, Result<(), SessionError>) {
        let mut end = 0;
        let mut ends = Vec::new();
        let cut = loop {
            match self.scanner.scan(&self.reader.unread()[end..]) {
                Ok(Some(len)) => {
                    end += len;
                    ends.push((end, self.scanner.body_end()));
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        let region = if end > 0 { self.reader.take(end) } else { Bytes::new() };
        ((region, ends), cut)
    }

    fn cut_texts(&mut self, framer: &mut Framer) -> (Messages, Result<(), SessionError>) {
        let limits = self.forward.scan_limits();
        let (mut made, mut ends, mut end) = (Vec::new(), Vec::new(), 0);
        let cut = loop {
            let unread = &self.reader.unread()[end..];
            let cut = match framer.scan(unread) {
                Ok(Some(cut)) => cut,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            };
            if cut.start < cut.end {
                let before = made.len();
                if let Err(error) = json::transcode(&unread[cut.start..cut.end], limits, &mut made) {
                    made.truncate(before);
                    break Err(error.into());
                }
                ends.push((made.len(), 0));
            }
            end += cut.end;
        };
        drop(self.reader.take(end));
        ((Bytes::from(made), ends), cut)
    }
}

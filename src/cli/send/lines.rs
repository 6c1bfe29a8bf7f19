//! Lines of standard input, read beside: a pipe that pauses must not hold back what came before, and one that never
//! pauses must not fill the memory. At most a few pieces and one line are held.

use std::io::{self, Read};

use bytes::{Buf, BytesMut};
use tokio::sync::mpsc::{Receiver, channel};

/// A longer line comes in pieces, each below what Log Service takes as a value.
pub(super) const LINE_BYTES: usize = 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// Reads that wait for their lines to be sent.
const READS: usize = 4;

pub(super) struct Line {
    /// Without its line break.
    pub(super) text: BytesMut,
    /// It is a piece, and more of its line follows.
    pub(super) cut: bool,
}

pub(super) struct Lines {
    reads: Receiver<io::Result<Vec<u8>>>,
    buffer: BytesMut,
    /// So many bytes of the buffer hold no line break.
    searched: usize,
}

impl Lines {
    /// Starts a thread that reads. It ends with its source, or after the read that follows the end of `Lines`.
    pub(super) fn of(mut source: impl Read + Send + 'static) -> Lines {
        let (sender, reads) = channel(READS);
        std::thread::spawn(move || {
            loop {
                let mut block = vec![0; READ_BYTES];
                let read = match source.read(&mut block) {
                    Ok(0) => return,
                    Ok(read) => {
                        block.truncate(read);
                        Ok(block)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = read.is_err();
                if sender.blocking_send(read).is_err() || failed {
                    return;
                }
            }
        });
        Lines { reads, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line; `None` at the end. The last one may lack its line break. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            match self.reads.recv().await {
                Some(read) => self.buffer.extend_from_slice(&read?),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(Line { text: self.buffer.split(), cut: false }));
                }
            }
        }
    }

    fn take(&mut self) -> Option<Line> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let end = memchr::memchr(b'\n', unsearched).map(|at| self.searched + at);
        match end {
            Some(end) if end <= LINE_BYTES => {
                self.searched = 0;
                let mut text = self.buffer.split_to(end);
                self.buffer.advance(1);
                if text.ends_with(b"\r") {
                    text.truncate(end - 1);
                }
                Some(Line { text, cut: false })
            }
            _ if self.buffer.len() > LINE_BYTES => {
                self.searched = 0;
                Some(Line { text: self.buffer.split_to(LINE_BYTES), cut: true })
            }
            _ => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &[u8]) -> Vec<(usize, String, bool)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut lines = Lines::of(io::Cursor::new(source.to_vec()));
            let mut found = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                let start = String::from_utf8_lossy(&line.text[..line.text.len().min(8)]).into_owned();
                found.push((line.text.len(), start, line.cut));
            }
            found
        })
    }

    #[test]
    fn lines_end_with_their_breaks_and_the_last_with_the_input() {
        let found = lines(b"one\r\n\ntwo\nlast");
        let texts: Vec<&str> = found.iter().map(|(_, text, _)| text.as_str()).collect();
        assert_eq!(texts, ["one", "", "two", "last"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let long = vec![b'x'; 2 * LINE_BYTES + 5];
        let found = lines(&[&long[..], b"\nnext\n"].concat());
        let sizes: Vec<_> = found.iter().map(|(length, _, cut)| (*length, *cut)).collect();
        assert_eq!(sizes, [(LINE_BYTES, true), (LINE_BYTES, true), (5, false), (4, false)]);
        let exact = vec![b'x'; LINE_BYTES];
        assert_eq!(lines(&[&exact[..], b"\n"].concat()).len(), 1);
    }
}

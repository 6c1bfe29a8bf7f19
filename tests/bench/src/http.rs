//! As much HTTP/1.1 as the sink and the polling of metrics need: messages with a Content-Length, nothing chunked.

use std::{
    error::Error,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const HEAD_BYTES: usize = 64 * 1024;

/// Start line and headers of one message.
pub struct Head {
    text: String,
}

impl Head {
    pub fn start_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn content_length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }
}

/// Messages of one connection, one after the other.
pub struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl<R: Read> Reader<R> {
    pub fn new(source: R) -> Reader<R> {
        Reader { source, buffer: vec![0; 2 * HEAD_BYTES], from: 0, to: 0 }
    }

    /// The next head; `None` when the peer closed between two messages.
    pub fn head(&mut self) -> std::io::Result<Option<Head>> {
        loop {
            let seen = &self.buffer[self.from..self.to];
            if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&seen[..end]).into_owned();
                self.from += end + 4;
                return Ok(Some(Head { text }));
            }
            if seen.len() >= HEAD_BYTES {
                return Err(std::io::Error::other("head of an HTTP message is too long"));
            }
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            match self.source.read(&mut self.buffer[self.to..])? {
                0 if self.to == 0 => return Ok(None),
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => self.to += count,
            }
        }
    }

    /// Reads exactly `len` bytes of a body to the end of `out`.
    pub fn body(&mut self, len: usize, out: &mut Vec<u8>) -> std::io::Result<()> {
        let here = len.min(self.to - self.from);
        out.extend_from_slice(&self.buffer[self.from..self.from + here]);
        self.from += here;
        let rest = (len - here) as u64;
        if rest > 0 && self.source.by_ref().take(rest).read_to_end(out)? as u64 != rest {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// GET over a connection of its own (HTTP/1.0, so that the answer ends with the connection): status and body.
pub fn get(from: SocketAddr, path: &str, patience: Duration) -> Result<(u16, String), Box<dyn Error>> {
    let mut socket = TcpStream::connect_timeout(&from, patience)?;
    socket.set_read_timeout(Some(patience))?;
    socket.write_all(format!("GET {path} HTTP/1.0\r\nHost: {from}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).ok_or("no HTTP status")?;
    Ok((status, body.to_owned()))
}

/// The sum of all series of one metric in Prometheus text; `None` when there is none.
pub fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with([' ', '{']) {
                return None;
            }
            // A label value may hold blanks, so the value is what follows the labels.
            let value = rest.rsplit_once('}').map_or(rest, |(_, value)| value);
            value.split_whitespace().next()?.parse::<f64>().ok()
        })
        .reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_the_sum_of_its_series() {
        let text = "# TYPE a counter\na{x=\"1 }\"} 3\na{x=\"2\"} 4 1700000000\na_total 100\nb 2.5\n";
        assert_eq!(metric(text, "a"), Some(7.0));
        assert_eq!(metric(text, "b"), Some(2.5));
        assert_eq!(metric(text, "c"), None);
    }

    #[test]
    fn messages_are_read_one_after_the_other() {
        let bytes: &[u8] = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n";
        let mut reader = Reader::new(bytes);
        let head = reader.head().unwrap().unwrap();
        assert_eq!((head.start_line(), head.content_length()), ("POST /a HTTP/1.1", Some(3)));
        let mut body = Vec::new();
        reader.body(3, &mut body).unwrap();
        assert_eq!(body, b"abc");
        assert_eq!(reader.head().unwrap().unwrap().start_line(), "GET /b HTTP/1.1");
        assert!(reader.head().unwrap().is_none());
    }
}

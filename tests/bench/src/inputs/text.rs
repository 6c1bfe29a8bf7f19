//! What applications write into files: lines of 512 bytes in five formats, each with the number of its record at its end.
//!
//! ```text
//! file-lines       text
//! file-multiline   2026-11-23 10:00:00.123 ERROR text LF  TAB at frame LF ... TAB at frame and number       4 lines to a record
//! file-nginx       10.0.0.7 - - [23/Nov/2026:10:00:00 +0000] "GET /api/v2/... HTTP/1.1" 200 512 "https://..." "text"
//! file-json        {"time":"...","level":"INFO","thread":"...","status":200,"took":1234,"log":"text"}
//! file-delimiter   2026-11-23 10:00:00|INFO|thread|class|method|path|200|1234|trace|text
//! ```

use std::io::{self, Write};

use super::kind::Kind;
use crate::records::Line;

/// Bytes of a line with its line feed.
pub const LINE_BYTES: usize = 512;
/// Lines of a multi-line record.
pub const STACK: usize = 4;

const FILLER: &str = "the order was placed and waits for its payment, stock is reserved until the customer confirms or the \
reservation ends; retries go to another replica after a back-off with jitter, and the circuit opens when half of them fail; ";

/// The format of an nginx.conf that writes these lines.
pub const LOG_FORMAT: &str =
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$log""#;

/// The columns of file-delimiter.
pub const COLUMNS: &str = "time level thread class method path status took trace log";

/// Writes one record.
pub fn write(kind: Kind, line: &Line, time: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let from = out.len();
    let took = line.nanoseconds % 90_000;
    let (day, clock) = time.split_at(10);
    let clock = clock.trim_start_matches('T');
    match kind {
        Kind::FileMultiline => {
            write!(out, "{day} {clock}.{:03} ERROR ", line.nanoseconds / 1_000_000)?;
            pad(out, from, LINE_BYTES - 1, line.number);
            out.push(b'\n');
            for frame in 1..STACK {
                let from = out.len();
                write!(
                    out,
                    "\tat com.example.shop.orders.Handler{frame}.apply(Handler{frame}.java:{took}) "
                )?;
                if frame + 1 < STACK {
                    pad(out, from, LINE_BYTES - 1, line.number);
                    out.push(b'\n');
                } else {
                    end(out, from, line, "");
                }
            }
        }
        Kind::FileNginx => {
            write!(
                out,
                "10.0.{}.{} - - [23/Nov/2026:{clock} +0000] \"GET /api/v2/orders/{took}?page=1 HTTP/1.1\" 200 {took} \
                 \"https://shop.example/basket\" \"",
                took % 256,
                took % 251
            )?;
            end(out, from, line, "\"");
        }
        Kind::FileJson => {
            write!(
                out,
                "{{\"time\":\"{time}Z\",\"level\":\"INFO\",\"thread\":\"http-exec-7\",\"status\":200,\"took\":{took},\
                 \"log\":\""
            )?;
            end(out, from, line, "\"}");
        }
        Kind::FileDelimiter => {
            write!(
                out,
                "{day} {clock}|INFO|http-exec-7|c.e.shop.orders.OrderController|GET|/api/v2/orders/{took}|200|{took}|\
                 {:016x}|",
                line.number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )?;
            end(out, from, line, "");
        }
        _ => end(out, from, line, ""),
    }
    Ok(())
}

/// The text with its number, and what stands behind it, at the end of the line that began at `from`.
fn end(out: &mut Vec<u8>, from: usize, line: &Line, behind: &str) {
    let room = LINE_BYTES - 1 - behind.len();
    let text = line.text.len().min(room - (out.len() - from));
    pad(out, from, room - text, line.number);
    out.extend_from_slice(&line.text[line.text.len() - text..]);
    out.extend_from_slice(behind.as_bytes());
    out.push(b'\n');
}

/// Fills a line that began at `from` up to `len` bytes.
fn pad(out: &mut Vec<u8>, from: usize, len: usize, number: u64) {
    let skip = (number as usize * 37) % FILLER.len();
    let missing = (from + len).saturating_sub(out.len());
    out.extend(FILLER.bytes().cycle().skip(skip).take(missing));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Stream, number_of};

    #[test]
    fn lines_have_their_length_and_records_their_number() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_text_file()) {
            let (mut line, mut out) = (Line::default(), Vec::new());
            for mut stream in Stream::all(100, 1, 1, 1_795_388_230) {
                while stream.advance(&mut line) {
                    let from = out.len();
                    write(kind, &line, "2026-11-22T22:57:10", &mut out).unwrap();
                    let record = out[from..].trim_ascii_end();
                    let text = record.strip_suffix(b"\"}").unwrap_or(record);
                    let text = text.strip_suffix(b"\"").unwrap_or(text);
                    assert_eq!(number_of(text), Some(line.number), "{kind:?}");
                }
            }
            assert!(
                out.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() == LINE_BYTES),
                "{kind:?}"
            );
        }
    }
}

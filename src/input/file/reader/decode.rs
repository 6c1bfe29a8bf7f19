//! What a reader makes of the bytes that it read: lines, or a container runtime's pieces, into the sink's batch.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;

use super::super::cut::{self, More, cri};
use super::{Format, Reader};
use crate::input::batcher::Batcher;
use crate::input::docker::json_lines;
use crate::input::follow::Chain;
use crate::input::follow::decoding::Decoding;
use crate::input::follow::marks::Marks;
use crate::input::follow::pieces::{LineKey, Piece};
use crate::input::follow::stream::Stream;
use crate::input::follow::tally::Tally;
use crate::record::{Span, Timestamp};

/// When bytes are decoded, and what is known of those to come.
#[derive(Clone, Copy)]
struct Moment {
    more: More,
    now: Instant,
    received: Timestamp,
}

impl Decoding for Reader {
    fn chain(&mut self) -> &mut Chain {
        &mut self.chain
    }

    fn batcher(&mut self) -> &mut Batcher {
        &mut self.sink.batcher
    }

    fn tally(&self) -> &Tally {
        &self.shared.tally.read
    }

    fn laid_out(&self) -> usize {
        self.sink.laid_out
    }

    fn commit(&mut self, done: usize, silent: usize) {
        Reader::commit(self, done, silent);
    }
}

impl Reader {
    /// Ends the lines that have waited too long at `now`, or all, as they are.
    pub(super) fn end_lines(&mut self, now: Option<Instant>) {
        let mut ended = false;
        for stream in [Stream::Stdout, Stream::Stderr] {
            if now.is_none_or(|now| self.pieces.is_overdue(stream, now)) {
                ended |= self.end_line(stream);
            }
        }
        if ended {
            self.commit(0, 0);
        }
    }

    /// What waits of this output is all there is; whether something did.
    fn end_line(&mut self, stream: Stream) -> bool {
        self.take_line(stream, false)
    }

    fn take_line(&mut self, stream: Stream, whole: bool) -> bool {
        let offset = self.pieces.starts()[stream as usize].map_or(0, |start| start.offset);
        match self.pieces.take(stream, whole) {
            Some(line) => {
                self.sink.line(&line, offset, stream);
                true
            }
            None => false,
        }
    }

    pub(super) fn decode(&mut self, more: More, now: Instant) {
        let moment = Moment { more, now, received: Timestamp::now() };
        self.decode_with(|reader, frame, from| match reader.format {
            Format::Lines(_) => reader.line(frame, from, moment),
            Format::Json => reader.json_line(frame, from, moment),
            Format::Cri => reader.cri_line(frame, from, moment),
            Format::Unknown => reader.tell_format(frame, from),
        });
    }

    /// Cuts the record at `from`; gives its end, or nothing when it is not all there.
    fn line(&mut self, frame: &Bytes, from: usize, moment: Moment) -> Option<usize> {
        let Format::Lines(cutter) = &mut self.format else { return None };
        let tally = &self.shared.tally;
        match cutter.next(frame, from, moment.more) {
            cut::Next::Wait => None,
            cut::Next::Skip { next, dropped } => {
                match dropped {
                    0 => tally.read.skipped.increment((next - from) as u64),
                    lines => tally.dropped.increment(lines),
                }
                Some(next)
            }
            cut::Next::Record { text, next, cut } => {
                let offset = self.chain.at(text.start).offset;
                let text = cutter.text(self.sink.batch(), text);
                let marks = Marks { is_cut: cut, is_partial: false };
                self.sink.record(text, offset, None, moment.received, marks);
                Some(next)
            }
        }
    }

    /// Decides by the first byte of a content that is one of two formats.
    fn tell_format(&mut self, frame: &[u8], from: usize) -> Option<usize> {
        self.format = if frame.get(from) == Some(&b'{') { Format::Json } else { Format::Cri };
        Some(from)
    }

    fn json_line(&mut self, frame: &Bytes, from: usize, moment: Moment) -> Option<usize> {
        let Moment { now, received, .. } = moment;
        let ended = matches!(moment.more, More::Never);
        match json_lines::next(&mut self.sink.batcher.batch, frame, &mut self.times, from, ended) {
            json_lines::Next::Wait => None,
            json_lines::Next::Nothing(end) => self.nothing(from, end),
            json_lines::Next::Malformed(text, end) => self.malformed(text, from, end, received),
            json_lines::Next::Line(line, end) => {
                if self.is_stored(line.stream, from) {
                    return Some(end);
                }
                let time = line.time.unwrap_or(received);
                match line.stream.filter(|_| self.pieces.is_on()) {
                    Some(stream) => {
                        let key = LineKey { time, id: 0 };
                        if self.pieces.is_other(stream, key) {
                            self.end_line(stream);
                        }
                        self.piece(from, stream, line.text, key, line.ends, now);
                    }
                    None => self.whole(line.text, from, line.stream, time),
                }
                Some(end)
            }
        }
    }

    fn cri_line(&mut self, frame: &Bytes, from: usize, moment: Moment) -> Option<usize> {
        let Moment { now, received, .. } = moment;
        let ended = matches!(moment.more, More::Never);
        match cri::next(frame, from, ended, &mut self.times) {
            cri::Next::Wait => None,
            cri::Next::Nothing(end) => self.nothing(from, end),
            cri::Next::Malformed(text, end) => self.malformed(span(text), from, end, received),
            cri::Next::Line(line, end) => {
                if self.is_stored(line.stream, from) {
                    return Some(end);
                }
                let (time, text) = (line.time.unwrap_or(received), span(line.text));
                match line.stream.filter(|_| self.pieces.is_on()) {
                    // Each piece has its own time; the line gets its first one's.
                    Some(stream) => {
                        self.piece(from, stream, text, LineKey { time, id: 0 }, line.is_full, now);
                    }
                    None => self.whole(text, from, line.stream, time),
                }
                Some(end)
            }
        }
    }

    fn nothing(&mut self, from: usize, end: usize) -> Option<usize> {
        self.shared.tally.read.skipped.increment((end - from) as u64);
        Some(end)
    }

    fn malformed(&mut self, text: Span, from: usize, end: usize, received: Timestamp) -> Option<usize> {
        if !self.is_stored(None, from) {
            self.shared.tally.read.malformed.increment(1);
            self.whole(text, from, None, received);
        }
        Some(end)
    }

    fn whole(&mut self, text: Span, from: usize, stream: Option<Stream>, time: Timestamp) {
        let offset = self.chain.at(from).offset;
        self.sink.record(text, offset, stream, time, Marks::default());
    }

    /// Takes a piece, or a whole line, which looks like a last piece.
    fn piece(&mut self, from: usize, stream: Stream, text: Span, key: LineKey, ends: bool, now: Instant) {
        if ends && !self.pieces.is_open(stream) {
            return self.whole(text, from, Some(stream), key.time);
        }
        let start = self.chain.point(from);
        let text = self.sink.batcher.batch.bytes(text);
        if self.pieces.add(stream, &Piece { text, key, ends, ordinal: 0 }, start, now) {
            self.shared.tally.read.joined.increment(u64::from(ends));
            self.take_line(stream, ends);
        }
    }

    /// Whether an earlier run stored what begins at `from`.
    fn is_stored(&mut self, stream: Option<Stream>, from: usize) -> bool {
        self.progress.is_stored(&self.chain, from, stream.map(|stream| stream as usize))
    }
}

fn span(range: Range<usize>) -> Span {
    Span::frame(range.start, range.len())
}

//! The records: what Docker's fluentd log driver sends for one container, seeded and unique.
//!
//! ```text
//! container_id    64 hex digits, constant per stream
//! container_name  "/" + name, constant per stream
//! source          stdout, one in sixteen stderr
//! log             about 200 bytes of service log, ends in " n=" and the record's number in the whole run
//! ```
//!
//! The four fields come in a random order, as Docker's do (it walks a Go map). The number at the end makes every text
//! unique and lets the sink tell which records arrived. The mix of constant and random text is chosen so that
//! LogGroups of 512 KiB shrink to about a quarter under LZ4, as service logs do.

use std::io::Write;

use crate::random::Random;

const LEVELS: [&str; 4] = ["INFO ", "INFO ", "DEBUG", "WARN "];
const CLASSES: [&str; 6] = [
    "c.e.shop.orders.OrderController",
    "c.e.shop.stock.StockRepository",
    "c.e.shop.payments.PaymentClient",
    "c.e.shop.search.SearchResource",
    "c.e.shop.users.SessionFilter",
    "c.e.shop.basket.BasketService",
];
const METHODS: [&str; 4] = ["GET", "GET", "POST", "PUT"];
const PATHS: [&str; 6] = [
    "orders",
    "products/search",
    "basket/items",
    "customers/addresses",
    "payments/intents",
    "sessions/refresh",
];
const NAMES: [&str; 8] = ["orders", "stock", "payments", "search", "users", "basket", "mailer", "edge"];

/// All records of one container, which is one connection of the load.
pub struct Stream {
    pub container_id: String,
    pub container_name: String,
    /// Docker's default tag: the first 12 digits of the id.
    pub tag: String,
    random: Random,
    next: u64,
    end: u64,
    base_seconds: u64,
}

/// One record; `text` is the buffer that `Stream::advance` fills again.
#[derive(Default)]
pub struct Line {
    pub number: u64,
    pub seconds: u32,
    pub nanoseconds: u32,
    pub text: Vec<u8>,
    stderr: bool,
    order: u64,
}

impl Stream {
    /// Cuts `records` into one stream per connection; the streams number their records without a gap.
    pub fn all(records: u64, connections: u64, seed: u64, base_seconds: u64) -> Vec<Stream> {
        let (each, rest) = (records / connections, records % connections);
        let mut first = 0;
        (0..connections)
            .map(|index| {
                let count = each + u64::from(index < rest);
                let stream = Stream::new(index, first, count, seed, base_seconds);
                first += count;
                stream
            })
            .collect()
    }

    fn new(index: u64, first: u64, count: u64, seed: u64, base_seconds: u64) -> Stream {
        let mut random = Random::new(seed ^ (index + 1).wrapping_mul(0x5851_f42d_4c95_7f2d));
        let container_id: String = (0..4).map(|_| format!("{:016x}", random.next())).collect();
        let container_name = format!("/shop-{}-{}", NAMES[index as usize % NAMES.len()], index + 1);
        let tag = container_id[..12].to_owned();
        Stream { container_id, container_name, tag, random, next: first, end: first + count, base_seconds }
    }

    pub fn remaining(&self) -> u64 {
        self.end - self.next
    }

    /// Puts the stream's next record into `line`; false when there is none.
    pub fn advance(&mut self, line: &mut Line) -> bool {
        if self.next == self.end {
            return false;
        }
        let random = &mut self.random;
        line.number = self.next;
        self.next += 1;
        // A thousand records of one stream to a second of log time.
        line.seconds = (self.base_seconds + line.number % 250_000 / 1_000) as u32;
        line.nanoseconds = (line.number % 1_000 * 1_000_000 + random.below(1_000_000)) as u32;
        line.stderr = random.below(16) == 0;
        line.order = random.next();
        let bits = random.next();
        line.text.clear();
        let _ = write!(
            line.text,
            "{:02}:{:02}:{:02}.{:03} {} [http-exec-{}] {} - {} /api/v2/{}/{} status={} took={}us \
             trace={:016x}{:016x} tenant=default region=eu n={:08}",
            line.seconds / 3_600 % 24,
            line.seconds / 60 % 60,
            line.seconds % 60,
            line.nanoseconds / 1_000_000,
            random.pick(&LEVELS),
            bits % 8 + 1,
            random.pick(&CLASSES),
            random.pick(&METHODS),
            random.pick(&PATHS),
            random.below(1_000_000),
            if bits.is_multiple_of(11) { 404 } else { 200 },
            random.below(90_000) + 150,
            bits,
            random.next(),
            line.number,
        );
        true
    }

    /// The record's fields in the order they are sent.
    pub fn fields<'a>(&'a self, line: &'a Line) -> [(&'static str, &'a [u8]); 4] {
        let mut fields = [
            ("container_id", self.container_id.as_bytes()),
            ("container_name", self.container_name.as_bytes()),
            ("source", line.source().as_bytes()),
            ("log", line.text.as_slice()),
        ];
        let mut order = line.order;
        for last in (1..4u64).rev() {
            fields.swap(last as usize, (order % (last + 1)) as usize);
            order /= last + 1;
        }
        fields
    }
}

impl Line {
    /// Which of the container's outputs it was written to.
    pub fn source(&self) -> &'static str {
        if self.stderr { "stderr" } else { "stdout" }
    }
}

/// The number at the end of a record's text.
pub fn number_of(text: &[u8]) -> Option<u64> {
    let at = text.len().checked_sub(11)?;
    let digits = text[at..].strip_prefix(b" n=")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn texts_are_unique_numbered_and_the_same_again() {
        let read = || {
            let mut texts = Vec::new();
            let mut line = Line::default();
            for mut stream in Stream::all(10_003, 4, 7, 1_700_000_000) {
                while stream.advance(&mut line) {
                    assert_eq!(number_of(&line.text), Some(line.number));
                    texts.push(line.text.clone());
                }
            }
            texts
        };
        let texts = read();
        assert_eq!(texts.len(), 10_003);
        assert_eq!(texts.iter().map(|t| &t[..t.len() - 11]).collect::<HashSet<_>>().len(), 10_003);
        assert_eq!(texts, read());
        let mean = texts.iter().map(Vec::len).sum::<usize>() / texts.len();
        assert!((190..=250).contains(&mean), "mean text {mean}");
    }
}

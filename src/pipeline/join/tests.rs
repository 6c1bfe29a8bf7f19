//! Joining of pieces that nothing marks: by their length alone.

use super::*;
use crate::pipeline::stream::Wish;
use crate::record::Timestamp;

const FULL: usize = 16 * 1024;

struct House {
    joiner: Joiner,
    settings: JoinSettings,
    origin: Origin,
    _dir: tempfile::TempDir,
}

fn house(marks: Marks) -> House {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(crate::journal::Options::new(dir.path())).unwrap();
    let joiner = Joiner::new(journal, HashMap::new());
    let settings = JoinSettings { marks, ..JoinSettings::default() };
    House { joiner, settings, origin: Origin::new("native", "192.0.2.1"), _dir: dir }
}

/// Container, source, millisecond, text.
type Given<'t> = (&'t str, &'t str, u32, &'t [u8]);

fn batch(records: &[Given<'_>]) -> Batch {
    let mut batch = Batch::default();
    batch.tag = batch.keep(b"docker");
    for (container, source, millis, text) in records {
        batch.begin(Timestamp::new(1_700_000_000, millis * 1_000_000));
        for (key, value) in
            [("log", *text), ("source", source.as_bytes()), ("container_id", container.as_bytes())]
        {
            let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value));
            batch.push(key, value);
        }
    }
    batch
}

fn texts(batch: &Batch) -> Vec<(String, usize)> {
    let text = |record| {
        let value = |key: &[u8]| batch.bytes(batch.value_of(record, key).unwrap());
        (String::from_utf8_lossy(value(b"source")).into_owned(), value(b"log").len())
    };
    batch.records.iter().map(text).collect()
}

impl House {
    fn absorb(&self, records: &[Given<'_>]) -> Vec<(String, usize)> {
        let mut batch = batch(records);
        self.joiner.absorb(&self.settings, &self.origin, &mut batch);
        texts(&batch)
    }

    fn overdue(&self) -> Vec<(String, usize)> {
        let mut batch = batch(&[]);
        for line in self.joiner.overdue(Instant::now() + Duration::from_secs(60)) {
            assert!(line.is_whole());
            line.write(&mut batch);
        }
        texts(&batch)
    }
}

#[test]
fn a_full_text_waits_for_the_next_of_its_stream() {
    let house = house(Marks::Length);
    let full = vec![b'x'; FULL];
    let out = |len: usize| ("stdout".to_owned(), len);
    assert_eq!(house.absorb(&[("a", "stdout", 1, b"short"), ("a", "stdout", 1, &full)]), [out(5)]);
    // The other stream and the other container go their own way.
    let between = house.absorb(&[("a", "stderr", 1, b"err"), ("b", "stdout", 1, b"other")]);
    assert_eq!(between, [("stderr".to_owned(), 3), out(5)]);
    assert_eq!(house.absorb(&[("a", "stdout", 9, &full), ("a", "stdout", 10, b"end")]), [out(2 * FULL + 3)]);
    assert_eq!(house.absorb(&[("a", "stdout", 11, b"next")]), [out(4)]);
    // A line of exactly this length has no other piece: engines send no empty ones to these drivers.
    assert_eq!(house.absorb(&[("a", "stdout", 12, &full)]), []);
    assert_eq!(house.overdue(), [out(FULL)]);
}

#[test]
fn what_does_not_fit_may_be_the_next_line_and_is_kept() {
    let mut house = house(Marks::Length);
    house.settings.max_line = 2 * FULL;
    let full = vec![b'x'; FULL];
    let out = |len: usize| ("stdout".to_owned(), len);
    // A line of exactly the longest, or the beginning of a longer one: nothing tells.
    assert_eq!(house.absorb(&[("a", "stdout", 1, &full), ("a", "stdout", 2, &full)]), []);
    assert_eq!(house.absorb(&[("a", "stdout", 3, b"next line")]), [out(2 * FULL), out(9)]);
    let longer = vec![("a", "stdout", 4, &full[..]); 3];
    assert_eq!(house.absorb(&longer), [out(2 * FULL)]);
    assert_eq!(house.absorb(&[("a", "stdout", 5, b"its end")]), [out(FULL + 7)]);
}

#[test]
fn pieces_of_a_line_have_one_time_where_drivers_keep_it() {
    let house = house(Marks::LengthAndTime);
    let full = vec![b'x'; FULL];
    let out = |len: usize| ("stdout".to_owned(), len);
    assert_eq!(
        house.absorb(&[("a", "stdout", 1, &full), ("a", "stdout", 2, b"next line")]),
        [out(FULL), out(9)]
    );
    assert_eq!(house.absorb(&[("a", "stdout", 3, &full), ("a", "stdout", 3, b"end")]), [out(FULL + 3)]);
    assert_eq!(house.absorb(&[("a", "stdout", 4, &full), ("a", "stdout", 5, &full)]), [out(FULL)]);
    assert_eq!(house.overdue(), [out(FULL)]);
    // Two bytes of a character that the cut halved became two characters of three bytes.
    let repaired = ["x".repeat(FULL - 2), "\u{fffd}\u{fffd}".to_owned()].concat();
    let joined = house.absorb(&[("a", "stdout", 6, repaired.as_bytes()), ("a", "stdout", 6, b"end")]);
    assert_eq!(joined, [out(FULL + 4 + 3)]);
    // One that is only as long as such a text, and shows no repair.
    let long = vec![b'x'; FULL + 4];
    assert_eq!(house.absorb(&[("a", "stdout", 7, &long)]), [out(FULL + 4)]);
}

#[test]
fn a_stored_piece_comes_back_with_its_senders_wish() {
    let wish = Wish { logstore: Some("orders".to_owned()), topic: None };
    let origin = Origin { wish: Some(wish.into()), ..Origin::new("plugin", "unix") };
    let full = vec![b'x'; FULL];
    let batch = batch(&[("a", "stdout", 1, &full)]);
    let stream = piece::stream_of(&origin, &batch, &batch.records[0], Marks::Length).unwrap();
    let id = piece::id_of(batch.records[0].time);
    let piece = Piece::unmarked(stream, id, &batch, &batch.records[0], true);
    let (whence, tag, again) = Piece::from_stored(&piece.to_stored(&origin, b"docker.web")).unwrap();
    assert_eq!((whence, tag.as_slice()), (origin, &b"docker.web"[..]));
    assert_eq!((again.text, again.key, again.last, again.fields), (full, "log", true, piece.fields));
}

fn syslog(names: &[(&str, &str)], text: &[u8]) -> Batch {
    let mut batch = Batch::default();
    batch.tag = batch.keep(b"syslog.daemon");
    batch.begin(Timestamp::new(1_700_000_000, 0));
    for (key, value) in names.iter().map(|(key, value)| (*key, value.as_bytes())).chain([("message", text)]) {
        let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value));
        batch.push(key, value);
    }
    batch
}

/// Whether a message of 16,384 bytes waits for the next one.
fn waits(marks: Marks, names: &[(&str, &str)]) -> bool {
    let house = house(marks);
    let mut batch = syslog(names, &[b'x'; FULL]);
    house.joiner.absorb(&house.settings, &house.origin, &mut batch);
    batch.is_empty()
}

#[test]
fn long_messages_of_others_than_docker_are_no_pieces() {
    let dockers = [("severity", "info"), ("appname", "my tag"), ("procid", "7025")];
    assert!(waits(Marks::Length, &dockers));
    assert!(waits(Marks::Length, &[&dockers[..], &[("msgid", "my tag")]].concat()));
    assert!(!waits(Marks::Length, &[&dockers[..], &[("msgid", "ID47")]].concat()));
    assert!(!waits(Marks::Length, &[("severity", "notice"), ("appname", "app"), ("procid", "7025")]));
    assert!(!waits(Marks::Length, &[("severity", "info"), ("appname", "app")]));
    assert!(!waits(Marks::Length, &[("severity", "info"), ("appname", "app"), ("procid", "worker-1")]));
    // Docker's lines have a stream here.
    assert!(!waits(Marks::LengthAndTime, &[("host", "vm"), ("level", "6")]));
    assert!(waits(Marks::LengthAndTime, &[("source", "stdout"), ("host", "vm")]));
}

#[test]
fn pieces_of_two_senders_at_one_address_do_not_mix() {
    for (marks, key, stream) in
        [(Marks::LengthAndTime, "tag", "source"), (Marks::Length, "appname", "severity")]
    {
        let house = house(marks);
        let source = if stream == "source" { "stdout" } else { "info" };
        let absorb = |name: &str, text: &[u8]| {
            let mut batch = syslog(&[(stream, source), ("procid", "1"), (key, name)], text);
            house.joiner.absorb(&house.settings, &house.origin, &mut batch);
            let text = |record| batch.bytes(batch.value_of(record, b"message").unwrap()).to_vec();
            batch.records.iter().map(text).collect::<Vec<_>>()
        };
        assert!(absorb("web", &[b'w'; FULL]).is_empty());
        assert_eq!(absorb("api", b"short"), [b"short"]);
        assert_eq!(absorb("web", b"end"), [[&[b'w'; FULL][..], b"end"].concat()]);
    }
}

/// A line that waited for the timer and the one behind it are two, whatever their pieces are numbered.
#[tokio::test]
async fn pieces_of_two_lines_come_back_as_two() {
    for marks in [Marks::Fields, Marks::LengthAndTime] {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(crate::journal::Options::new(dir.path())).unwrap();
        let joiner = Joiner::new(journal.clone(), HashMap::new());
        let settings = JoinSettings { marks, ..JoinSettings::default() };
        let origin = Origin::new("native", "192.0.2.1");
        for (number, tag) in ["one", "two"].into_iter().enumerate() {
            let text = [b'0' + number as u8; FULL];
            let mut batch = batch(&[("a", "stdout", number as u32, &text)]);
            batch.tag = batch.keep(tag.as_bytes());
            for (key, value) in [("partial_message", "true"), ("partial_id", tag), ("partial_ordinal", "1")]
                .into_iter()
                .filter(|_| marks == Marks::Fields)
            {
                let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value.as_bytes()));
                batch.push(key, value);
            }
            joiner.absorb(&settings, &origin, &mut batch).stored.unwrap().stored().await.unwrap();
            assert!(batch.is_empty());
        }
        drop(joiner);
        journal.close().await;
        let journal = Journal::open(crate::journal::Options::new(dir.path())).unwrap();
        let joiner = Joiner::new(journal, HashMap::new());
        let mut lines = joiner.overdue(Instant::now() + Duration::from_secs(60));
        lines.sort_by(|one, other| one.tag.cmp(&other.tag));
        let lines: Vec<(Vec<u8>, usize)> =
            lines.into_iter().map(|line| (line.tag, line.stored.len())).collect();
        assert_eq!(lines, [(b"one".to_vec(), 1), (b"two".to_vec(), 1)], "{marks:?}");
    }
}

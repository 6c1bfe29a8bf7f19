//! Every bound of the gateway, each with its reason. What can be set in the configuration has its default here.

use std::time::Duration;

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * 1024;

/// One forward message. Fluentd's memory chunks are 8 MB, its file chunks up to 256 MB, Fluent Bit's about 2 MB.
pub const MESSAGE_BYTES: usize = 64 * MIB;
/// What a compressed chunk may inflate to, as in Fluentd's `decompression_size_limit`.
pub const INFLATED_BYTES: usize = 256 * MIB;
/// Nesting of one message. Fluent Bit closes at about 64, msgpack-ruby at 128.
pub const DEPTH: usize = 64;
/// Entries of one message: a smallest entry is 3 bytes, so a message could claim far more records than it carries text.
pub const ENTRIES: usize = 4_000_000;
pub const TAG_BYTES: usize = 4 * KIB;
/// An ack id is echoed into an ack that must fit one read of the peer (Fluent Bit 512 bytes, Fluency 256).
pub const CHUNK_ID_BYTES: usize = 256;
pub const CONNECTIONS: usize = 10_000;
/// No progress inside a message for so long closes the connection; an idle one is never closed.
pub const STALL: Duration = Duration::from_secs(60);
/// TLS, the PROXY header and the shared-key handshake of a connection, together. Fluent Bit gives TLS 10 s.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection that we end waits so long for its peer to take the last acks.
pub const LINGER: Duration = Duration::from_secs(1);
/// A message waits so long for room in a full buffer before its sender is told to come again, where that helps it.
/// Fluentd gives up at 190 s.
pub const FULL: Duration = Duration::from_secs(60);
/// Chunk ids are remembered so long: longer than any peer's pause between two tries but the last ones of a long outage.
pub const DUPLICATES_WINDOW: Duration = Duration::from_secs(600);
pub const DUPLICATES_BYTES: usize = 16 * MIB;

/// All that is read and not yet stored, over all inputs.
pub const BYTE_BUDGET: usize = 64 * MIB;
/// What one connection may have read and not yet stored.
pub const WINDOW_BYTES: usize = 8 * MIB;
/// A read asks for this much: large enough to amortise the call, small enough for thousands of connections.
pub const READ_BYTES: usize = 256 * KIB;

/// Log Service: body of one PutLogs before compression.
pub const LOG_GROUP_BYTES: usize = 10 * MIB;
/// Log Service: one value.
pub const VALUE_BYTES: usize = MIB;
/// Log Service: one key.
pub const KEY_BYTES: usize = 128;
/// A LogGroup is closed at this size or age, or at this many records.
pub const GROUP_BYTES: usize = 512 * KIB;
pub const GROUP_AGE: Duration = Duration::from_secs(1);
pub const GROUP_RECORDS: usize = 4_096;

/// Log Service: seconds a log may be old, and ahead of its clock. Texts differ on whether it still looks.
pub const TIME_BEHIND: i64 = 7 * 24 * 3600;
pub const TIME_AHEAD: i64 = 15 * 60;
/// Several LogGroups of less than this share a request, so many and so much of them.
pub const LISTED_BYTES: usize = 64 * KIB;
pub const LIST_GROUPS: usize = 256;
pub const LIST_BYTES: usize = MIB;

/// An unfinished line is emitted after this long, or at this size.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
pub const JOINED_BYTES: usize = MIB;

/// Destinations that placeholders may make.
pub const MADE_DESTINATIONS: usize = 200;
pub const DEAD_LETTER_BYTES: u64 = 256 * MIB as u64;
/// All of the journal on disk.
pub const JOURNAL_BYTES: u64 = 4 * 1024 * MIB as u64;
pub const SEGMENT_BYTES: u64 = 64 * MIB as u64;
/// Fresh entries that stay in memory so that a destination that keeps up never reads the disk.
pub const FRESH_BYTES: usize = 24 * MIB;

/// What the kernel is asked to keep of a datagram socket while we are busy: a second of a busy host's lines.
pub const RECEIVE_BUFFER: usize = 8 * MIB;
/// A line whose pieces are not marked waits so long for the next one: long enough for a sender's pause, short enough
/// for a piece that only looked unfinished.
pub const UNMARKED_JOIN_TIMEOUT: Duration = Duration::from_secs(2);
/// One syslog message. Docker's have at most about 17 KiB; RFC 5424 asks for 2 KiB and sets no bound.
pub const SYSLOG_BYTES: usize = 64 * KIB;
/// One GELF message, inflated. A line of 16 KiB of control characters has 96 KiB as JSON; other senders' may carry stack traces.
pub const GELF_BYTES: usize = 2 * MIB;
/// All chunks of a GELF message come within this time, as in GELF's own text.
pub const GELF_CHUNK_TIMEOUT: Duration = Duration::from_secs(5);
/// GELF messages that wait for chunks, and the bytes of those chunks: anyone can send first chunks.
pub const GELF_INCOMPLETE: usize = 1_024;
pub const GELF_INCOMPLETE_BYTES: usize = 16 * MIB;
/// One request of Splunk's collector, inflated. Docker's driver sends 1,000 lines of 16 KiB at once, escaped.
pub const SPLUNK_BODY_BYTES: usize = 64 * MIB;
pub const SPLUNK_EVENT_BYTES: usize = MIB;
/// What `docker logs` can read of one container, as much as one file of the engine's own cache.
pub const READ_LOGS_BYTES: u64 = 20 * MIB as u64;
/// How often directories are looked at. A container may be gone within a second of its start.
pub const SCAN_INTERVAL: Duration = Duration::from_secs(1);

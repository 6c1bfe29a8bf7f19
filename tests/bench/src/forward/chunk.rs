//! The PackedForward messages of these clients, as bytes: entries of both forms, groups, and compressed blobs.
//!
//! ```text
//! message      93 tag bin32(blob) {"chunk": id, "size": n [, "compressed": "gzip" | "zstd"]}
//! legacy       blob = n times 92 EventTime {4 fields}
//! v2           blob = n times 92 92 EventTime {} {4 fields}
//! metadata     blob = start, n times 92 92 EventTime {"otlp": {...}} {4 fields}, end
//! start        92 92 EventTime(-1) {"schema": "otlp", "resource_id": 0, "scope_id": 0} {"resource": ..., "scope": ...}
//! end          92 92 EventTime(-2) {} {}
//! ```
//!
//! `v2` is what Fluent Bit 5.1 sends by default, `metadata` what it sends for logs that came in over OpenTelemetry. Gzip and
//! zstd are at their default levels (6 and 3), one member or frame to a blob.

use std::io::{self, Write};

use flate2::{Compression as GzipLevel, write::GzEncoder};

use crate::{
    msgpack::{self, Messages},
    records::{Line, Stream},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Legacy,
    V2,
    Metadata,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Form {
    const ALL: [Form; 3] = [Form::Legacy, Form::V2, Form::Metadata];

    pub fn name(self) -> &'static str {
        match self {
            Form::Legacy => "legacy",
            Form::V2 => "v2",
            Form::Metadata => "metadata",
        }
    }

    pub fn parse(text: &str) -> Option<Form> {
        Form::ALL.into_iter().find(|form| form.name() == text)
    }
}

impl Compression {
    const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    pub fn parse(text: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|compression| compression.name() == text)
    }

    fn compress(self, blob: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Compression::None => Ok(blob.to_vec()),
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), GzipLevel::default());
                encoder.write_all(blob)?;
                encoder.finish()
            }
            Compression::Zstd => zstd::bulk::compress(blob, 3),
        }
    }
}

/// What all messages of a run have in common.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Records in one message.
    pub entries: u64,
    pub form: Form,
    pub compression: Compression,
}

/// Builds all messages of a stream, each with the chunk id of its connection and place.
pub fn build(stream: &mut Stream, connection: u64, shape: Shape) -> io::Result<Messages> {
    let mut messages = Messages::default();
    let (mut line, mut blob) = (Line::default(), Vec::new());
    while stream.remaining() > 0 {
        blob.clear();
        let mut count: u32 = 0;
        if shape.form == Form::Metadata {
            group_start(&mut blob);
        }
        while u64::from(count) < shape.entries && stream.advance(&mut line) {
            blob.push(0x92);
            match shape.form {
                Form::Legacy => msgpack::time(&mut blob, &line),
                Form::V2 => {
                    blob.push(0x92);
                    msgpack::time(&mut blob, &line);
                    blob.push(0x80);
                }
                Form::Metadata => {
                    blob.push(0x92);
                    msgpack::time(&mut blob, &line);
                    metadata(&mut blob, &line);
                }
            }
            msgpack::record(&mut blob, stream, &line);
            count += 1;
        }
        if shape.form == Form::Metadata {
            marker(&mut blob, -2);
            blob.extend_from_slice(&[0x80, 0x80]);
        }
        let packed = shape.compression.compress(&blob)?;
        let out = &mut messages.bytes;
        out.push(0x93);
        msgpack::text(out, stream.tag.as_bytes());
        out.push(0xc6);
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
        out.push(if shape.compression == Compression::None { 0x82 } else { 0x83 });
        msgpack::text(out, b"chunk");
        msgpack::text(out, &msgpack::chunk_id(connection, messages.ends.len() as u64));
        msgpack::text(out, b"size");
        out.push(0xce);
        out.extend_from_slice(&count.to_be_bytes());
        if shape.compression != Compression::None {
            msgpack::text(out, b"compressed");
            msgpack::text(out, shape.compression.name().as_bytes());
        }
        messages.ends.push(messages.bytes.len());
    }
    Ok(messages)
}

/// A group marker up to its metadata: `second` is what stands where an entry has its time.
fn marker(out: &mut Vec<u8>, second: i32) {
    out.extend_from_slice(&[0x92, 0x92, 0xd7, 0x00]);
    out.extend_from_slice(&second.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
}

/// Resource and scope as an OpenTelemetry SDK in a container describes itself.
fn group_start(out: &mut Vec<u8>) {
    let texts = |out: &mut Vec<u8>, pairs: &[(&str, &str)]| {
        out.push(0x80 | pairs.len() as u8);
        for (key, value) in pairs {
            msgpack::text(out, key.as_bytes());
            msgpack::text(out, value.as_bytes());
        }
    };
    marker(out, -1);
    out.push(0x83);
    msgpack::text(out, b"schema");
    msgpack::text(out, b"otlp");
    for key in ["resource_id", "scope_id"] {
        msgpack::text(out, key.as_bytes());
        out.push(0);
    }
    out.push(0x82);
    msgpack::text(out, b"resource");
    out.push(0x81);
    msgpack::text(out, b"attributes");
    texts(
        out,
        &[
            ("service.name", "orders"),
            ("service.version", "3.14.1"),
            ("host.name", "node-7.eu.example"),
            ("k8s.pod.name", "orders-6d4cf56db6-x2x7m"),
            ("telemetry.sdk.language", "java"),
        ],
    );
    msgpack::text(out, b"scope");
    texts(out, &[("name", "com.example.shop.orders"), ("version", "1.2.0")]);
}

/// What an OpenTelemetry log record has beside its body.
fn metadata(out: &mut Vec<u8>, line: &Line) {
    let nanoseconds = u64::from(line.seconds) * 1_000_000_000 + u64::from(line.nanoseconds);
    out.push(0x81);
    msgpack::text(out, b"otlp");
    out.push(0x86);
    msgpack::text(out, b"observed_timestamp");
    out.push(0xcf);
    out.extend_from_slice(&nanoseconds.to_be_bytes());
    msgpack::text(out, b"severity_number");
    out.push(9);
    msgpack::text(out, b"severity_text");
    msgpack::text(out, b"INFO");
    msgpack::text(out, b"trace_id");
    msgpack::text(
        out,
        format!("{:032x}", u128::from(line.number) << 64 | u128::from(nanoseconds)).as_bytes(),
    );
    msgpack::text(out, b"span_id");
    msgpack::text(out, format!("{nanoseconds:016x}").as_bytes());
    msgpack::text(out, b"attributes");
    out.push(0x82);
    msgpack::text(out, b"http.route");
    msgpack::text(out, b"/api/v2/orders");
    msgpack::text(out, b"thread.name");
    msgpack::text(out, b"http-exec-3");
}

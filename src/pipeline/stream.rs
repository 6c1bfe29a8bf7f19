//! Streams: what shares one pack_id series. A stream is an input, a peer (and the container behind it, where the record
//! names one), a topic, a set of tags and a destination; within it Log Service keeps the order we give it.
//!
//! The series number is a hash over all of these and the gateway's own identity, so that it is the same after a restart
//! and different for every gateway.

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};

use crate::config::plan::SourceAddress;
use crate::pipeline::destinations::Destination;
use crate::wire::loggroup::encode;

/// Where a batch came from: constant for a connection or a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The input's name in the configuration.
    pub input: Arc<str>,
    /// Address without port, or path of a socket: what stays the same when a peer connects again.
    pub peer: Arc<str>,
    /// What the sender itself asked for, where its input lets it.
    pub wish: Option<Arc<Wish>>,
    /// Of all its LogGroups, by key, before the destination's own.
    pub tags: Arc<[(String, String)]>,
}

/// Where one sender wants its records: it is closer to them than a route, so it wins over the route's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wish {
    /// A legal name.
    pub logstore: Option<String>,
    pub topic: Option<String>,
}

impl Origin {
    pub fn new(input: impl Into<Arc<str>>, peer: impl Into<Arc<str>>) -> Origin {
        Origin { input: input.into(), peer: peer.into(), wish: None, tags: Arc::default() }
    }
}

/// Who this gateway is, in every stream's identity and in `__hostname__`.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Random, made once per data directory.
    pub instance: String,
    pub host: String,
    /// `__source__` of everything, instead of what a destination says.
    pub source: Option<String>,
}

#[derive(Debug)]
pub struct Stream {
    /// The pack_id series.
    pub series: u64,
    pub destination: Arc<Destination>,
    /// Encoded topic, source and tags; the pack id is added when a LogGroup is closed.
    pub trailer: Bytes,
}

impl Stream {
    pub fn new(
        identity: &Identity,
        origin: &Origin,
        container: &[u8],
        topic: &[u8],
        destination: Arc<Destination>,
    ) -> Stream {
        let plan = &destination.plan;
        let source = match (&identity.source, plan.source) {
            (Some(source), _) => source,
            (None, SourceAddress::Peer) => &*origin.peer,
            (None, SourceAddress::Host) => &identity.host,
        };
        let host = plan.hostname_tag.then_some(("__hostname__", identity.host.as_str()));
        // Whoever is closer to the records knows better.
        let is_free = |(key, _): &&(String, String)| origin.tags.iter().all(|(other, _)| other != key);
        let constant = origin.tags.iter().chain(plan.tags.iter().filter(is_free));
        let constant = constant.map(|(key, value)| (key.as_str(), value.as_str()));
        let tags: Vec<_> = host.into_iter().chain(constant).collect();
        let mut trailer = Vec::with_capacity(128);
        encode::put_trailer(&mut trailer, topic, source.as_bytes(), &tags);

        let mut hash = Md5::new();
        let label = destination.label();
        let parts = [
            identity.instance.as_bytes(),
            origin.input.as_bytes(),
            origin.peer.as_bytes(),
            container,
            label.as_bytes(),
            &trailer,
        ];
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut series = [0; 8];
        series.copy_from_slice(&digest[..8]);
        Stream { series: u64::from_be_bytes(series), destination, trailer: Bytes::from(trailer) }
    }
}

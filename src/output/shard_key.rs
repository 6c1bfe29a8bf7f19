//! Hash-key routing: what a LogGroup says of itself decides which shard it goes to, so that equal keys share a shard and
//! keep their order there.
//!
//! ```text
//! shard_key: [__source__, "__tag__:app"] -> "10.0.0.9_web" -> MD5 -> its top 6 bits, the rest zero
//!     POST /logstores/LS/shards/route?key=b4000000000000000000000000000000
//! ```
//!
//! The values are joined by `_` and hashed as Logtail does; the 64 buckets are those of the vendor's producers. What is
//! not there counts as empty. The parts belong to the LogGroup: a field of a record takes part through the topic, whose
//! template can name it.

use md5::{Digest, Md5};

use crate::config::plan::ShardKeyPart;
use crate::wire::loggroup;

/// Where each LogGroup's key comes from, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardKey(pub Vec<ShardKeyPart>);

/// One of 64: groups of one bucket go one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bucket(u8);

impl ShardKey {
    /// The bucket of a LogGroup with this trailer.
    pub fn bucket(&self, trailer: &[u8]) -> Bucket {
        // Trailers are ours; one that cannot be read has no values.
        let group = loggroup::walk(trailer).ok();
        let mut hash = Md5::new();
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                hash.update(b"_");
            }
            let value = group.as_ref().and_then(|group| match part {
                ShardKeyPart::Source => Some(group.source),
                ShardKeyPart::Topic => Some(group.topic),
                ShardKeyPart::Tag(tag) => group.tag(tag.as_bytes()),
            });
            hash.update(value.unwrap_or_default());
        }
        Bucket(hash.finalize()[0] & 0xfc)
    }
}

impl Bucket {
    /// The value of `key`: 32 hex digits.
    pub fn key(self) -> String {
        format!("{:02x}{:030}", self.0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::loggroup::encode::put_trailer;

    fn key(parts: &[&str], topic: &str, source: &str, tags: &[(&str, &str)]) -> String {
        let mut trailer = Vec::new();
        put_trailer(&mut trailer, topic.as_bytes(), source.as_bytes(), tags);
        let parts = parts.iter().map(|part| ShardKeyPart::parse(part).unwrap()).collect();
        let key = ShardKey(parts).bucket(&trailer).key();
        assert_eq!((key.len(), &key[2..]), (32, &"0".repeat(30)[..]));
        key[..2].to_owned()
    }

    #[test]
    fn keys_are_the_top_bits_of_the_md5() {
        // MD5: 10.0.0.9 b4f6.., 10.0.0.9_web b4c3.., t_ 33d8.., the empty text d41d..
        assert_eq!(key(&["__source__"], "t", "10.0.0.9", &[]), "b4");
        assert_eq!(key(&["__source__", "__tag__:app"], "t", "10.0.0.9", &[("app", "web")]), "b4");
        assert_eq!(key(&["__topic__", "__tag__:no"], "t", "s", &[("app", "web")]), "30");
        assert_eq!(key(&["__topic__"], "", "s", &[]), "d4");
    }

    #[test]
    fn parts_have_their_names() {
        for text in ["__source__", "__topic__", "__tag__:a:b"] {
            assert_eq!(ShardKeyPart::parse(text).unwrap().to_string(), text);
        }
        assert!(ShardKeyPart::parse("__tag__:").is_err() && ShardKeyPart::parse("level").is_err());
    }
}

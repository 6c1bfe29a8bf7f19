//! Our reading and writing against prost's, both ways, and against each other.

use std::collections::HashMap;

use proptest::prelude::*;
use prost::Message;

use super::*;

#[derive(Clone, PartialEq, Message)]
struct PeerPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct PeerAttributes {
    #[prost(bytes = "vec", tag = "1")]
    version: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    ip: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    hostname: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    host_id: Vec<u8>,
    #[prost(map = "string, bytes", tag = "100")]
    extras: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct PeerInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "2")]
    version: i64,
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
    #[prost(map = "string, bytes", tag = "5")]
    extra: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct PeerHeartbeat {
    #[prost(bytes = "vec", tag = "1")]
    request_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    sequence_num: u64,
    #[prost(uint64, tag = "3")]
    capabilities: u64,
    #[prost(bytes = "vec", tag = "4")]
    instance_id: Vec<u8>,
    #[prost(string, tag = "5")]
    agent_type: String,
    #[prost(message, optional, tag = "6")]
    attributes: Option<PeerAttributes>,
    #[prost(message, repeated, tag = "7")]
    tags: Vec<PeerPair>,
    #[prost(string, tag = "8")]
    running_status: String,
    #[prost(int64, tag = "9")]
    startup_time: i64,
    #[prost(message, repeated, tag = "10")]
    pipeline_configs: Vec<PeerInfo>,
    #[prost(message, repeated, tag = "11")]
    instance_configs: Vec<PeerInfo>,
    #[prost(uint64, tag = "13")]
    flags: u64,
    #[prost(bytes = "vec", tag = "14")]
    opaque: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PeerDetail {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "2")]
    version: i64,
    #[prost(bytes = "vec", tag = "3")]
    detail: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PeerCommon {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(bytes = "vec", tag = "2")]
    error_message: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PeerAnswer {
    #[prost(bytes = "vec", tag = "1")]
    request_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    common: Option<PeerCommon>,
    #[prost(uint64, tag = "3")]
    capabilities: u64,
    #[prost(message, repeated, tag = "4")]
    pipeline_updates: Vec<PeerDetail>,
    #[prost(uint64, tag = "7")]
    flags: u64,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

fn tag() -> impl Strategy<Value = Tag> {
    (".{0,8}", ".{0,8}").prop_map(|(name, value)| Tag { name, value })
}

fn info() -> impl Strategy<Value = ConfigInfo> {
    let status = prop::sample::select(vec![
        ConfigStatus::Unset,
        ConfigStatus::Applying,
        ConfigStatus::Applied,
        ConfigStatus::Failed,
    ]);
    (".{0,8}", any::<i64>(), status, ".{0,8}").prop_map(|(name, version, status, message)| ConfigInfo {
        name,
        version,
        status,
        message,
    })
}

fn infos() -> impl Strategy<Value = Vec<ConfigInfo>> {
    prop::collection::vec(info(), 0..4)
}

fn details() -> impl Strategy<Value = Vec<ConfigDetail>> {
    let detail = (".{0,8}", any::<i64>(), bytes());
    let detail = detail.prop_map(|(name, version, detail)| ConfigDetail { name, version, detail });
    prop::collection::vec(detail, 0..4)
}

fn common() -> impl Strategy<Value = CommonResponse> {
    (any::<i32>(), ".{0,8}").prop_map(|(status, error_message)| CommonResponse { status, error_message })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (".{0,5}", ".{0,5}", ".{0,5}", ".{0,5}", prop::collection::vec(tag(), 0..4)).prop_map(
        |(version, ip, hostname, host_id, extras)| Attributes { version, ip, hostname, host_id, extras },
    )
}

fn heartbeat() -> impl Strategy<Value = HeartbeatRequest> {
    let texts = (".{0,8}", ".{0,8}", ".{0,8}");
    let numbers = (any::<u64>(), any::<u64>(), any::<i64>(), any::<u64>());
    let of_agent = (prop::option::of(attributes()), prop::collection::vec(tag(), 0..4));
    (bytes(), texts, numbers, of_agent, (infos(), infos(), infos())).prop_map(
        |(request_id, texts, numbers, (attributes, tags), configs)| HeartbeatRequest {
            request_id,
            sequence_num: numbers.0,
            capabilities: numbers.1,
            instance_id: texts.0,
            agent_type: texts.1,
            attributes,
            tags,
            running_status: texts.2,
            startup_time: numbers.2,
            pipeline_configs: configs.0,
            instance_configs: configs.1,
            onetime_configs: configs.2,
            flags: numbers.3,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        heartbeat in heartbeat(),
        (id, name, common) in (bytes(), ".{0,8}", common()),
        (capabilities, flags) in (any::<u64>(), any::<u64>()),
        (pipelines, instances, onetimes) in (details(), details(), details()),
    ) {
        prop_assert_eq!(HeartbeatRequest::decode(&heartbeat.encode()), Ok(heartbeat.clone()));
        let response = HeartbeatResponse {
            request_id: id.clone(), common: common.clone(), capabilities, flags,
            pipeline_updates: pipelines.clone(), instance_updates: instances.clone(), onetime_updates: onetimes,
        };
        prop_assert_eq!(HeartbeatResponse::decode(&response.encode()), Ok(response.clone()));
        let peer = PeerAnswer::decode(response.encode().as_slice()).unwrap();
        prop_assert_eq!(peer.common.unwrap().status, common.status);
        prop_assert_eq!(peer.pipeline_updates.len(), pipelines.len());
        for (peer, own) in peer.pipeline_updates.iter().zip(&pipelines) {
            prop_assert_eq!((&peer.name, peer.version, &peer.detail), (&own.name, own.version, &own.detail));
        }
        let request = FetchRequest {
            request_id: id.clone(), instance_id: name,
            pipeline_configs: heartbeat.pipeline_configs.clone(), instance_configs: heartbeat.instance_configs,
        };
        prop_assert_eq!(FetchRequest::decode(&request.encode()), Ok(request));
        let response =
            FetchResponse { request_id: id, common, pipeline_updates: pipelines, instance_updates: instances };
        prop_assert_eq!(FetchResponse::decode(&response.encode()), Ok(response));
    }

    #[test]
    fn an_agents_heartbeat_is_understood(heartbeat in heartbeat(), opaque in bytes()) {
        let info = |info: &ConfigInfo| PeerInfo {
            name: info.name.clone(), version: info.version, status: info.status as i32,
            message: info.message.clone(), extra: HashMap::from([("k".into(), opaque.clone())]),
        };
        // A map's entries come in any order.
        let one = |extras: &[Tag]| extras.iter().take(1).map(|tag| (tag.name.clone(), tag.value.clone().into_bytes())).collect();
        let peer = PeerHeartbeat {
            request_id: heartbeat.request_id.clone(), sequence_num: heartbeat.sequence_num,
            capabilities: heartbeat.capabilities, instance_id: heartbeat.instance_id.clone().into_bytes(),
            agent_type: heartbeat.agent_type.clone(),
            attributes: heartbeat.attributes.as_ref().map(|own| PeerAttributes {
                version: own.version.clone().into_bytes(), ip: own.ip.clone().into_bytes(),
                hostname: own.hostname.clone().into_bytes(), host_id: own.host_id.clone().into_bytes(),
                extras: one(&own.extras),
            }),
            tags: heartbeat.tags.iter().map(|tag| PeerPair { name: tag.name.clone(), value: tag.value.clone() }).collect(),
            running_status: heartbeat.running_status.clone(), startup_time: heartbeat.startup_time,
            pipeline_configs: heartbeat.pipeline_configs.iter().map(info).collect(),
            instance_configs: heartbeat.instance_configs.iter().map(info).collect(),
            flags: heartbeat.flags, opaque: opaque.clone(),
        };
        let mut expected = heartbeat;
        expected.onetime_configs.clear();
        if let Some(attributes) = &mut expected.attributes {
            attributes.extras.truncate(1);
        }
        prop_assert_eq!(HeartbeatRequest::decode(&peer.encode_to_vec()), Ok(expected));
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = HeartbeatRequest::decode(&bytes) {
            prop_assert_eq!(HeartbeatRequest::decode(&read.encode()), Ok(read));
        }
        let _ = (HeartbeatResponse::decode(&bytes), FetchRequest::decode(&bytes), FetchResponse::decode(&bytes));
    }
}

#[test]
fn lists_are_bounded() {
    let many = |field: u8, count: usize| [field << 3 | 2, 0].repeat(count);
    assert!(HeartbeatRequest::decode(&many(10, MOST_CONFIGS)).is_ok());
    let refused = HeartbeatRequest::decode(&many(10, MOST_CONFIGS + 1)).unwrap_err();
    assert_eq!(refused, MessageError::TooMany { what: "configs", most: MOST_CONFIGS });
    assert!(HeartbeatRequest::decode(&many(7, MOST_PAIRS + 1)).is_err());
    let cut = HeartbeatRequest { instance_id: "agent-1".into(), ..HeartbeatRequest::default() }.encode();
    assert_eq!(
        HeartbeatRequest::decode(&cut[..5]).unwrap_err().to_string(),
        "the message ends inside a field, 3 bytes before its end"
    );
}

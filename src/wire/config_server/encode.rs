//! Writing the messages. A field at its default is not written, as proto3 has it.

use super::{
    Attributes, CommonResponse, ConfigDetail, ConfigInfo, FetchRequest, FetchResponse, HeartbeatRequest,
    HeartbeatResponse, Tag,
};
use crate::wire::protobuf::{put_bytes, put_item, put_number};

impl HeartbeatRequest {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &self.request_id);
        put_number(&mut out, 2, self.sequence_num);
        put_number(&mut out, 3, self.capabilities);
        put_bytes(&mut out, 4, self.instance_id.as_bytes());
        put_bytes(&mut out, 5, self.agent_type.as_bytes());
        if let Some(attributes) = &self.attributes {
            put_item(&mut out, 6, &attributes.encode());
        }
        put_all(&mut out, 7, &self.tags, Tag::encode);
        put_bytes(&mut out, 8, self.running_status.as_bytes());
        put_number(&mut out, 9, self.startup_time as u64);
        put_all(&mut out, 10, &self.pipeline_configs, ConfigInfo::encode);
        put_all(&mut out, 11, &self.instance_configs, ConfigInfo::encode);
        put_all(&mut out, 12, &self.onetime_configs, ConfigInfo::encode);
        put_number(&mut out, 13, self.flags);
        out
    }
}

impl HeartbeatResponse {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &self.request_id);
        put_item(&mut out, 2, &self.common.encode());
        put_number(&mut out, 3, self.capabilities);
        put_all(&mut out, 4, &self.pipeline_updates, ConfigDetail::encode);
        put_all(&mut out, 5, &self.instance_updates, ConfigDetail::encode);
        put_all(&mut out, 6, &self.onetime_updates, ConfigDetail::encode);
        put_number(&mut out, 7, self.flags);
        out
    }
}

impl FetchRequest {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &self.request_id);
        put_bytes(&mut out, 2, self.instance_id.as_bytes());
        put_all(&mut out, 3, &self.pipeline_configs, ConfigInfo::encode);
        put_all(&mut out, 4, &self.instance_configs, ConfigInfo::encode);
        out
    }
}

impl FetchResponse {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &self.request_id);
        put_item(&mut out, 2, &self.common.encode());
        put_all(&mut out, 3, &self.pipeline_updates, ConfigDetail::encode);
        put_all(&mut out, 4, &self.instance_updates, ConfigDetail::encode);
        out
    }
}

impl Attributes {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, self.version.as_bytes());
        put_bytes(&mut out, 2, self.ip.as_bytes());
        put_bytes(&mut out, 3, self.hostname.as_bytes());
        put_bytes(&mut out, 4, self.host_id.as_bytes());
        put_all(&mut out, 100, &self.extras, Tag::encode);
        out
    }
}

impl Tag {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, self.name.as_bytes());
        put_bytes(&mut out, 2, self.value.as_bytes());
        out
    }
}

impl ConfigInfo {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, self.name.as_bytes());
        put_number(&mut out, 2, self.version as u64);
        put_number(&mut out, 3, self.status as u64);
        put_bytes(&mut out, 4, self.message.as_bytes());
        out
    }
}

impl ConfigDetail {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.name.len() + self.detail.len() + 32);
        put_bytes(&mut out, 1, self.name.as_bytes());
        put_number(&mut out, 2, self.version as u64);
        put_bytes(&mut out, 3, &self.detail);
        out
    }
}

impl CommonResponse {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // A negative number of 32 bits is written as one of 64.
        put_number(&mut out, 1, i64::from(self.status) as u64);
        put_bytes(&mut out, 2, self.error_message.as_bytes());
        out
    }
}

fn put_all<T>(out: &mut Vec<u8>, field: u32, items: &[T], encode: fn(&T) -> Vec<u8>) {
    for item in items {
        put_item(out, field, &encode(item));
    }
}

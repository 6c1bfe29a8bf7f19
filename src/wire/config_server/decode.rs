//! Reading the messages.

use super::{
    Attributes, CommonResponse, ConfigDetail, ConfigInfo, ConfigStatus, FetchRequest, FetchResponse,
    HeartbeatRequest, HeartbeatResponse, MOST_CONFIGS, MOST_PAIRS, MessageError, Tag,
};
use crate::wire::protobuf::{Field, Fields, VARINT};

type Outcome<T> = Result<T, MessageError>;

impl HeartbeatRequest {
    pub fn decode(bytes: &[u8]) -> Outcome<HeartbeatRequest> {
        let mut request = HeartbeatRequest::default();
        each(bytes, |field| {
            match field.number {
                1 => request.request_id = field.bytes()?.to_vec(),
                2 => request.sequence_num = number(&field)?,
                3 => request.capabilities = number(&field)?,
                4 => request.instance_id = text(&field)?,
                5 => request.agent_type = text(&field)?,
                6 => request.attributes = Some(Attributes::decode(field.bytes()?)?),
                7 => push(&mut request.tags, Tag::decode(field.bytes()?)?, "tags", MOST_PAIRS)?,
                8 => request.running_status = text(&field)?,
                9 => request.startup_time = number(&field)? as i64,
                10 => config(&mut request.pipeline_configs, ConfigInfo::decode(field.bytes()?)?)?,
                11 => config(&mut request.instance_configs, ConfigInfo::decode(field.bytes()?)?)?,
                12 => config(&mut request.onetime_configs, ConfigInfo::decode(field.bytes()?)?)?,
                13 => request.flags = number(&field)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(request)
    }
}

impl HeartbeatResponse {
    pub fn decode(bytes: &[u8]) -> Outcome<HeartbeatResponse> {
        let mut response = HeartbeatResponse::default();
        each(bytes, |field| {
            match field.number {
                1 => response.request_id = field.bytes()?.to_vec(),
                2 => response.common = CommonResponse::decode(field.bytes()?)?,
                3 => response.capabilities = number(&field)?,
                4 => config(&mut response.pipeline_updates, ConfigDetail::decode(field.bytes()?)?)?,
                5 => config(&mut response.instance_updates, ConfigDetail::decode(field.bytes()?)?)?,
                6 => config(&mut response.onetime_updates, ConfigDetail::decode(field.bytes()?)?)?,
                7 => response.flags = number(&field)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(response)
    }
}

impl FetchRequest {
    pub fn decode(bytes: &[u8]) -> Outcome<FetchRequest> {
        let mut request = FetchRequest::default();
        each(bytes, |field| {
            match field.number {
                1 => request.request_id = field.bytes()?.to_vec(),
                2 => request.instance_id = text(&field)?,
                3 => config(&mut request.pipeline_configs, ConfigInfo::decode(field.bytes()?)?)?,
                4 => config(&mut request.instance_configs, ConfigInfo::decode(field.bytes()?)?)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(request)
    }
}

impl FetchResponse {
    pub fn decode(bytes: &[u8]) -> Outcome<FetchResponse> {
        let mut response = FetchResponse::default();
        each(bytes, |field| {
            match field.number {
                1 => response.request_id = field.bytes()?.to_vec(),
                2 => response.common = CommonResponse::decode(field.bytes()?)?,
                3 => config(&mut response.pipeline_updates, ConfigDetail::decode(field.bytes()?)?)?,
                4 => config(&mut response.instance_updates, ConfigDetail::decode(field.bytes()?)?)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(response)
    }
}

impl Attributes {
    fn decode(bytes: &[u8]) -> Outcome<Attributes> {
        let mut attributes = Attributes::default();
        each(bytes, |field| {
            match field.number {
                1 => attributes.version = text(&field)?,
                2 => attributes.ip = text(&field)?,
                3 => attributes.hostname = text(&field)?,
                4 => attributes.host_id = text(&field)?,
                100 => push(&mut attributes.extras, Tag::decode(field.bytes()?)?, "extras", MOST_PAIRS)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(attributes)
    }
}

impl Tag {
    /// An entry of a map is laid out like a tag.
    fn decode(bytes: &[u8]) -> Outcome<Tag> {
        let mut tag = Tag::default();
        each(bytes, |field| {
            match field.number {
                1 => tag.name = text(&field)?,
                2 => tag.value = text(&field)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(tag)
    }
}

impl ConfigInfo {
    fn decode(bytes: &[u8]) -> Outcome<ConfigInfo> {
        let mut info = ConfigInfo::default();
        each(bytes, |field| {
            match field.number {
                1 => info.name = text(&field)?,
                2 => info.version = number(&field)? as i64,
                3 => {
                    info.status = match number(&field)? {
                        1 => ConfigStatus::Applying,
                        2 => ConfigStatus::Applied,
                        3 => ConfigStatus::Failed,
                        _ => ConfigStatus::Unset,
                    }
                }
                4 => info.message = text(&field)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(info)
    }
}

impl ConfigDetail {
    fn decode(bytes: &[u8]) -> Outcome<ConfigDetail> {
        let mut detail = ConfigDetail::default();
        each(bytes, |field| {
            match field.number {
                1 => detail.name = text(&field)?,
                2 => detail.version = number(&field)? as i64,
                3 => detail.detail = field.bytes()?.to_vec(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(detail)
    }
}

impl CommonResponse {
    fn decode(bytes: &[u8]) -> Outcome<CommonResponse> {
        let mut common = CommonResponse::default();
        each(bytes, |field| {
            match field.number {
                1 => common.status = number(&field)? as i32,
                2 => common.error_message = text(&field)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(common)
    }
}

fn each<'a>(bytes: &'a [u8], mut take: impl FnMut(Field<'a>) -> Outcome<()>) -> Outcome<()> {
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next()? {
        take(field)?;
    }
    Ok(())
}

fn number(field: &Field<'_>) -> Outcome<u64> {
    Ok(field.number_of(VARINT)?)
}

fn text(field: &Field<'_>) -> Outcome<String> {
    Ok(String::from_utf8_lossy(field.bytes()?).into_owned())
}

fn config<T>(list: &mut Vec<T>, item: T) -> Outcome<()> {
    push(list, item, "configs", MOST_CONFIGS)
}

fn push<T>(list: &mut Vec<T>, item: T, what: &'static str, most: usize) -> Outcome<()> {
    if list.len() >= most {
        return Err(MessageError::TooMany { what, most });
    }
    list.push(item);
    Ok(())
}

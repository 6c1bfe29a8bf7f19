//! A destination as typed: a place in the cloud's Log Service with its keys, or the embedded one, and how it is served.

use std::time::Duration;

use super::{HOUR, MOMENT, absolute, credentials, field_key, logstore_name, project_name};
use crate::base::limits::{KIB, LOG_GROUP_BYTES};
use crate::base::secret::Secret;
use crate::config::endpoint::{Endpoint, Network, parse_region};
use crate::config::leaf::Address;
use crate::config::plan::{
    AutoCreate, BatchGroup, CloudPlan, Compression, LOCAL, LogstoreMode, ProxyPlan, ShardKeyPart,
    SignatureChoice, SourceAddress, TransportPlan,
};
use crate::config::reader::{Leaf, Table};
use crate::config::template::Template;

/// Shards of a new logstore, by the documentation of CreateLogstore.
const SHARDS: usize = 10;
/// Days that mean for ever.
const FOR_EVER: usize = 3650;

#[derive(Default)]
pub(in crate::config) struct RawDestination {
    pub(in crate::config) name: String,
    pub(in crate::config) path: String,
    /// Absent for `local`, and when a required key is missing.
    pub(in crate::config) cloud: Option<RawCloud>,
    pub(in crate::config) metrics_logstore: Option<String>,
    pub(in crate::config) traces_logstore: Option<String>,
    pub(in crate::config) blobs_logstore: Option<String>,
    pub(in crate::config) profiles_logstore: Option<String>,
    pub(in crate::config) topic: Option<Template>,
    pub(in crate::config) compression: Option<Compression>,
    pub(in crate::config) in_flight: Option<usize>,
    pub(in crate::config) max_rate: Option<u64>,
    pub(in crate::config) shard_key: Vec<ShardKeyPart>,
    pub(in crate::config) batch_group: Option<BatchGroup>,
    pub(in crate::config) auto_create: Option<AutoCreate>,
    pub(in crate::config) request_timeout: Option<Duration>,
    pub(in crate::config) batch_bytes: Option<u64>,
    pub(in crate::config) batch_age: Option<Duration>,
    pub(in crate::config) source: Option<SourceAddress>,
    pub(in crate::config) tags: Vec<(String, String)>,
    pub(in crate::config) hostname_tag: Option<bool>,
    pub(in crate::config) receive_time_tag: Option<bool>,
    pub(in crate::config) buffer: Option<String>,
}

pub(in crate::config) struct RawCloud {
    pub(in crate::config) place: CloudPlan,
    pub(in crate::config) project: String,
    pub(in crate::config) logstore: String,
}

pub(super) fn destination((name, leaf): (String, Leaf<'_>)) -> Option<RawDestination> {
    let path = leaf.path().to_owned();
    let mut table = leaf.table()?;
    let auto_create = if name == LOCAL {
        table.refuse("auto_create", "`local` is the embedded Log Service, which makes what it needs");
        None
    } else {
        auto_create(table.take("auto_create"))
    };
    let cloud = if name == LOCAL { embedded(&mut table) } else { cloud(&mut table, true) };
    let signals = ["metrics_logstore", "traces_logstore", "blobs_logstore", "profiles_logstore"];
    let [metrics_logstore, traces_logstore, blobs_logstore, profiles_logstore] =
        signals.map(|key| table.take(key).parsed("text", logstore_name));
    let settings = RawDestination {
        auto_create,
        metrics_logstore,
        traces_logstore,
        blobs_logstore,
        profiles_logstore,
        ..settings(&mut table)
    };
    table.finish();
    Some(RawDestination { cloud, name, path, ..settings })
}

/// Where what is collected goes: logstores are the configurations' own, and the project is the only one that is asked, where
/// there is one. Also gives whether nothing is ever to be made.
pub(super) fn collecting(leaf: Leaf<'_>) -> Option<(RawDestination, bool)> {
    let path = leaf.path().to_owned();
    let mut table = leaf.table()?;
    for key in ["logstore", "metrics_logstore", "traces_logstore", "blobs_logstore", "profiles_logstore"] {
        table.refuse(key, "is what each configuration says that is collected; leave it out");
    }
    let typed = table.take("auto_create");
    let is_typed = typed.is_present();
    let auto_create = auto_create(typed);
    let makes_nothing = is_typed && auto_create.is_none();
    let cloud = cloud(&mut table, false);
    let settings = RawDestination { auto_create, ..settings(&mut table) };
    table.finish();
    Some((RawDestination { cloud, path, ..settings }, makes_nothing))
}

/// How records are sent, wherever that is.
fn settings(table: &mut Table<'_>) -> RawDestination {
    RawDestination {
        topic: table.take("topic").template(),
        compression: table.take("compression").choice(&[
            ("lz4", Compression::Lz4),
            ("zstd", Compression::Zstd),
            ("none", Compression::None),
        ]),
        in_flight: table.take("in_flight").integer(1..=256),
        max_rate: table.take("max_rate").size(KIB as u64..=1 << 40),
        shard_key: table.take("shard_key").any_number("one part", ShardKeyPart::parse).unwrap_or_default(),
        batch_group: table.take("batch_group").choice(&[
            ("auto", BatchGroup::Auto),
            ("on", BatchGroup::On),
            ("off", BatchGroup::Off),
        ]),
        request_timeout: table.take("request_timeout").duration(MOMENT..=HOUR),
        batch_bytes: table.take("batch_bytes").size(KIB as u64..=LOG_GROUP_BYTES as u64),
        batch_age: table.take("batch_age").duration(MOMENT..=HOUR),
        source: table.take("source").choice(&[("peer", SourceAddress::Peer), ("host", SourceAddress::Host)]),
        tags: tags(table.take("tags")),
        hostname_tag: table.take("hostname_tag").boolean(),
        receive_time_tag: table.take("receive_time_tag").boolean(),
        buffer: table.take("buffer").text(),
        ..RawDestination::default()
    }
}

/// true, false, or what is made in other words than the defaults.
fn auto_create(leaf: Leaf<'_>) -> Option<AutoCreate> {
    if !leaf.is_map() {
        return leaf.boolean()?.then(AutoCreate::default);
    }
    let mut table = leaf.table()?;
    let default = AutoCreate::default();
    let typed = AutoCreate {
        shards: table.take("shards").integer(1..=SHARDS).unwrap_or(default.shards),
        ttl: table.take("ttl").integer(1..=FOR_EVER).unwrap_or(default.ttl),
        mode: table
            .take("mode")
            .choice(&[("standard", LogstoreMode::Standard), ("query", LogstoreMode::Query)])
            .unwrap_or(default.mode),
        index: table.take("index").boolean().unwrap_or(default.index),
        ..default
    };
    table.finish();
    Some(typed)
}

fn tags(leaf: Leaf<'_>) -> Vec<(String, String)> {
    leaf.entries()
        .into_iter()
        .filter_map(|(key, leaf)| Some((field_key(key, &leaf)?, leaf.text()?)))
        .collect()
}

/// `is_one`: it is one logstore of one project.
fn cloud(table: &mut Table<'_>, is_one: bool) -> Option<RawCloud> {
    let place = place(table);
    let (project, logstore) = if is_one {
        let project = table.take("project").required("write the Log Service project");
        let logstore = table.take("logstore").required("write the logstore in that project");
        (project.parsed("text", project_name), logstore.parsed("text", logstore_name))
    } else {
        let typed = table.has("project");
        let project = table.take("project").parsed("text", project_name);
        (if typed { project } else { Some(String::new()) }, Some(String::new()))
    };
    let credentials = credentials::keys(table);
    let (connect, transport) = transport(table, place.as_ref().map(|(endpoint, _)| endpoint));
    let signature = signature(table, place.as_ref().is_none_or(|(_, region)| region.is_some()));
    let (endpoint, region) = place?;
    let place =
        CloudPlan { endpoint, connect, region, signature: signature?, transport, credentials: credentials? };
    Some(RawCloud { place, project: project?, logstore: logstore? })
}

/// The endpoint, typed or that of a region, and the region, typed or that of the endpoint.
fn place(table: &mut Table<'_>) -> Option<(Endpoint, Option<String>)> {
    let has_region = table.has("region");
    let typed_region = table.take("region").parsed("text", parse_region);
    let networks = [
        ("public", Network::Public),
        ("internal", Network::Internal),
        ("acceleration", Network::Acceleration),
    ];
    if has_region && !table.has("endpoint") {
        table.take("endpoint");
        let network = table.take("network").choice(&networks);
        let region = typed_region?;
        return Some((Endpoint::of_region(&region, network.unwrap_or(Network::Public)), Some(region)));
    }
    table.refuse(
        "network",
        "says how a region is reached, and the endpoint says that too; leave one of them out",
    );
    let hint = "write https://cn-hangzhou.log.aliyuncs.com, or region: cn-hangzhou";
    let endpoint = table.take("endpoint").required(hint).endpoint()?;
    let region = typed_region.or_else(|| endpoint.region().map(str::to_owned));
    Some((endpoint, region))
}

fn signature(table: &mut Table<'_>, has_region: bool) -> Option<SignatureChoice> {
    if !table.has("signature") {
        table.take("signature");
        return Some(SignatureChoice::Auto);
    }
    let choices = [("auto", SignatureChoice::Auto), ("v1", SignatureChoice::V1), ("v4", SignatureChoice::V4)];
    let signature = table.take("signature").choice(&choices)?;
    if signature == SignatureChoice::V4 && !has_region {
        table.fault(
            "signature",
            "v4 signs for a region, and this endpoint names none; set region: cn-hangzhou",
        );
        return None;
    }
    Some(signature)
}

/// How the endpoint is reached: an address instead of its name, through a proxy, and who signed its certificate.
fn transport(table: &mut Table<'_>, endpoint: Option<&Endpoint>) -> (Option<Address>, TransportPlan) {
    let connect = table.take("connect").address();
    if connect.is_some() && endpoint.is_some_and(Endpoint::is_address) {
        table.fault(
            "connect",
            "stands for looking up a name, and the endpoint is an address already; leave it out",
        );
    }
    let proxy = table.take("proxy").parsed_secretly(proxy).unwrap_or_default();
    if connect.is_some() && matches!(proxy, ProxyPlan::Url(_)) {
        table.fault("proxy", "and `connect` both say where to connect; leave one of them out");
    }
    let mut tls = table.take_table("tls");
    let ca_file = tls.take("ca_file").parsed("a path", absolute);
    tls.finish();
    (connect, TransportPlan { proxy, ca_file })
}

/// `environment`, `none`, or a URL that may hold a password.
fn proxy(text: &str) -> Result<ProxyPlan, String> {
    let wrong = || {
        "is no proxy; write http://host:port, http://user:password@host:port, none or environment".to_owned()
    };
    match text {
        "environment" => return Ok(ProxyPlan::Environment),
        "none" => return Ok(ProxyPlan::None),
        _ => {}
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let has_password = host.len() < rest.len();
    if has_password && !rest[..rest.len() - host.len()].contains(':') {
        return Err(wrong());
    }
    Endpoint::parse(&format!("{scheme}://{host}")).map_err(|_| wrong())?;
    Ok(ProxyPlan::Url(Secret::new(text.to_owned())))
}

/// `local` has its place and its key from the embedded Log Service.
fn embedded(table: &mut Table<'_>) -> Option<RawCloud> {
    let own =
        "`local` is the embedded Log Service, which knows its own; give another destination another name";
    for key in [
        "endpoint",
        "region",
        "network",
        "connect",
        "signature",
        "proxy",
        "tls",
        "credentials",
        "access_key_id",
        "access_key_secret",
        "security_token",
    ] {
        table.refuse(key, own);
    }
    table.refuse("project", "`local` is the embedded Log Service; set log_service.project");
    table.refuse("logstore", "`local` is the embedded Log Service; set log_service.logstore");
    None
}

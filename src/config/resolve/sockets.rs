//! No two sockets on one address of one transport, and no two on one path.

use std::path::Path;

use crate::config::errors::Faults;
use crate::config::leaf::Address;
use crate::config::plan::{InputKind, Listen, Plan};

struct Bound<'p> {
    /// The key that can be changed.
    key: String,
    /// `inputs.NAME`, or the key again.
    owner: String,
    listen: Shown<'p>,
}

enum Shown<'p> {
    Tcp(&'p Address),
    Udp(&'p Address),
    Path(&'p Path, &'static str),
}

pub(super) fn check(plan: &Plan, faults: &Faults) {
    let bound = bound(plan);
    // One `host:port` may be two sockets; that both are taken is said once.
    let mut told: Vec<(&str, &str, String)> = Vec::new();
    for (index, this) in bound.iter().enumerate() {
        let Some(other) = bound.iter().take(index).find(|before| before.listen.collides(&this.listen)) else {
            continue;
        };
        let place = this.listen.place();
        let once = (this.owner.as_str(), other.owner.as_str(), place);
        if told.contains(&once) {
            continue;
        }
        told.push(once);
        let (mine, theirs, other) = (this.listen.text(), other.listen.text(), &other.key);
        let what = match this.listen {
            Shown::Path(..) => format!("`{mine}` is taken by {other}; give each its own path"),
            _ => format!("`{mine}` is taken by {other} ({theirs}); give each its own port"),
        };
        faults.key(&this.key, what);
    }
}

/// All TCP first: of two faults of one address the plainer one is told.
fn bound(plan: &Plan) -> Vec<Bound<'_>> {
    let (mut streams, mut datagrams, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    for input in &plan.inputs {
        let owner = format!("inputs.{}", input.name);
        let of = |key: &str, listen| Bound { key: format!("{owner}.{key}"), owner: owner.clone(), listen };
        for listen in input.kind.listen() {
            match listen {
                Listen::Tcp(address) => streams.push(of("listen", Shown::Tcp(address))),
                Listen::Udp(address) => datagrams.push(of("listen", Shown::Udp(address))),
                Listen::Unix(path) => paths.push(of("listen", Shown::Path(path, "unix:"))),
                Listen::Unixgram(path) => paths.push(of("listen", Shown::Path(path, "unixgram:"))),
            }
        }
        match &input.kind {
            InputKind::Forward(forward) if forward.udp_heartbeat => {
                for listen in &forward.listen {
                    if let Listen::Tcp(address) = listen {
                        datagrams.push(of("udp_heartbeat", Shown::Udp(address)));
                    }
                }
            }
            InputKind::DockerPlugin(plugin) => paths.push(of("socket", Shown::Path(&plugin.socket, ""))),
            _ => {}
        }
    }
    let services = plan.log_service.iter().map(|service| ("log_service.listen", &service.listen));
    for (key, address) in services.chain([("operations.listen", &plan.operations.listen)]) {
        streams.push(Bound { key: key.to_owned(), owner: key.to_owned(), listen: Shown::Tcp(address) });
    }
    streams.into_iter().chain(datagrams).chain(paths).collect()
}

impl Shown<'_> {
    fn collides(&self, other: &Shown<'_>) -> bool {
        match (self, other) {
            (Shown::Tcp(one), Shown::Tcp(two)) | (Shown::Udp(one), Shown::Udp(two)) => one.collides(two),
            (Shown::Path(one, _), Shown::Path(two, _)) => one == two,
            _ => false,
        }
    }

    fn place(&self) -> String {
        match self {
            Shown::Tcp(address) | Shown::Udp(address) => address.to_string(),
            Shown::Path(path, _) => path.display().to_string(),
        }
    }

    fn text(&self) -> String {
        match self {
            Shown::Tcp(address) => address.to_string(),
            Shown::Udp(address) => format!("udp:{address}"),
            Shown::Path(path, kind) => format!("{kind}{}", path.display()),
        }
    }
}

//! Machines that sent heartbeats. Anybody who reaches the port may send one, so all of it is bounded: the texts of a
//! machine, and the number of machines. Where there are too many, those that were silent longest make room, and a machine
//! that came lately never does.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::machine_group::{IdentifiedBy, MEMBER_BYTES};

/// A machine that was silent for so many seconds is gone from groups by id: its host may not come back under it.
const SILENT: i64 = 600;
/// What is known of a machine is forgotten after so many seconds of silence.
const FORGOTTEN: i64 = 24 * 3600;
/// How often those are looked for.
const PRUNE: i64 = 60;
const MACHINES: usize = 10_000;
/// User-defined ids of one machine: as many as our own agent says.
pub const MOST_IDS: usize = 100;
/// All of them together.
const IDS_BYTES: usize = 4096;

/// What a machine says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Unique, and its own.
    pub instance_id: String,
    pub ip: String,
    pub hostname: String,
    pub host_id: String,
    /// User-defined.
    pub ids: Vec<String>,
}

/// A machine of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub identity: Arc<Identity>,
    /// Seconds since 1970; 0: never.
    pub last_heartbeat: i64,
}

/// By instance id.
#[derive(Debug, Default)]
pub struct Machines {
    all: HashMap<String, Machine>,
    /// When room was last looked for, and when the forgotten were last let go of: a flood of strangers shall not make every
    /// heartbeat look at all machines.
    looked: i64,
    pruned: i64,
}

impl Identity {
    /// Why it is not taken.
    pub fn check(&self) -> Result<(), String> {
        if self.instance_id.is_empty() {
            return Err("instance_id is missing".into());
        }
        let texts = [
            ("instance_id", &self.instance_id),
            ("ip", &self.ip),
            ("hostname", &self.hostname),
            ("hostid", &self.host_id),
        ];
        if let Some((name, _)) = texts.iter().find(|(_, text)| text.len() > MEMBER_BYTES) {
            return Err(format!("{name} has more than {MEMBER_BYTES} bytes"));
        }
        let bytes: usize = self.ids.iter().map(String::len).sum();
        if self.ids.len() > MOST_IDS || bytes > IDS_BYTES || self.ids.iter().any(|id| id.len() > MEMBER_BYTES)
        {
            return Err(format!(
                "the user-defined ids are more than {MOST_IDS}, or more than {MEMBER_BYTES} bytes each, {IDS_BYTES} together"
            ));
        }
        Ok(())
    }

    /// By what it belongs to groups by user-defined id.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let own = [self.ip.as_str(), self.hostname.as_str()];
        self.ids.iter().map(String::as_str).chain(own).filter(|name| !name.is_empty())
    }

    fn belongs(&self, by: IdentifiedBy, members: &BTreeSet<String>) -> bool {
        match by {
            IdentifiedBy::Address => members.contains(&self.ip),
            IdentifiedBy::UserDefined => self.names().any(|name| members.contains(name)),
        }
    }
}

impl Machines {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn note(&mut self, identity: Identity, now: i64) -> bool {
        if now - self.pruned >= PRUNE {
            self.pruned = now;
            self.all.retain(|_, machine| now - machine.last_heartbeat < FORGOTTEN);
        }
        if let Some(machine) = self.all.get_mut(&identity.instance_id) {
            machine.last_heartbeat = now;
            if *machine.identity != identity {
                machine.identity = Arc::new(identity);
            }
            return true;
        }
        if self.all.len() >= MACHINES && !self.make_room(now) {
            return false;
        }
        let instance_id = identity.instance_id.clone();
        self.all.insert(instance_id, Machine { identity: Arc::new(identity), last_heartbeat: now });
        true
    }

    fn make_room(&mut self, now: i64) -> bool {
        if self.looked != now {
            self.looked = now;
            self.all.retain(|_, machine| now - machine.last_heartbeat < SILENT);
        }
        self.all.len() < MACHINES
    }

    pub(super) fn get(&self, instance_id: &str) -> Option<Arc<Identity>> {
        self.all.get(instance_id).map(|machine| machine.identity.clone())
    }

    /// In the order of their addresses.
    pub(super) fn of(&self, by: IdentifiedBy, members: &BTreeSet<String>, now: i64) -> Vec<Machine> {
        let is_there =
            |machine: &&Machine| by == IdentifiedBy::Address || now - machine.last_heartbeat < SILENT;
        let mut found: Vec<Machine> = self
            .all
            .values()
            .filter(is_there)
            .filter(|machine| machine.identity.belongs(by, members))
            .cloned()
            .collect();
        if by == IdentifiedBy::Address {
            let came: BTreeSet<String> = found.iter().map(|machine| machine.identity.ip.clone()).collect();
            found.extend(members.difference(&came).map(|ip| Machine {
                identity: Arc::new(Identity { ip: ip.clone(), ..Identity::default() }),
                last_heartbeat: 0,
            }));
        }
        found.sort_by(|a, b| {
            (&a.identity.ip, &a.identity.instance_id).cmp(&(&b.identity.ip, &b.identity.instance_id))
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(instance: &str, ip: &str, ids: &[&str]) -> Identity {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let instance_id = instance.to_owned();
        Identity {
            instance_id,
            ip: ip.into(),
            hostname: format!("host-{instance}"),
            ids,
            ..Identity::default()
        }
    }

    fn members(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn seen(machines: &[Machine]) -> Vec<(&str, &str, i64)> {
        let seen = machines.iter();
        seen.map(|one| (one.identity.ip.as_str(), one.identity.instance_id.as_str(), one.last_heartbeat))
            .collect()
    }

    #[test]
    fn a_group_lists_who_came_lately_and_all_addresses() {
        let mut machines = Machines::default();
        assert!(machines.note(identity("a", "10.0.0.1", &["web"]), 1000));
        assert!(machines.note(identity("b", "10.0.0.2", &["db", "web"]), 1500));
        assert!(machines.note(identity("c", "10.0.0.3", &[]), 1500));
        let by_id =
            |machines: &Machines, now| machines.of(IdentifiedBy::UserDefined, &members(&["web"]), now);
        assert_eq!(seen(&by_id(&machines, 1599)), [("10.0.0.1", "a", 1000), ("10.0.0.2", "b", 1500)]);
        assert_eq!(seen(&by_id(&machines, 1600)), [("10.0.0.2", "b", 1500)]);
        let by_host = machines.of(IdentifiedBy::UserDefined, &members(&["host-c"]), 1600);
        assert_eq!(seen(&by_host), [("10.0.0.3", "c", 1500)]);
        let listed = members(&["10.0.0.1", "10.0.0.9"]);
        let by_address = machines.of(IdentifiedBy::Address, &listed, 9000);
        assert_eq!(seen(&by_address), [("10.0.0.1", "a", 1000), ("10.0.0.9", "", 0)]);
        // It moves.
        assert!(machines.note(identity("a", "10.0.0.9", &["web"]), 9100));
        let by_address = machines.of(IdentifiedBy::Address, &listed, 9100);
        assert_eq!(seen(&by_address), [("10.0.0.1", "", 0), ("10.0.0.9", "a", 9100)]);
    }

    #[test]
    fn strangers_do_not_drive_machines_out() {
        let mut machines = Machines::default();
        for number in 0..MACHINES {
            assert!(machines.note(identity(&number.to_string(), "", &[]), 1000));
        }
        assert!(!machines.note(identity("late", "", &[]), 1599));
        assert!(machines.note(identity("7", "", &[]), 1599), "who is known stays");
        assert!(machines.note(identity("late", "", &[]), 1600), "the silent make room");
        assert_eq!(machines.len(), 2);
    }

    #[test]
    fn texts_are_bounded() {
        assert!(identity("a", "10.0.0.1", &["web"]).check().is_ok());
        let long = "x".repeat(257);
        for wrong in [
            identity("", "10.0.0.1", &[]),
            identity(&long, "10.0.0.1", &[]),
            identity("a", &long, &[]),
            identity("a", "", &[&long]),
            identity("a", "", &["x"; 101]),
            identity("a", "", &["x".repeat(250).as_str(); 17]),
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}

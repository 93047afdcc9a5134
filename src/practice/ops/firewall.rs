//! firewalld, ufw and SELinux.

use std::{fmt::Write as _, path::Path};

use super::Done;
use crate::{
    cluster::HostName,
    practice::{
        host::{Firewall, Host},
        units,
        world::World,
    },
    remote::op::{Owner, UnitVerb},
};

const SELINUX: &str = "/etc/selinux/config";

pub fn off(world: &mut World, name: &HostName) -> Done {
    let Some(host) = world.hosts.get_mut(name) else { return Done::default() };
    let written = selinux_file(host, "enforcing", "permissive");
    if written.status != 0 {
        return written;
    }
    if let Some(enforcing) = &mut host.selinux {
        *enforcing = false;
    }
    if host.firewalld.is_some() {
        let (status, said) = units::systemctl(world, name, UnitVerb::Disable, "firewalld");
        if status != 0 {
            return Done::failed(status, said);
        }
    }
    if world.hosts.get(name).is_some_and(Host::firewalld_active) {
        units::systemctl(world, name, UnitVerb::Stop, "firewalld");
    }
    if let Some((active, _)) = world.hosts.get_mut(name).and_then(|h| h.ufw.as_mut()) {
        *active = false;
    }
    written
}

fn selinux_file(host: &mut Host, from: &str, to: &str) -> Done {
    let Some(text) = host.files.text(SELINUX) else { return Done::default() };
    let new = text.replace(&format!("SELINUX={from}"), &format!("SELINUX={to}"));
    if new == text {
        return Done::default();
    }
    match host.files.put(Path::new(SELINUX), new.into(), 0o644, Owner::root()) {
        Ok(()) => Done::default(),
        Err(e) => super::complain(&format!("sed: couldn't open temporary file {SELINUX}"), e),
    }
}

pub fn on(world: &mut World, name: &HostName, firewalld: bool, ufw: bool, selinux: bool) -> Done {
    if firewalld {
        for verb in [UnitVerb::Enable, UnitVerb::Start] {
            let (status, said) = units::systemctl(world, name, verb, "firewalld");
            if status != 0 {
                return Done::failed(status, said);
            }
        }
    }
    let Some(host) = world.hosts.get_mut(name) else { return Done::default() };
    if firewalld && let Some(Firewall { open, permanent }) = &mut host.firewalld {
        open.clone_from(permanent);
    }
    if ufw && let Some((active, _)) = &mut host.ufw {
        *active = true;
    }
    if selinux {
        host.selinux = host.selinux.map(|_| true);
        return selinux_file(host, "permissive", "enforcing");
    }
    Done::default()
}

pub fn missing(host: &Host, ports: &[u16]) -> Done {
    let mut out = String::new();
    for port in ports {
        let firewalld = host.firewalld.as_ref().filter(|_| host.firewalld_active());
        let closed = firewalld.is_some_and(|f| !f.open.contains(port) || !f.permanent.contains(port));
        let denied = host.ufw.as_ref().is_some_and(|(active, allowed)| *active && !allowed.contains(port));
        if closed || denied {
            let _ = writeln!(out, "{port}");
        }
    }
    Done::out(out)
}

pub fn set_ports(host: &mut Host, ports: &[u16], open: bool) -> Done {
    let active = host.firewalld_active();
    for port in ports {
        if let Some(firewall) = host.firewalld.as_mut().filter(|_| active) {
            for set in [&mut firewall.open, &mut firewall.permanent] {
                if open {
                    set.insert(*port);
                } else {
                    set.remove(port);
                }
            }
        }
        if let Some((true, allowed)) = &mut host.ufw {
            if open {
                allowed.insert(*port);
            } else {
                allowed.remove(port);
            }
        }
    }
    Done::default()
}

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
    let Some(host) = world.hosts.get(name) else { return Done::default() };
    let (enabled, active) = (units::enabled(host, "firewalld"), host.firewalld_active());
    for verb in
        [(enabled, UnitVerb::Disable), (active, UnitVerb::Stop)].into_iter().filter_map(|(on, v)| on.then_some(v))
    {
        let (status, said) = units::systemctl(world, name, verb, "firewalld");
        if status != 0 {
            return Done::failed(status, said);
        }
    }
    let Some(host) = world.hosts.get_mut(name) else { return Done::default() };
    if let Some((active, _)) = &mut host.ufw {
        *active = false;
    }
    let done = selinux_file(host, "enforcing", "permissive");
    if done.status == 0
        && let Some(enforcing) = &mut host.selinux
    {
        *enforcing = false;
    }
    done
}

fn selinux_file(host: &mut Host, from: &str, to: &str) -> Done {
    let Some(text) = host.files.text(SELINUX) else { return Done::default() };
    let new = text.replace(&format!("SELINUX={from}"), &format!("SELINUX={to}"));
    if new == text {
        return Done::default();
    }
    match host.files.put(Path::new(SELINUX), new.into(), 0o644, Owner::root()) {
        Ok(()) => Done::default(),
        Err(e) => Done::failed(4, format!("sed: couldn't open temporary file /etc/selinux/sedAAAAAA: {}\n", e.words())),
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
    if !selinux {
        return Done::default();
    }
    let done = selinux_file(host, "permissive", "enforcing");
    if done.status == 0 {
        host.selinux = host.selinux.map(|_| true);
    }
    done
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

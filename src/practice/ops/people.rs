//! Operations on users and the hostname.

use std::path::Path;

use super::{Done, complain};
use crate::{practice::host::Host, remote::op::Owner};

pub fn set_hostname(host: &mut Host, name: &str) -> Done {
    match host.files.put(Path::new("/etc/hostname"), format!("{name}\n").into(), 0o644, Owner::root()) {
        Ok(()) => Done::default(),
        Err(e) => complain("Could not set static hostname", e),
    }
}

/// The line of a user in passwd(5); numbers follow from the order in which users were made.
fn passwd_line(host: &Host, name: &str, home: &Path) -> String {
    let number = 990 - host.users.len();
    format!("{name}:x:{number}:{number}::{}:/usr/sbin/nologin\n", home.display())
}

pub fn add_user(host: &mut Host, name: &str, home: &Path) -> Done {
    if let Err(e) = host.files.writable() {
        return Done::failed(10, format!("groupadd: cannot lock /etc/group; try again later. ({})\n", e.words()));
    }
    if host.users.contains(name) {
        host.groups.insert(name.to_owned());
        return Done::default();
    }
    let passwd = host.files.text("/etc/passwd").unwrap_or_default() + &passwd_line(host, name, home);
    match host.files.put(Path::new("/etc/passwd"), passwd.into(), 0o644, Owner::root()) {
        Ok(()) => {
            host.groups.insert(name.to_owned());
            host.users.insert(name.to_owned());
            Done::default()
        }
        Err(e) => Done::failed(1, format!("useradd: failure while writing changes to /etc/passwd ({})\n", e.words())),
    }
}

pub fn remove_user(host: &mut Host, name: &str) -> Done {
    if !host.users.contains(name) && !host.groups.contains(name) {
        return Done::default();
    }
    if let Err(e) = host.files.writable() {
        return Done::failed(1, format!("userdel: cannot lock /etc/passwd; try again later. ({})\n", e.words()));
    }
    host.users.remove(name);
    host.groups.remove(name);
    let text = host.files.text("/etc/passwd").unwrap_or_default();
    let kept: String = text.split_inclusive('\n').filter(|l| !l.starts_with(&format!("{name}:"))).collect();
    match host.files.put(Path::new("/etc/passwd"), kept.into(), 0o644, Owner::root()) {
        Ok(()) => Done::default(),
        Err(e) => complain("userdel: cannot rewrite /etc/passwd", e),
    }
}

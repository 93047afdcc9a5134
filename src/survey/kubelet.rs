//! kubelet as it is started on a host: its unit, what is dropped into it, the variables it reads, and the name that comes of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    cluster::HostName,
    remote::{Io, Op, Remote, RemoteError, clean, shell::NOT_THERE},
};

/// The flag that gives a node its name; without it that is the system's hostname.
pub const NAME_FLAG: &str = "hostname-override";

/// How a kubelet is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// There is no unit to be read.
    NoUnit,
    /// By the system's hostname.
    Hostname,
    /// By its flag.
    Flag(String),
}

/// How a host's kubelet is named by the files that start it.
pub async fn named(remote: &dyn Remote, host: &HostName, unit: &Path) -> Result<Named, RemoteError> {
    let Some(text) = text(remote, host, unit).await? else { return Ok(Named::NoUnit) };
    let mut texts = vec![text];
    for path in drop_ins(remote, host, unit).await? {
        texts.extend(self::text(remote, host, &path).await?);
    }
    for file in texts.iter().flat_map(|t| environment_files(t)).collect::<Vec<_>>() {
        texts.extend(self::text(remote, host, &file).await?);
    }
    Ok(texts.iter().rev().find_map(|t| hostname_override(t)).map_or(Named::Hostname, Named::Flag))
}

async fn text(remote: &dyn Remote, host: &HostName, path: &Path) -> Result<Option<String>, RemoteError> {
    let op = Op::ReadFile { path: path.to_owned() };
    let out = remote.run(host, &op, Io::default()).await?;
    if out.status == NOT_THERE {
        return Ok(None);
    }
    Ok(Some(out.checked(host, &op)?.text().into_owned()))
}

/// What is dropped into a unit on a host, in the order in which systemd reads it: by name, from beside the unit and from
/// `/etc`, which wins where both have a name.
pub async fn drop_ins(remote: &dyn Remote, host: &HostName, unit: &Path) -> Result<Vec<PathBuf>, RemoteError> {
    let mut own = unit.to_owned().into_os_string();
    own.push(".d");
    let own = PathBuf::from(own);
    let etc = Path::new("/etc/systemd/system").join(own.file_name().unwrap_or_default());
    let mut found = BTreeMap::new();
    for dir in if own == etc { vec![own] } else { vec![own, etc] } {
        let op = Op::ListDir { dir: dir.clone() };
        let names = remote.run(host, &op, Io::default()).await?.checked(host, &op)?;
        // systemd reads nothing else there.
        for name in names.text().lines().filter(|n| Path::new(n).extension().is_some_and(|e| e == "conf")) {
            found.insert(name.to_owned(), dir.join(name));
        }
    }
    Ok(found.into_values().collect())
}

/// `EnvironmentFile=` of a unit; a dash before the path says that it may be missing.
pub fn environment_files(unit: &str) -> Vec<PathBuf> {
    let values = unit.lines().filter_map(|l| l.trim().strip_prefix("EnvironmentFile="));
    let paths = values.map(|v| v.trim().trim_matches('"')).map(|v| v.strip_prefix('-').unwrap_or(v));
    paths.filter(|p| p.starts_with('/')).map(PathBuf::from).collect()
}

fn hostname_override(text: &str) -> Option<String> {
    let mut lines = text.lines().rev().filter(|l| !l.trim_start().starts_with('#'));
    let after = lines.find_map(|l| l.split_once(&format!("--{NAME_FLAG}")).map(|(_, rest)| rest))?;
    let value = after.strip_prefix(['=', ' '])?.trim_start_matches(['"', '\'']);
    let end = value.find([' ', '"', '\'', '\\']).unwrap_or(value.len());
    Some(clean::line(&value[..end])).filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets_name_is_found_in_every_form() {
        let line = "KUBELET_ARGS=\"--kubeconfig=/k --hostname-override=m4.example.com --config=/c\"";
        assert_eq!(hostname_override(line).as_deref(), Some("m4.example.com"));
        assert_eq!(hostname_override("KUBELET_HOSTNAME=\"--hostname-override=m4\"").as_deref(), Some("m4"));
        assert_eq!(hostname_override("ExecStart=/k --hostname-override m4 \\").as_deref(), Some("m4"));
        assert_eq!(hostname_override("# --hostname-override=old\nX=1"), None);
    }

    #[test]
    fn environment_files_are_found_with_and_without_a_dash() {
        let unit = "[Service]\nEnvironmentFile=-/etc/kubernetes/kubelet\n EnvironmentFile=/etc/default/kubelet\n#EnvironmentFile=/no\nEnvironmentFile=%h/x\n";
        assert_eq!(environment_files(unit), [PathBuf::from("/etc/kubernetes/kubelet"), "/etc/default/kubelet".into()]);
    }
}

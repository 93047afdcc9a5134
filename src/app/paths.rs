//! Where things lie on the operator's machine (XDG base directories).

use std::path::{Path, PathBuf};

use crate::cluster::Cluster;

/// Journals: `$XDG_STATE_HOME/banister/CLUSTER`.
pub(super) fn journals(cluster: &Cluster) -> PathBuf {
    all_journals().join(safe(&cluster.name))
}

/// The journals of all clusters.
pub(super) fn all_journals() -> PathBuf {
    base("XDG_STATE_HOME", ".local/state")
}

/// Cluster files: `$XDG_CONFIG_HOME/banister`.
pub(super) fn config() -> PathBuf {
    base("XDG_CONFIG_HOME", ".config")
}

/// Fetched backups: `$XDG_DATA_HOME/banister/CLUSTER`.
pub(super) fn backups(cluster: &Cluster) -> PathBuf {
    base("XDG_DATA_HOME", ".local/share").join(safe(&cluster.name))
}

fn base(variable: &str, below_home: &str) -> PathBuf {
    let given = std::env::var_os(variable).map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::home_dir().unwrap_or_else(|| PathBuf::from("/tmp")).join(below_home);
    given.unwrap_or_else(home).join("banister")
}

/// A cluster's name may be any text; a directory's may not.
fn safe(name: &str) -> PathBuf {
    let kept: String = name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let dots = kept.chars().all(|c| c == '.');
    Path::new(if dots { "cluster" } else { &kept }).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_directory() {
        assert_eq!(safe("../../etc"), Path::new(".._.._etc"));
        assert_eq!(safe(".."), Path::new("cluster"));
        assert_eq!(safe("prod 生产"), Path::new("prod_生产"));
    }
}

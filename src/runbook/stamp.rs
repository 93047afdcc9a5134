//! The name of a growth's dated directory.
//!
//! A growth may take several runs; its backups belong together, and "the old file" is the one from before the first of
//! them. So a directory of the last day is used again, if it is of the same growth: the same masters and joiners.

use crate::{
    cluster::{Cluster, Node},
    remote::{Io, Op, Remote, op::sha256_hex},
};

/// Directories are named `banister-20261123T180000Z-3f9a1c`, the end telling one growth from another.
const PREFIX: &str = "banister-";

/// How old a directory may be to be used again, in seconds.
const REUSE: i64 = 24 * 3600;

/// The stamp for a run that begins `now`: a recent one found on the first original, else a new one.
pub async fn choose(cluster: &Cluster, remote: &dyn Remote, now: jiff::Timestamp) -> String {
    let op = Op::ListDir { dir: cluster.backup_dir.clone() };
    let names = match cluster.masters.first() {
        Some(first) => remote.run(&first.name, &op, Io::default()).await.ok(),
        None => None,
    };
    let names = names.map(|out| out.text().into_owned()).unwrap_or_default();
    let growth = growth(cluster);
    recent(names.lines(), &growth, now).unwrap_or_else(|| fresh(&growth, now))
}

/// Tells one growth from another: who is a master, who joins.
fn growth(cluster: &Cluster) -> String {
    let names = |nodes: &[Node]| nodes.iter().map(|n| n.name.to_string()).collect::<Vec<_>>().join(",");
    sha256_hex(format!("{}+{}", names(&cluster.masters), names(&cluster.join)).as_bytes())[..6].to_owned()
}

fn fresh(growth: &str, now: jiff::Timestamp) -> String {
    format!("{PREFIX}{}-{growth}", now.strftime("%Y%m%dT%H%M%SZ"))
}

fn recent<'a>(names: impl Iterator<Item = &'a str>, growth: &str, now: jiff::Timestamp) -> Option<String> {
    names
        .filter_map(|name| {
            let (time, of) = name.strip_prefix(PREFIX)?.split_once('-')?;
            if of != growth {
                return None;
            }
            let when = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
            let age = now.as_second() - when.in_tz("UTC").ok()?.timestamp().as_second();
            (0..REUSE).contains(&age).then(|| (age, name.to_owned()))
        })
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_the_last_day_is_used_again() {
        let now: jiff::Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
        let names = [
            "banister-20261123T120000Z-aaaaaa",
            "banister-20261123T170000Z-aaaaaa",
            "banister-20261123T175900Z-bbbbbb",
            "banister-20261120T170000Z-aaaaaa",
            "x",
        ];
        let found = recent(names.into_iter(), "aaaaaa", now);
        assert_eq!(found.as_deref(), Some("banister-20261123T170000Z-aaaaaa"), "another growth's is newer");
        let old = ["banister-20261122T175959Z-aaaaaa", "banister-nonsense-aaaaaa"];
        assert_eq!(recent(old.into_iter(), "aaaaaa", now), None);
        assert_eq!(fresh("aaaaaa", now), "banister-20261123T180000Z-aaaaaa");
    }
}

//! The name of a growth's dated directory.
//!
//! A growth may take several runs; its backups belong together, and "the old file" is the one from before the first of
//! them. So a directory of the last day is used again.

use crate::{
    cluster::Cluster,
    remote::{Io, Op, Remote},
};

/// Directories are named `banister-20261123T180000Z`.
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
    recent(names.lines(), now).unwrap_or_else(|| fresh(now))
}

fn fresh(now: jiff::Timestamp) -> String {
    now.strftime(&format!("{PREFIX}%Y%m%dT%H%M%SZ")).to_string()
}

fn recent<'a>(names: impl Iterator<Item = &'a str>, now: jiff::Timestamp) -> Option<String> {
    names
        .filter_map(|name| {
            let when = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", name.strip_prefix(PREFIX)?).ok()?;
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
        let names = ["banister-20261123T120000Z", "banister-20261123T170000Z", "banister-20261120T170000Z", "x"];
        assert_eq!(recent(names.into_iter(), now).as_deref(), Some("banister-20261123T170000Z"));
        assert_eq!(recent(["banister-20261122T175959Z", "banister-nonsense"].into_iter(), now), None);
        assert_eq!(fresh(now), "banister-20261123T180000Z");
    }
}

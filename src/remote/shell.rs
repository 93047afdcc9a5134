//! An operation as the exact POSIX shell that runs, quoting in one place.
//!
//! Scripts are written for dash and busybox alike, run by `/bin/sh -c` as root with `LC_ALL=C`, and are what the preview
//! shows. Status 44 means "not there" where an operation says so.

use std::path::{Path, PathBuf};

use super::{
    facts,
    op::{EtcdctlAccess, Op, Owner, SecretBytes},
};

/// An operation, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The script; holds no secret.
    pub script: String,
    /// What goes into its standard input; may be secret.
    pub stdin: Option<SecretBytes>,
}

/// "Not there", for the operations that read.
pub const NOT_THERE: u32 = 44;

/// Makes the shell of an operation.
pub fn render(op: &Op) -> Rendered {
    let stdin = match op {
        Op::WriteFile { content, .. } => Some(SecretBytes::new(content.bytes().to_vec())),
        Op::Container(op) => op.stdin(),
        _ => None,
    };
    Rendered { script: script(op), stdin }
}

/// A word, quoted for the shell where it needs to be.
pub fn q(word: &str) -> String {
    shell_words::quote(word).into_owned()
}

/// A path, quoted.
pub fn qp(path: &Path) -> String {
    q(&path.to_string_lossy())
}

fn qps(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| qp(p)).collect::<Vec<_>>().join(" ")
}

fn script(op: &Op) -> String {
    match op {
        Op::Facts { ports, space, programs } => facts::script(ports, space, programs),
        Op::ReadFile { path } | Op::ReadSecret { path } => {
            format!("[ -e {p} ] || exit {NOT_THERE}\ncat -- {p}", p = qp(path))
        }
        Op::Stat { paths } => format!(
            "{STAT_LINE}\nfor p in {}; do st \"$p\" || printf 'absent - - - - - - %s\\n' \"$p\"; done",
            qps(paths)
        ),
        Op::ListTree { dir } => format!(
            "{STAT_LINE}\n[ -d {d} ] || exit 0\nfind {d} -mindepth 1 ! -name '*\n*' | sort | while IFS= read -r p; do st \"$p\" || :; done",
            d = qp(dir)
        ),
        Op::ListDir { dir } => format!("[ ! -d {d} ] || ls -1A -- {d}", d = qp(dir)),
        // `show` has a `UnitFileState` too: as systemd saw it last, blind to a link that went by hand or with a disk.
        Op::UnitState { unit } => format!(
            "systemctl show {u}.service -p LoadState,ActiveState,SubState,MainPID,NRestarts,Result &&\n\
             echo \"UnitFileState=$(systemctl is-enabled {u}.service 2>/dev/null)\"",
            u = q(unit)
        ),
        Op::UnitLog { unit, lines } => {
            format!("journalctl -u {}.service -n {lines} --no-pager -o short-iso 2>/dev/null", q(unit))
        }
        // systemd before 234 (CentOS 7) has no precise stamps.
        Op::FollowLog { unit, lines } => format!(
            "o=short-iso-precise\njournalctl -n 0 -o $o </dev/null >/dev/null 2>&1 || o=short-iso\n{}",
            until_stdin_closes(&format!(
                "journalctl -u {}.service -n {lines} -f --no-pager -o $o 2>/dev/null",
                q(unit)
            ))
        ),
        Op::EtcdVersion { bin } => {
            format!("[ -x {b} ] || exit {NOT_THERE}\n{b} --version", b = qp(&bin.join("etcd")))
        }
        Op::WriteFile { path, content, mode, owner, backup } => {
            write_file(path, *mode, owner, &content.sha256(), backup.as_deref())
        }
        Op::ReceiveFile { path, mode, owner, sha256, backup } => {
            write_file(path, *mode, owner, sha256, backup.as_deref())
        }
        Op::MakeDir { path, mode, owner } => {
            format!("set -e\nmkdir -p -- {p}\nchown {owner} -- {p}\nchmod {mode:04o} -- {p}", p = qp(path))
        }
        Op::RemoveFiles { paths } => format!("rm -f -- {}", qps(paths)),
        Op::RemoveTree { path } => remove_tree(path),
        Op::RemoveEmptyDir { path } => format!("[ ! -d {p} ] || rmdir --ignore-fail-on-non-empty -- {p}", p = qp(path)),
        Op::SetAside { dir, to } => set_aside(dir, to),
        Op::RestoreFile { path, backup } => restore_file(path, backup),
        Op::BackupTrees { from, except, to } => backup_trees(from, except, to),
        Op::Systemctl { verb, unit } => format!("systemctl {} {}.service", verb.word(), q(unit)),
        Op::DaemonReload => "systemctl daemon-reload".into(),
        Op::SetHostname { name } => format!("hostnamectl set-hostname {}", q(name)),
        Op::AddUser { name, home } => add_user(name, home),
        Op::RemoveUser { name } => format!(
            "if getent passwd {n} >/dev/null; then userdel {n}; fi\nif getent group {n} >/dev/null; then groupdel {n}; fi",
            n = q(name)
        ),
        Op::FirewallOff => FIREWALL_OFF.into(),
        Op::FirewallOn { firewalld, ufw, selinux } => firewall_on(*firewalld, *ufw, *selinux),
        Op::PortsMissing { ports } => ports_missing(ports),
        Op::OpenPorts { ports } => ports_script(ports, "add", "allow"),
        Op::ClosePorts { ports } => ports_script(ports, "remove", "delete allow"),
        Op::SnapshotSave { access, path } => format!(
            "set -e\numask 077\nmkdir -p -- {d}\nrm -f -- {p} {p}.part\n{ctl} snapshot save {p} >&2\nchmod 0600 -- {p}\nsync",
            d = path.parent().map(qp).unwrap_or_default(),
            p = qp(path),
            ctl = etcdctl(access),
        ),
        Op::SnapshotStatus { bin, path } => {
            format!("{}\n\"$tool\" snapshot status {} -w json", snapshot_tool(bin), qp(path))
        }
        Op::SnapshotTrial { bin, path, scratch } => snapshot_trial(bin, path, scratch),
        Op::RehearsalEtcd { .. } => rehearsal(op),
        Op::Tree(op) => op.script(),
        Op::Package(op) => op.script(),
        Op::Container(op) => op.script(),
        Op::Pods(op) => op.script(),
        Op::Lock(op) => op.script(),
    }
}

/// `st PATH` prints the line that [`Op::Stat`] promises; 1 where nothing is there, or not any more once it is looked at closely.
const STAT_LINE: &str = r#"st() {
  if [ -L "$1" ]; then t=link; elif [ -f "$1" ]; then t=file; elif [ -d "$1" ]; then t=dir
  elif [ -e "$1" ]; then t=other; else return 1; fi
  h=-; [ $t != file ] || h=$(sha256sum < "$1" | cut -c1-64)
  s=$(stat -c '%a %U %G %s %Y' -- "$1") || { if [ -e "$1" ] || [ -L "$1" ]; then exit 1; else return 1; fi; }
  printf '%s %s %s %s\n' $t "$s" "$h" "$1"
}"#;

/// Runs a command that ends when standard input closes, that is, with its channel.
fn until_stdin_closes(command: &str) -> String {
    format!("exec 3<&0\n{command} </dev/null & p=$!\n(cat <&3 >/dev/null; kill $p) >/dev/null 2>&1 &\nwait $p")
}

/// Keeps the old file once: a second run must not overwrite the first one's backup with its own work. It gets its name only as
/// a whole: half a copy on a disk that is full would pass for the old file ever after.
fn keep_old(backup: Option<&Path>) -> String {
    let Some(backup) = backup else { return String::new() };
    let (b, d) = (qp(backup), backup.parent().map(qp).unwrap_or_default());
    format!(
        "if [ ! -e {b} ] && [ ! -e {b}.absent ]; then\n  mkdir -p -- {d}\n  if [ -e \"$f\" ]; then\n    cp -a -- \"$f\" {b}.part || {{ rm -f -- {b}.part; exit 1; }}\n    mv -f -- {b}.part {b}\n  else : > {b}.absent; fi\nfi\n"
    )
}

/// Written beside the target under a dot name (the kubelet ignores those), checked, then renamed over it. A line that
/// breaks ends `cat` early: the checksum keeps half a file from getting the name.
fn write_file(path: &Path, mode: u32, owner: &Owner, sha256: &str, backup: Option<&Path>) -> String {
    format!(
        "set -eu\numask 077\nf={f}\nif [ -L \"$f\" ]; then f=$(readlink -f -- \"$f\"); fi\n{keep}t=$(dirname -- \"$f\")/.$(basename -- \"$f\").banister\ntrap 'rm -f -- \"$t\"' EXIT\ncat > \"$t\"\necho \"{sha256}  $t\" | sha256sum -c --status - || {{ echo 'content did not arrive whole' >&2; exit 1; }}\nchown {owner} -- \"$t\"\nchmod {mode:04o} -- \"$t\"\nsync\nmv -fT -- \"$t\" \"$f\"",
        f = qp(path),
        keep = keep_old(backup),
    )
}

/// The backup is renamed once it is back in place: the next growth keeps what it finds then, not this one's past.
fn restore_file(path: &Path, backup: &Path) -> String {
    format!(
        "set -eu\numask 077\nf={f}\nb={b}\nif [ -e \"$b\" ]; then\n  t=$(dirname -- \"$f\")/.$(basename -- \"$f\").banister\n  trap 'rm -f -- \"$t\"' EXIT\n  cp -a -- \"$b\" \"$t\"\n  sync\n  mv -fT -- \"$t\" \"$f\"\n  mv -f -- \"$b\" \"$b.restored\"\nelif [ -e \"$b.absent\" ]; then\n  rm -f -- \"$f\" \"$b.absent\"\nelse\n  echo \"no backup at $b\" >&2\n  exit {NOT_THERE}\nfi",
        f = qp(path),
        b = qp(backup),
    )
}

/// Two components at least: `/var/lib/etcd`, never `/var`.
pub(super) fn deep_enough(path: &Path) -> bool {
    path.is_absolute()
        && path.components().count() >= 3
        && !path.components().any(|c| matches!(c, std::path::Component::ParentDir))
}

pub(super) fn refuse(path: &Path) -> String {
    format!("echo 'refused: '{} >&2\nexit 1", qp(path))
}

fn remove_tree(path: &Path) -> String {
    if deep_enough(path) { format!("rm -rf --one-file-system -- {}", qp(path)) } else { refuse(path) }
}

fn set_aside(dir: &Path, to: &Path) -> String {
    if !deep_enough(dir) || !deep_enough(to) {
        return refuse(dir);
    }
    format!(
        "set -e\n[ -d {d} ] || exit 0\nmkdir -p -m 0700 -- {to}\nfind {d} -mindepth 1 -maxdepth 1 -exec mv -t {to} -- {{}} +",
        d = qp(dir),
        to = qp(to)
    )
}

/// Sums are taken from the source and checked against the copy.
fn backup_trees(from: &[PathBuf], except: &Path, to: &Path) -> String {
    format!(
        "set -eu\numask 077\nd={to}\n[ ! -e \"$d/SHA256SUMS\" ] || exit 0\nrm -rf -- \"$d.partial\"\nmkdir -p -- \"$d.partial\"\nfor p in {from}; do\n  [ -e \"$p\" ] || continue\n  tar -C / --exclude=.{except} -cf - \".$p\" | tar -C \"$d.partial\" -xpf -\n  find \"$p\" -path {except} -prune -o -type f -exec sha256sum {{}} + | sed 's#  /#  ./#' >> \"$d.partial/SHA256SUMS\"\ndone\ncd \"$d.partial\"\nsha256sum -c --quiet SHA256SUMS\nsync\nmkdir -p -- \"$d\"\nrmdir -- \"$d\"\nmv -- \"$d.partial\" \"$d\"",
        to = qp(to),
        from = qps(from),
        except = qp(except),
    )
}

fn add_user(name: &str, home: &Path) -> String {
    format!(
        "set -e\ngetent group {n} >/dev/null || groupadd --system {n}\ngetent passwd {n} >/dev/null || useradd --system --gid {n} --home-dir {h} --no-create-home --shell \"$(command -v nologin || echo /usr/sbin/nologin)\" {n}",
        n = q(name),
        h = qp(home)
    )
}

/// Each part tolerated when absent or already so; the SELinux file too, or a reboot brings it back. What outlives a reboot
/// comes first: where that cannot be written, what runs is still on, and the next run sees that there is something to do.
const FIREWALL_OFF: &str = r#"set -e
if [ "$(systemctl is-enabled firewalld 2>/dev/null)" = enabled ]; then systemctl --quiet disable firewalld; fi
if [ "$(systemctl is-active firewalld 2>/dev/null)" = active ]; then systemctl stop firewalld; fi
if command -v ufw >/dev/null && ufw status | grep -q '^Status: active'; then ufw --force disable; fi
if grep -qs '^SELINUX=enforcing' /etc/selinux/config; then sed -i 's/^SELINUX=enforcing/SELINUX=permissive/' /etc/selinux/config; fi
if command -v getenforce >/dev/null && [ "$(getenforce)" = Enforcing ]; then setenforce 0; fi"#;

fn firewall_on(firewalld: bool, ufw: bool, selinux: bool) -> String {
    let mut lines = vec!["set -e"];
    if firewalld {
        lines.push("systemctl --quiet enable firewalld\nsystemctl start firewalld");
    }
    if ufw {
        lines.push("ufw --force enable");
    }
    if selinux {
        lines.push("if grep -qs '^SELINUX=permissive' /etc/selinux/config; then sed -i 's/^SELINUX=permissive/SELINUX=enforcing/' /etc/selinux/config; fi\nsetenforce 1");
    }
    lines.join("\n")
}

fn ports_script(ports: &[u16], firewalld: &str, ufw: &str) -> String {
    let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    format!(
        "set -e\nfor p in {list}; do\n  if [ \"$(systemctl is-active firewalld 2>/dev/null)\" = active ]; then\n    firewall-cmd --quiet --permanent --{firewalld}-port=$p/tcp\n    firewall-cmd --quiet --{firewalld}-port=$p/tcp\n  fi\n  if command -v ufw >/dev/null && ufw status | grep -q '^Status: active'; then ufw {ufw} $p/tcp; fi\ndone"
    )
}

fn ports_missing(ports: &[u16]) -> String {
    let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    format!(
        "for p in {list}; do\n  if [ \"$(systemctl is-active firewalld 2>/dev/null)\" = active ]; then\n    firewall-cmd --quiet --permanent --query-port=$p/tcp && firewall-cmd --quiet --query-port=$p/tcp || {{ echo $p; continue; }}\n  fi\n  if command -v ufw >/dev/null && ufw status | grep -q '^Status: active'; then\n    ufw status | grep -q \"^$p/tcp  *ALLOW\" || echo $p\n  fi\ndone"
    )
}

fn etcdctl(access: &EtcdctlAccess) -> String {
    format!(
        "ETCDCTL_API=3 {ctl} --endpoints={e} --cacert={ca} --cert={cert} --key={key}",
        ctl = qp(&access.bin.join("etcdctl")),
        e = q(&access.endpoint),
        ca = qp(&access.ca),
        cert = qp(&access.cert),
        key = qp(&access.key),
    )
}

/// `snapshot status` and `restore` moved from etcdctl to etcdutl in 3.5 and are gone from etcdctl in 3.6.
fn snapshot_tool(bin: &Path) -> String {
    format!(
        "set -e\nexport ETCDCTL_API=3\ntool={ctl}\nif [ -x {utl} ]; then tool={utl}; fi",
        ctl = qp(&bin.join("etcdctl")),
        utl = qp(&bin.join("etcdutl")),
    )
}

fn snapshot_trial(bin: &Path, path: &Path, scratch: &Path) -> String {
    if !deep_enough(scratch) {
        return refuse(scratch);
    }
    format!(
        "{tool}\numask 077\ns={s}\n[ ! -e \"$s\" ] || {{ echo \"$s exists\" >&2; exit 1; }}\ntrap 'rm -rf -- \"$s\"' EXIT\n\"$tool\" snapshot restore {p} --data-dir \"$s\" --name trial --initial-cluster trial=http://localhost:2380 --initial-advertise-peer-urls http://localhost:2380 >&2\n\"$tool\" snapshot status \"$s/member/snap/db\" -w json",
        tool = snapshot_tool(bin),
        s = qp(scratch),
        p = qp(path),
    )
}

fn rehearsal(op: &Op) -> String {
    let Op::RehearsalEtcd { bin, user, scratch, peer_url, client_url, ca, peer, server } = op else {
        return String::new();
    };
    if !deep_enough(scratch) {
        return refuse(scratch);
    }
    // When the channel is gone, bash's own word of the etcd that was ended must not end bash before it has cleared away.
    format!(
        "umask 077\ntrap '' PIPE\ns={s}\nrm -rf -- \"$s\"\nmkdir -p -- \"$s\" && chown {u} -- \"$s\" || exit 1\nexec 3<&0\nrunuser -u {u} -- {etcd} --name banister-rehearsal --data-dir \"$s/data\" \\\n  --listen-peer-urls {pu} --initial-advertise-peer-urls {pu} --listen-client-urls {cu} --advertise-client-urls {cu} \\\n  --initial-cluster banister-rehearsal={pu} --initial-cluster-token \"banister-rehearsal-$$\" --initial-cluster-state new \\\n  --client-cert-auth --trusted-ca-file {ca} --cert-file {sc} --key-file {sk} \\\n  --peer-client-cert-auth --peer-trusted-ca-file {ca} --peer-cert-file {pc} --peer-key-file {pk} \\\n  </dev/null >\"$s/log\" 2>&1 3<&- & p=$!\n(cat <&3 >/dev/null; kill $p) >/dev/null 2>&1 & g=$!\nwait $p; r=$?\nkill $g 2>/dev/null\ntail -n 20 \"$s/log\" >&2\nrm -rf -- \"$s\"\nexit $r",
        s = qp(scratch),
        u = q(user),
        etcd = qp(&bin.join("etcd")),
        pu = q(peer_url),
        cu = q(client_url),
        ca = qp(ca),
        sc = qp(&server.0),
        sk = qp(&server.1),
        pc = qp(&peer.0),
        pk = qp(&peer.1),
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::remote::Content;

    /// What goes between two looks at it, as the directory of a rehearsal does, is not there.
    #[test]
    fn what_goes_while_it_is_looked_at_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let path = |name: &str| root.join(name);
        let run = |op: &Op, stat: &str| {
            std::fs::create_dir_all(path("going/inner")).unwrap();
            std::fs::write(path("going/file"), "").unwrap();
            std::fs::write(path("stays"), "").unwrap();
            let script = format!("stat() {{ {stat}; command stat \"$@\"; }}\n{}", render(op).script);
            let out = Command::new("sh").args(["-c", &script]).output().unwrap();
            (out.status.code(), String::from_utf8(out.stdout).unwrap())
        };
        let removes = format!("rm -rf {}", qp(&path("going")));
        let both = Op::Stat { paths: vec![path("going"), path("stays")] };
        let (status, text) = run(&both, &removes);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((status, lines.len()), (Some(0), 2), "{text}");
        assert_eq!(lines[0], format!("absent - - - - - - {}", path("going").display()));
        assert!(lines[1].starts_with("file "), "{text}");
        assert_eq!(run(&Op::ListTree { dir: path("going") }, &removes), (Some(0), String::new()));
        // One that is there and cannot be looked at is not.
        assert_eq!(run(&both, "return 1"), (Some(1), String::new()));
        assert_eq!(run(&Op::ListTree { dir: path("going") }, "return 1"), (Some(1), String::new()));
    }

    /// A disk that is full in the middle of the copy, which is what `cp` says then.
    #[test]
    fn half_a_backup_never_passes_for_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (file, backup) = (dir.path().join("etcd.conf"), dir.path().join("kept/etcd.conf"));
        std::fs::write(&file, "old").unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        let cp = dir.path().join("bin/cp");
        std::fs::write(
            &cp,
            "#!/bin/sh\nfor last; do :; done\nprintf o > \"$last\"\necho 'No space left on device' >&2\nexit 1\n",
        )
        .unwrap();
        assert!(Command::new("chmod").arg("0755").arg(&cp).status().unwrap().success());
        let owner = || {
            let out = Command::new("id").arg("-un").output().unwrap();
            Owner::both(String::from_utf8(out.stdout).unwrap().trim())
        };
        let op = Op::WriteFile {
            path: file.clone(),
            content: Content::Text("new".into()),
            mode: 0o644,
            owner: owner(),
            backup: Some(backup.clone()),
        };
        let script = render(&op).script;
        let path = |first: &str| format!("{first}{}", std::env::var("PATH").unwrap());
        let run = |path: String| {
            let mut child = Command::new("sh")
                .args(["-c", &script])
                .env("PATH", path)
                .stdin(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            // It may end before it has read anything.
            let _ = std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"new");
            drop(child.stdin.take());
            child.wait().unwrap().success()
        };
        assert!(!run(path(&format!("{}:", dir.path().join("bin").display()))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
        assert!(!backup.exists(), "half a copy");
        assert_eq!(std::fs::read_dir(dir.path().join("kept")).unwrap().count(), 0);
        assert!(run(path("")), "once there is room");
        assert_eq!(std::fs::read_to_string(&backup).unwrap(), "old");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    }
}

//! Containers and static pods: docker on a host, and the processes that come of a manifest.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    op::SecretBytes,
    shell::{NOT_THERE, q, qp},
};

/// Containers and static pods: docker on a host, and the processes that come of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerOp {
    /// Every apiserver process of the host, read from `/proc`: see [`apiservers`].
    Apiservers,
    /// A container's state, and what it sees of a file of the host: see [`Seen::parse`].
    Look {
        /// The container's name.
        container: String,
        /// A file of the host that is mounted into it.
        file: PathBuf,
    },
    /// A container of the same image and mounts tries a new configuration with `nginx -t`; the one that runs is not touched.
    NginxTest {
        /// The container's name.
        container: String,
        /// The configuration's file on the host.
        file: PathBuf,
        /// What it would hold.
        content: String,
    },
    /// `docker restart`: a file mounted by itself is looked up anew, which a reload would not do.
    Restart {
        /// The container's name.
        container: String,
    },
    /// The last lines a container wrote.
    Log {
        /// The container's name.
        container: String,
        /// How many lines.
        lines: u32,
    },
    /// Follows what the containers of static pods write, until the channel closes or another container takes the place of
    /// one. First a `file COMPONENT PATH` line for each log file, then their lines as the runtime keeps them (docker's
    /// JSON, or the CRI's), `==> PATH <==` before those of another file, as `tail` does. Status 44 when none runs.
    Follow {
        /// Components, such as `kube-apiserver`: the pods named so in `kube-system`.
        components: Vec<String>,
        /// How many old lines of each first.
        lines: u32,
    },
    /// Renames a manifest to its dot name, which the kubelet ignores, or back; nothing when that was done already.
    Park {
        /// The manifest.
        manifest: PathBuf,
        /// Back again.
        back: bool,
    },
}

impl ContainerOp {
    /// The exact shell, see [`super::shell`].
    pub fn script(&self) -> String {
        match self {
            Self::Apiservers => APISERVERS.into(),
            Self::Look { container, file } => format!(
                "c={c}\nf={f}\n{INSIDE}\ndocker inspect --type container --format 'state {{{{.State.Status}}}}\nstarted {{{{.State.StartedAt}}}}' \"$c\" 2>/dev/null || {{ docker version >/dev/null || exit 1; echo 'state absent'; exit 0; }}\npid=$(docker inspect --format '{{{{.State.Pid}}}}' \"$c\")\ninside | while IFS= read -r p; do\n  s=-\n  if [ \"$pid\" -gt 0 ]; then s=$(sha256sum < \"/proc/$pid/root$p\" | cut -c1-64); fi\n  echo \"sees ${{s:--}} $p\"\ndone",
                c = q(container),
                f = qp(file),
            ),
            Self::NginxTest { container, file, .. } => nginx_test(container, file),
            Self::Restart { container } => format!("docker restart {} >/dev/null", q(container)),
            Self::Log { container, lines } => format!("docker logs --tail {lines} {} 2>&1", q(container)),
            Self::Follow { components, lines } => follow(components, *lines),
            Self::Park { manifest, back } => {
                let (from, to) = (manifest.clone(), parked(manifest));
                let (from, to) = if *back { (to, from) } else { (from, to) };
                format!("set -e\nif [ -e {f} ]; then mv -f -- {f} {t}; else [ -e {t} ]; fi", f = qp(&from), t = qp(&to))
            }
        }
    }

    /// What goes into its standard input.
    pub fn stdin(&self) -> Option<SecretBytes> {
        match self {
            Self::NginxTest { content, .. } => Some(SecretBytes::new(content.clone().into_bytes())),
            _ => None,
        }
    }

    /// One line for the log: what it does and to what. Never content.
    pub fn summary(&self) -> String {
        match self {
            Self::Apiservers => trs!("which apiserver processes run").into(),
            Self::Look { container, file } => {
                tr!("look at container {container} and its {file}", container = container, file = file.display())
            }
            Self::NginxTest { container, file, .. } => {
                tr!(
                    "nginx -t on the new {file} in an image like {container}'s",
                    file = file.display(),
                    container = container
                )
            }
            Self::Restart { container } => format!("docker restart {container}"),
            Self::Log { container, lines } => {
                tr!("last {lines} lines of container {container}", lines = lines, container = container)
            }
            Self::Follow { components, .. } => {
                tr!("follow the containers of {components}", components = components.join(", "))
            }
            Self::Park { manifest, back: false } => {
                tr!(
                    "rename {manifest} to {parked}, which kubelet ignores",
                    manifest = manifest.display(),
                    parked = parked(manifest).display()
                )
            }
            Self::Park { manifest, back: true } => tr!("rename {manifest} back", manifest = manifest.display()),
        }
    }

    /// Whether it only looks.
    pub fn read_only(&self) -> bool {
        matches!(self, Self::Apiservers | Self::Look { .. } | Self::Log { .. } | Self::Follow { .. })
    }

    /// Most time it may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Apiservers | Self::Log { .. } | Self::Park { .. } => 20,
            Self::Look { .. } => 30,
            Self::NginxTest { .. } | Self::Restart { .. } => 90,
            Self::Follow { .. } => 24 * 3600,
        })
    }
}

/// One `tail` for all of them, so that there is one process to end. kubelet makes a new container, with a new file, for
/// every restart: where the list changes, `tail` ends and the caller begins again.
fn follow(components: &[String], lines: u32) -> String {
    let names: Vec<String> = components.iter().map(|c| q(c)).collect();
    format!(
        r#"list() {{
  if command -v docker >/dev/null; then
    ids=$(docker ps -q --filter label=io.kubernetes.pod.namespace=kube-system 2>/dev/null)
    [ -z "$ids" ] || docker inspect --format '{{{{index .Config.Labels "io.kubernetes.container.name"}}}} {{{{index .Config.Labels "io.kubernetes.pod.name"}}}} {{{{.LogPath}}}}' $ids 2>/dev/null
  else
    for d in /var/log/pods/kube-system_*/*/; do
      f=$(ls -t "$d"*.log 2>/dev/null | head -n 1)
      p=${{d#/var/log/pods/kube-system_}}
      [ -z "$f" ] || echo "- ${{p%%_*}} $f"
    done
  fi | while read -r container pod path; do
    [ "$container" != POD ] && [ -e "$path" ] || continue
    for n in {names}; do case $pod in "$n"-*) echo "$n $path" ;; esac; done
  done | sort
}}
l=$(list)
[ -n "$l" ] || exit {NOT_THERE}
echo "$l" | sed 's/^/file /'
exec 3<&0
set -- $(echo "$l" | cut -d ' ' -f 2)
tail -n {lines} -F "$@" </dev/null 2>/dev/null & p=$!
(cat <&3 >/dev/null; kill $p) >/dev/null 2>&1 &
(while sleep 10; do [ "$(list)" = "$l" ] || break; done; kill $p) >/dev/null 2>&1 3<&- &
w=$!
wait $p
kill $w 2>/dev/null
exit 0"#,
        names = names.join(" "),
    )
}

/// The dot name that a manifest has while its pod is to stop.
pub fn parked(manifest: &Path) -> PathBuf {
    let name = manifest.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    manifest.with_file_name(format!(".{name}.banister-parked"))
}

/// The processes whose program is an apiserver, hyperkube's too. `process PID START`, a `port` line for each that it listens
/// on, and an `arg` line an argument.
const APISERVERS: &str = r#"l=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ a _ t _ _ _ _ _ i _; do [ "$t" != 0A ] || echo "$i ${a##*:}"; done)
for d in /proc/[0-9]*; do
  read -r n 2>/dev/null < "$d/comm" || continue
  case $n in kube-apiserver|apiserver|hyperkube) ;; *) continue ;; esac
  s=$(cat "$d/stat" 2>/dev/null) && set -- ${s##*) } && shift 19 || continue
  a=$(tr '\n\0' ' \n' < "$d/cmdline" 2>/dev/null) && [ -n "$a" ] || continue
  echo "process ${d#/proc/} $1"
  o=$(ls -l "$d/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\].*/ \1 /p')
  echo "$l" | while read -r i p; do case $o in *" $i "*) echo "port $((0x$p))" ;; esac; done
  echo "$a" | sed 's/^/arg /'
done"#;

/// `inside` prints where the container `$c` sees the host's file `$f`, a file mounted by itself before a directory.
const INSIDE: &str = r#"inside() {
  r=$(readlink -f -- "$f") || r=$f
  docker inspect --format '{{range .Mounts}}{{.Destination}}{{"\t"}}{{.Source}}{{"\n"}}{{end}}' "$c" | while IFS="$(printf '\t')" read -r to from; do
    [ -n "$from" ] || continue
    from=$(readlink -f -- "$from") || continue
    case $r in
      "$from") echo "0 $to" ;;
      "$from"/*) echo "1 $to${r#"$from"}" ;;
    esac
  done | sort | head -n 1 | cut -c3-
}"#;

/// The candidate lies beside the file, so that a label or a mount rule that holds for one holds for the other.
fn nginx_test(container: &str, file: &Path) -> String {
    format!(
        r#"set -eu
umask 077
c={c}
f={f}
{INSIDE}
t=$(mktemp "$(dirname -- "$f")/.banister.XXXXXX")
trap 'rm -f -- "$t"' EXIT
cp -p -- "$f" "$t"
cat > "$t"
i=$(inside)
[ -n "$i" ] || {{ echo "container $c does not see $f" >&2; exit 1; }}
n=nginx
p=$(docker inspect --format '{{{{.State.Pid}}}}' "$c")
if [ "$p" -gt 0 ]; then
  e=$(readlink "/proc/$p/exe") || e=
  case $e in */nginx*|*/openresty*|*/tengine*) n=$e ;; esac
  net=container:$c
else
  net=host
fi
docker run --rm --network "$net" --volumes-from "$c" --volume "$t:$i:ro" --entrypoint "$n" "$(docker inspect --format '{{{{.Image}}}}' "$c")" -t -c "$i" >&2 </dev/null"#,
        c = q(container),
        f = qp(file),
    )
}

/// An apiserver process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id on the host.
    pub pid: u32,
    /// When it started, clock ticks since the host's boot: with the id it tells a process from every other.
    pub start: u64,
    /// The TCP ports it listens on. An apiserver that was told to stop closes them first and then lingers.
    pub ports: Vec<u16>,
    /// Its arguments, the program's name first.
    pub args: Vec<String>,
}

impl Process {
    /// A flag's value, in either form; the last one counts.
    pub fn flag(&self, flag: &str) -> Option<&str> {
        let dashed = format!("--{flag}");
        let at = self
            .args
            .iter()
            .rposition(|a| a.strip_prefix(&dashed).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))?;
        match self.args[at][dashed.len()..].strip_prefix('=') {
            Some(value) => Some(value),
            None => self.args.get(at + 1).map(String::as_str).filter(|v| !v.starts_with("--")),
        }
    }
}

/// Reads what [`ContainerOp::Apiservers`] prints.
pub fn apiservers(text: &str) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("process ") {
            let mut words = rest.split(' ');
            let numbers = (words.next().and_then(|w| w.parse().ok()), words.next().and_then(|w| w.parse().ok()));
            if let (Some(pid), Some(start)) = numbers {
                found.push(Process { pid, start, ports: Vec::new(), args: Vec::new() });
            }
        } else if let (Some(port), Some(process)) = (line.strip_prefix("port "), found.last_mut()) {
            process.ports.extend(port.parse::<u16>());
        } else if let (Some(arg), Some(process)) = (line.strip_prefix("arg "), found.last_mut()) {
            process.args.push(arg.to_owned());
        }
    }
    // hyperkube is every component in one program.
    found.retain(|p| {
        let program = p.args.first().map_or("", |a| a.rsplit('/').next().unwrap_or(a));
        program.ends_with("apiserver") || p.args.get(1).is_some_and(|a| a.ends_with("apiserver"))
    });
    found
}

/// A container, looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// `running`, `exited`, …, or `absent`.
    pub state: String,
    /// When it was last started, docker's words.
    pub started: String,
    /// Where it sees the file, where it does.
    pub inside: Option<String>,
    /// sha256 of what it sees there, lower-case hex; `None` where it does not run.
    pub sha256: Option<String>,
}

impl Seen {
    /// Reads what [`ContainerOp::Look`] prints.
    pub fn parse(text: &str) -> Self {
        let mut seen = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("state", state)) => state.clone_into(&mut seen.state),
                Some(("started", at)) => at.clone_into(&mut seen.started),
                Some(("sees", rest)) => {
                    if let Some((sha, path)) = rest.split_once(' ') {
                        seen.inside = Some(path.to_owned());
                        seen.sha256 = Some(sha.to_owned()).filter(|s| s.len() == 64);
                    }
                }
                _ => {}
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apiserver_processes_are_told_from_others_and_their_flags_read() {
        let text = "process 12 3400\nport 6443\narg kube-apiserver\narg --etcd-servers=https://a:2379\narg --apiserver-count\narg 3\narg --profiling\nprocess 13 3401\narg /hyperkube\narg kube-scheduler\nprocess 14 3402\narg /hyperkube\narg apiserver\n";
        let found = apiservers(text);
        assert_eq!(found.iter().map(|p| (p.pid, p.start)).collect::<Vec<_>>(), [(12, 3400), (14, 3402)]);
        assert_eq!((&found[0].ports[..], &found[1].ports[..]), (&[6443][..], &[][..]));
        assert_eq!(found[0].flag("etcd-servers"), Some("https://a:2379"));
        assert_eq!(found[0].flag("apiserver-count"), Some("3"));
        assert_eq!(found[0].flag("profiling"), None);
        assert_eq!(found[0].flag("etcd"), None, "a longer flag is another flag");
    }

    #[test]
    fn the_processes_of_this_machine_are_read_by_the_real_shell() {
        let out =
            std::process::Command::new("/bin/sh").arg("-c").arg(ContainerOp::Apiservers.script()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    }

    #[test]
    fn a_container_that_sees_another_file_is_told() {
        let sha = "a".repeat(64);
        let seen =
            Seen::parse(&format!("state running\nstarted 2026-01-01T00:00:00Z\nsees {sha} /etc/nginx/my nginx.conf\n"));
        assert_eq!((seen.inside.as_deref(), seen.sha256), (Some("/etc/nginx/my nginx.conf"), Some(sha)));
        let gone = Seen::parse("state exited\nsees - /etc/nginx/nginx.conf\n");
        assert_eq!((gone.state.as_str(), gone.sha256), ("exited", None));
        assert_eq!(Seen::parse("state absent\n").inside, None);
    }

    #[test]
    fn static_pods_are_followed_through_the_real_shell_until_the_channel_closes() {
        use std::{
            io::{BufRead as _, BufReader, Write as _},
            os::unix::fs::PermissionsExt as _,
            process::{Command, Stdio},
        };
        let dir = tempfile::tempdir().unwrap();
        let log = |name: &str| dir.path().join(name).display().to_string();
        let docker = format!(
            "#!/bin/sh\ncase $1 in ps) echo 'a b c' ;; *) cat {} ;; esac\n",
            dir.path().join("inspected").display()
        );
        std::fs::write(dir.path().join("docker"), docker).unwrap();
        std::fs::set_permissions(dir.path().join("docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let inspected = format!(
            "POD kube-apiserver-m1 {0}\nkube-apiserver kube-apiserver-m1 {0}\ncoredns coredns-x {0}\nx kube-scheduler-m1 {1}\n",
            log("api.log"),
            log("scheduler.log")
        );
        std::fs::write(dir.path().join("inspected"), inspected).unwrap();
        let op = ContainerOp::Follow { components: vec!["kube-apiserver".into(), "kube-scheduler".into()], lines: 5 };
        let start = || {
            let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
            Command::new("/bin/sh")
                .arg("-c")
                .arg(op.script())
                .env("PATH", path)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        // No log file yet.
        let status = start().wait().unwrap();
        assert_eq!(status.code(), i32::try_from(NOT_THERE).ok());
        std::fs::write(log("api.log"), "one\n").unwrap();
        std::fs::write(log("scheduler.log"), "two\n").unwrap();
        let mut child = start();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut next = |n: usize| lines.by_ref().filter(|l| !l.is_empty()).take(n).collect::<Vec<_>>();
        let (api, scheduler) = (log("api.log"), log("scheduler.log"));
        assert_eq!(next(2), [format!("file kube-apiserver {api}"), format!("file kube-scheduler {scheduler}")]);
        assert_eq!(next(4), [format!("==> {api} <=="), "one".into(), format!("==> {scheduler} <=="), "two".into()]);
        writeln!(std::fs::OpenOptions::new().append(true).open(&api).unwrap(), "three").unwrap();
        assert_eq!(next(2), [format!("==> {api} <=="), "three".into()]);
        // The channel closes, and so does all of it.
        drop(child.stdin.take());
        assert_eq!(next(1), Vec::<String>::new());
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn parking_twice_and_back_twice_keeps_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = dir.path().join("kube-apiserver.json");
        std::fs::write(&manifest, "{}").unwrap();
        for (back, there) in [(false, false), (false, false), (true, true), (true, true)] {
            let op = ContainerOp::Park { manifest: manifest.clone(), back };
            let out = std::process::Command::new("/bin/sh").arg("-c").arg(op.script()).status().unwrap();
            assert!(out.success());
            assert_eq!((manifest.exists(), parked(&manifest).exists()), (there, !there));
        }
    }
}

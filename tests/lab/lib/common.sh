# shellcheck shell=bash
# shellcheck disable=SC2034  # used by the files beside this one
# Names, places, progress lines, waiting, and the docker daemon of the lab.

LAB_CACHE=${BANISTER_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/banister-lab}
LAB_STATE=${LAB_STATE:-$LAB_CACHE/state}
LAB_NET=${BANISTER_LAB_NET:-10.213.33}
LAB_NETWORK=banister-lab
LAB_DOMAIN=example.com

# A unix socket's path is short by law: the daemon's run-time files live in /run, named after the cache they belong to.
LAB_RUN=/run/banister-lab-$(printf '%s' "$LAB_CACHE" | sha256sum | cut -c1-8)
export DOCKER_HOST=unix://$LAB_RUN/docker.sock

now_ms() { local t=$EPOCHREALTIME; t=${t/[.,]/}; echo $((t / 1000)); }
LAB_STARTED=$(now_ms)

say() {
  local ms=$(($(now_ms) - LAB_STARTED))
  printf '[%3d.%ds] %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*" >&2
}

die() {
  printf 'lab: %s\n' "$*" >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds, or die at the deadline with what it said last.
wait_for() {
  local deadline=$(($(now_ms) + $1 * 1000)) what=$2 out
  shift 2
  until out=$("$@" 2>&1); do
    (($(now_ms) < deadline)) || {
      printf '%s\n' "$out" >&2
      say "gave up waiting for $what"
      return 1
    }
    sleep 0.1
  done
}

# One command that changes the lab at a time. The daemon must not inherit the lock: see start_dockerd.
with_lock() {
  mkdir -p "$LAB_CACHE"
  exec 9>"$LAB_CACHE/lock"
  if ! flock --nonblock 9; then
    say "waiting for another lab command to finish"
    flock 9
  fi
  "$@"
}

# Debian's client where there is one: the machine may have a newer one in /usr/local/bin.
in_docker() {
  local client=/usr/bin/docker
  [[ -x $client ]] || client=docker
  "$client" "$@"
}

dockerd_pid() {
  local pid
  pid=$(cat "$LAB_RUN/docker.pid" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$LAB_RUN/docker.pid" || return 1
  echo "$pid"
}

dockerd_answers() { in_docker version --format '{{.Server.Version}}' >/dev/null; }

# What outlives this script must hold neither its lock nor one that a caller runs it under.
close_inherited() {
  local fd
  for fd in "/proc/$BASHPID/fd/"*; do
    fd=${fd##*/}
    ((fd <= 2)) || eval "exec $fd>&-"
  done
}

# A daemon of the lab's own: no bridge, no firewall rule and no forwarding on this machine; its networks are not routed anywhere.
start_dockerd() {
  mkdir -p "$LAB_RUN" "$LAB_CACHE/docker"
  allow_watches
  if dockerd_pid >/dev/null; then
    wait_for 30 "the lab's dockerd" dockerd_answers
    return
  fi
  say "starting dockerd"
  rm -f "$LAB_RUN/docker.pid"
  (
    close_inherited
    PATH=$PATH:/usr/sbin:/sbin exec setsid --fork dockerd \
      --data-root "$LAB_CACHE/docker" --exec-root "$LAB_RUN/exec" --pidfile "$LAB_RUN/docker.pid" \
      --host "$DOCKER_HOST" --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
      --userland-proxy=false </dev/null >"$LAB_RUN/dockerd.log" 2>&1
  )
  wait_for 30 "the lab's dockerd" dockerd_answers || {
    tail -n 20 "$LAB_RUN/dockerd.log" >&2
    die "dockerd did not start; its log is $LAB_RUN/dockerd.log"
  }
}

# Every systemd and kubelet here counts against root's one inotify limit: at 128, kubelets die with "too many open files".
LAB_WATCHES=/proc/sys/fs/inotify/max_user_instances
LAB_WATCHES_BEFORE=/run/banister-lab.watches
allow_watches() {
  (($(cat "$LAB_WATCHES") < 1024)) || return 0
  cat "$LAB_WATCHES" >"$LAB_WATCHES_BEFORE"
  echo 1024 >"$LAB_WATCHES"
}

stop_dockerd() {
  local pid
  if pid=$(dockerd_pid); then
    kill "$pid"
    wait_for 30 "dockerd to stop" test ! -d "/proc/$pid"
    say "dockerd stopped"
  fi
  rm -rf "$LAB_RUN"
  # Another lab may still need the room.
  if [[ -f $LAB_WATCHES_BEFORE ]] && ! compgen -G '/run/banister-lab-*' >/dev/null; then
    cat "$LAB_WATCHES_BEFORE" >"$LAB_WATCHES"
    rm "$LAB_WATCHES_BEFORE"
  fi
}

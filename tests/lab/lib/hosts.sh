# shellcheck shell=bash
# The hosts: up, down, and the faults a machine can have.

# What makes a container a machine. Without CAP_SYS_RESOURCE, as the lab's own machine may not have it.
# shellcheck disable=SC2054  # tmpfs options have commas
HOST_OPTIONS=(--cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined --security-opt apparmor=unconfined
  --security-opt systempaths=unconfined --cgroupns=private --tmpfs /run:exec,mode=755 --tmpfs /run/lock
  --stop-signal SIGRTMIN+3 --log-driver none)

# Everything about a running lab is read from its env file.
load_env() {
  [[ -f $LAB_STATE/env ]] || die "no lab is up (no $LAB_STATE/env); start one with: lab up"
  # shellcheck source=/dev/null
  source "$LAB_STATE/env"
}

address_of() {
  local key=LAB_ADDRESS_$1
  echo "${!key:?no host $1}"
}

# A host by its name in the cluster file or by its address.
container_of() {
  load_env
  local host
  for host in $LAB_HOSTS; do
    if [[ $1 == "$host" || $1 == "$(address_of "$host")" ]]; then
      echo "$host"
      return
    fi
  done
  die "no host $1 in this lab: $LAB_HOSTS"
}

ssh_to() {
  local address=$1
  shift
  ssh -F none -i "$LAB_STATE/id_ed25519" -o IdentitiesOnly=yes -o "UserKnownHostsFile=$LAB_STATE/known_hosts" \
    -o StrictHostKeyChecking=yes -o LogLevel=ERROR -o ConnectTimeout=5 "root@$address" "$@"
}

cmd_ssh() {
  local host
  host=$(container_of "${1:?HOST}")
  load_env
  shift
  ssh_to "$(address_of "$host")" "$@"
}

cmd_exec() {
  local host
  host=$(container_of "${1:?HOST}")
  shift
  in_docker exec --interactive "$host" "$@"
}

cmd_cut() { in_docker network disconnect "$LAB_NETWORK" "$(container_of "$1")"; }

cmd_heal() {
  local host
  host=$(container_of "$1")
  load_env
  # One that is in stays in.
  [[ -z $(in_docker ps --quiet --filter "network=$LAB_NETWORK" --filter "name=^$host\$") ]] || return 0
  in_docker network connect --ip "$(address_of "$host")" "$LAB_NETWORK" "$host"
}

cmd_status() {
  load_env
  in_docker ps --all --filter label=banister.lab --format '{{.Names}}\t{{.Status}}' | sort
  lab_etcdctl member list -w table
}

cmd_up() {
  UP_ETCD=3.4.23 UP_MASTERS=3 UP_BARE=2 UP_WORKERS=2 UP_KUBE=0
  local arguments=("$@")
  while (($#)); do
    case $1 in
      --etcd) UP_ETCD=${2:?}; shift 2 ;;
      --kube) UP_KUBE=1; shift ;;
      --masters) UP_MASTERS=${2:?}; shift 2 ;;
      --bare) UP_BARE=${2:?}; shift 2 ;;
      --workers) UP_WORKERS=${2:?}; shift 2 ;;
      *) die "up: unknown argument $1" ;;
    esac
  done
  ((UP_MASTERS >= 1 && UP_MASTERS <= 3)) || die "up: 1 to 3 masters"
  ((UP_BARE >= 0 && UP_BARE <= 10)) || die "up: 0 to 10 bare hosts"
  if ((UP_KUBE)); then cmd_prepare --etcd "$UP_ETCD" --kube; else cmd_prepare --etcd "$UP_ETCD"; fi
  remove_lab
  drop_older_images
  mkdir -p "$LAB_STATE"
  clean_state "$LAB_STATE"
  echo "$LAB_STATE" >"$LAB_CACHE/state-directory"
  printf '%s\n' "${arguments[@]}" >"$LAB_STATE/up.arguments"
  name_hosts
  write_env
  make_keys
  write_cluster_file
  make_pki
  ((!UP_KUBE)) || make_kube
  say "starting ${#HOSTS[@]} hosts"
  in_docker network create --driver bridge --internal --subnet "$LAB_NET.0/24" --gateway "$LAB_NET.1" "$LAB_NETWORK" >/dev/null
  local host jobs=()
  for host in "${HOSTS[@]}"; do
    start_host "$host" &
    jobs+=($!)
  done
  for host in "${jobs[@]}"; do wait "$host" || die "a host did not start"; done
  for host in "${HOSTS[@]}"; do
    wait_for 60 "$host to be up" host_runs "$host" || die "$host is not up"
  done
  rm -rf "$LAB_STATE/hosts"
  say "every host is up"
  etcd_ready
  ((!UP_KUBE)) || kube_ready
  ((!UP_KUBE)) || say "Kubernetes $KUBE_VERSION runs"
  say "up: etcd $UP_ETCD, masters ${MASTERS[*]}, bare ${BARE[*]:-none}, workers ${WORKERS[*]:-none}; state in $LAB_STATE"
}

cmd_reset() {
  load_env
  local arguments
  mapfile -t arguments < <(grep . "$LAB_STATE/up.arguments" || true)
  cmd_up "${arguments[@]}"
}

cmd_down() {
  if dockerd_pid >/dev/null; then
    remove_lab
    say "the lab is down"
  fi
  [[ ${1:-} != --all ]] || stop_dockerd
}

remove_lab() {
  local old paused state
  old=$(in_docker ps --all --quiet --filter label=banister.lab)
  if [[ -n $old ]]; then
    say "removing the old lab"
    # A frozen container cannot be killed on every version.
    for paused in $(in_docker ps --quiet --filter label=banister.lab --filter status=paused); do
      in_docker unpause "$paused" >/dev/null
    done
    # shellcheck disable=SC2086  # a list of ids
    in_docker rm --force --volumes $old >/dev/null
  fi
  ! in_docker network inspect "$LAB_NETWORK" >/dev/null 2>&1 || in_docker network rm "$LAB_NETWORK" >/dev/null
  rm -rf "$LAB_CACHE/volumes"
  state=$(cat "$LAB_CACHE/state-directory" 2>/dev/null || true)
  [[ -z $state ]] || clean_state "$state"
}

# Only what a lab put there.
clean_state() {
  [[ -f $1/env ]] || return 0
  (cd "$1" && rm -rf env up.arguments cluster.yaml id_ed25519 id_ed25519.pub known_hosts etcd kube hosts)
}

# Names and addresses mirror the runbook's: .37 on for the masters, .40 on for those that join, .51 on for the workers.
name_hosts() {
  local i
  MASTERS=() BARE=() WORKERS=() HOSTS=()
  declare -gA ADDRESS=()
  for ((i = 1; i <= UP_MASTERS; i++)); do
    MASTERS+=("master0$i")
    ADDRESS[master0$i]=$LAB_NET.$((36 + i))
  done
  for ((i = 0; i < UP_BARE; i++)); do
    local name
    name=$(printf 'master%02d' $((UP_MASTERS + 1 + i)))
    BARE+=("$name")
    ADDRESS[$name]=$LAB_NET.$((40 + i))
  done
  for ((i = 1; i <= UP_WORKERS; i++)); do
    WORKERS+=("$(printf 'node%02d' "$i")")
    ADDRESS[$(printf 'node%02d' "$i")]=$LAB_NET.$((50 + i))
  done
  HOSTS=("${MASTERS[@]}" "${BARE[@]}" "${WORKERS[@]}")
}

# One key pair for root and ops, and every host's own keys, so that known_hosts is true before the first connection.
make_keys() {
  local host type
  ssh-keygen -q -t ed25519 -N '' -C lab -f "$LAB_STATE/id_ed25519"
  for host in "${HOSTS[@]}"; do
    mkdir -p "$LAB_STATE/hosts/$host/lab/ssh"
    for type in ed25519 ecdsa; do
      ssh-keygen -q -t "$type" -N '' -C "$host" -f "$LAB_STATE/hosts/$host/lab/ssh/ssh_host_${type}_key"
      printf '%s %s\n' "${ADDRESS[$host]}" "$(cut -d' ' -f1,2 "$LAB_STATE/hosts/$host/lab/ssh/ssh_host_${type}_key.pub")"
    done
  done >"$LAB_STATE/known_hosts"
}

write_env() {
  local host
  {
    printf "export DOCKER_HOST='%s'\n" "$DOCKER_HOST"
    printf "%s='%s'\n" LAB_NETWORK "$LAB_NETWORK" LAB_NET "$LAB_NET" LAB_STATE "$LAB_STATE" LAB_DOMAIN "$LAB_DOMAIN" \
      LAB_KUBE "$UP_KUBE" LAB_KUBE_BIN "${LAB_KUBE_BIN:-}" LAB_ETCD_VERSION "$UP_ETCD" LAB_ETCD_BIN "$(etcd_dir "$UP_ETCD")" \
      LAB_HOSTS "${HOSTS[*]}" LAB_MASTERS "${MASTERS[*]}" LAB_BARE "${BARE[*]}" LAB_WORKERS "${WORKERS[*]}" \
      LAB_ENDPOINTS "$(endpoints)"
    for host in "${HOSTS[@]}"; do printf 'LAB_ADDRESS_%s=%s\n' "$host" "${ADDRESS[$host]}"; done
  } >"$LAB_STATE/env.new"
  mv "$LAB_STATE/env.new" "$LAB_STATE/env"
}

endpoints() {
  local host list=
  for host in "${MASTERS[@]}"; do list+=,https://${ADDRESS[$host]}:2379; done
  echo "${list#,}"
}

write_cluster_file() {
  local host
  {
    printf 'cluster: lab\ndomain: %s\n' "$LAB_DOMAIN"
    printf 'ssh: { user: root, port: 22, identity: %s, known_hosts: %s }\n' "$LAB_STATE/id_ed25519" "$LAB_STATE/known_hosts"
    echo 'masters:'
    for host in "${MASTERS[@]}"; do printf '  - { name: %s, address: %s }\n' "$host" "${ADDRESS[$host]}"; done
    if ((${#BARE[@]})); then
      echo 'join:'
      for host in "${BARE[@]}"; do printf '  - { name: %s, address: %s }\n' "$host" "${ADDRESS[$host]}"; done
    fi
    if ((${#WORKERS[@]})); then
      echo 'workers:'
      for host in "${WORKERS[@]}"; do printf '  - { name: %s, address: %s }\n' "$host" "${ADDRESS[$host]}"; done
    fi
  } >"$LAB_STATE/cluster.yaml"
}

make_pki() {
  local host addresses=()
  for host in "${MASTERS[@]}"; do addresses+=("${ADDRESS[$host]}"); done
  mkdir -p "$LAB_STATE/etcd"
  etcd_pki "$LAB_STATE/etcd" "${addresses[@]}"
}

# All its units started, the firewall too.
host_runs() { ssh_to "${ADDRESS[$1]}" systemctl is-system-running; }

role_of() {
  case " ${MASTERS[*]} |${BARE[*]} " in
    *" $1 "*"|"*) echo master ;;
    *"|"*"$1"*) echo bare ;;
    *) echo worker ;;
  esac
}

# What a host finds under /lab at its first start: its keys, its name, and a script that lays its files out.
start_host() {
  local host=$1 seed=$LAB_STATE/hosts/$1/lab role other own=$1 said
  role=$(role_of "$host")
  # A new machine knows nothing of the name it will get.
  [[ $role != bare ]] || own=debian-${ADDRESS[$host]##*.}
  echo "$own" >"$seed/hostname"
  {
    printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n'
    if [[ $role == bare ]]; then
      printf '%s\t%s\n' "${ADDRESS[$host]}" "$own"
    else
      for other in "${MASTERS[@]}" "${WORKERS[@]}"; do
        printf '%s\t%s.%s %s\n' "${ADDRESS[$other]}" "$other" "$LAB_DOMAIN" "$other"
      done
    fi
  } >"$seed/hosts"
  cp "$LAB_STATE/id_ed25519.pub" "$seed/authorized_keys"
  cp "$LAB_HOME/firstboot.sh" "$seed/firstboot"
  echo "$role" >"$seed/role"
  : >"$seed/units"
  [[ $role != master ]] || seed_etcd "$host" "$seed"
  mkdir -p "$LAB_CACHE/volumes/$host"
  ((!UP_KUBE)) || seed_kube "$host" "$role" "$seed"
  # Docker warns that forwarding is off, which is meant: nothing leaves the lab's network.
  said=$(in_docker create --name "$host" --hostname "$own" --label banister.lab="$role" --network "$LAB_NETWORK" --ip "${ADDRESS[$host]}" \
    "${HOST_OPTIONS[@]}" --volume "$LAB_CACHE/volumes/$host:/var/lib/docker" "$LAB_IMAGE" 2>&1) || die "$host: $said"
  tar --create --numeric-owner --owner 0 --group 0 --directory "$LAB_STATE/hosts/$host" lab | in_docker cp - "$host:/"
  in_docker start "$host" >/dev/null
}

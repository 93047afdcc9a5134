# shellcheck shell=bash
# shellcheck disable=SC2153  # ADDRESS and MASTERS are set by name_hosts
# The etcd cluster: what a master's seed holds, waiting for health, data, the tarball.

etcd_names() {
  local host list=
  for host in "${MASTERS[@]}"; do list+=,$host=https://${ADDRESS[$host]}:2380; done
  echo "${list#,}"
}

seed_etcd() {
  local host=$1 seed=$2 address=${ADDRESS[$1]}
  mkdir -p "$seed/etcd/ssl" "$seed/bin"
  echo etcd.service >>"$seed/units"
  cp "$(etcd_dir "$UP_ETCD")"/* "$seed/bin/"
  cp "$LAB_STATE"/etcd/{ca,client,peer,server}.{crt,key} "$seed/etcd/ssl/"
  cat >"$seed/etcd/etcd.conf" <<TEXT
ETCD_IMAGE_TAG=v$UP_ETCD
ETCD_SSL_DIR=/etc/etcd/ssl/
ETCD_OPTS="--name $host \\
  --listen-client-urls https://$address:2379,https://127.0.0.1:2379 \\
  --advertise-client-urls https://$address:2379 \\
  --listen-peer-urls https://$address:2380 \\
  --initial-advertise-peer-urls https://$address:2380 \\
  --initial-cluster $(etcd_names) \\
  --initial-cluster-token etcd-k8s-cluster \\
  --initial-cluster-state new \\
  --client-cert-auth \\
  --trusted-ca-file /etc/etcd/ssl/ca.crt \\
  --cert-file /etc/etcd/ssl/server.crt \\
  --key-file /etc/etcd/ssl/server.key \\
  --peer-client-cert-auth \\
  --peer-trusted-ca-file /etc/etcd/ssl/ca.crt \\
  --peer-cert-file /etc/etcd/ssl/peer.crt \\
  --peer-key-file /etc/etcd/ssl/peer.key \\
  --auto-compaction-retention 1 \\
  --data-dir=/var/lib/etcd \\
  --metrics basic"
TEXT
  cat >"$seed/etcd.service" <<'TEXT'
[Unit]
Description=etcd server
After=network.target

[Service]
WorkingDirectory=/var/lib/etcd
EnvironmentFile=-/etc/etcd/etcd.conf
User=etcd
ExecStart=/usr/local/bin/etcd $ETCD_OPTS
Restart=on-failure
RestartSec=5
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
TEXT
}

# etcdctl of the running version from this machine, with the test clients' certificate.
lab_etcdctl() {
  local at=()
  [[ " $* " == *" --endpoints"* ]] || at=(--endpoints "$LAB_ENDPOINTS")
  ETCDCTL_API=3 "$LAB_ETCD_BIN/etcdctl" --cacert "$LAB_STATE/etcd/ca.crt" --cert "$LAB_STATE/etcd/client.crt" \
    --key "$LAB_STATE/etcd/client.key" "${at[@]}" "$@"
}

etcd_ready() {
  load_env
  local host
  if ! wait_for 60 "a healthy etcd" lab_etcdctl endpoint health; then
    for host in $LAB_MASTERS; do
      say "journal of etcd.service on $host"
      ssh_to "$(address_of "$host")" journalctl --no-pager --lines 30 --unit etcd.service >&2 || true
    done
    die "etcd did not become healthy"
  fi
  seed_data
}

# A few hundred keys, in transactions of 100.
seed_data() {
  local batch i
  for batch in 0 1 2 3; do
    {
      echo
      for ((i = batch * 100; i < batch * 100 + 100; i++)); do
        printf 'put /seed/%04d "value %d of the lab, %s"\n' "$i" "$i" "$(printf 'x%.0s' {1..64})"
      done
      printf '\n\n'
    } | lab_etcdctl txn --interactive=false >/dev/null
  done
}

cmd_tarball() {
  load_env
  local version=${1:-$LAB_ETCD_VERSION} name tmp
  fetch_etcd "$version"
  name=etcd-v$version-linux-amd64
  tmp=$(mktemp -d "$LAB_STATE/tmp.XXXXXX")
  mkdir "$tmp/$name"
  cp "$(etcd_dir "$version")"/* "$tmp/$name/"
  tar --create --gzip --owner 0 --group 0 --directory "$tmp" --file "$tmp/$name.tar.gz" "$name"
  (cd "$tmp" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
  mv "$tmp/$name.tar.gz" "$tmp/$name.tar.gz.sha256" "$LAB_STATE/"
  rm -r "$tmp"
  echo "$LAB_STATE/$name.tar.gz"
}

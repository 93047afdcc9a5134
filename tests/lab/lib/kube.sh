# shellcheck shell=bash
# The Kubernetes cluster: its PKI and files into the seeds, then what only a running cluster can be told.

make_kube() {
  local host addresses=()
  for host in "${MASTERS[@]}"; do addresses+=("${ADDRESS[$host]}"); done
  mkdir -p "$LAB_STATE/kube"
  kube_pki "$LAB_STATE/kube" "${addresses[@]}"
  encryption_yaml >"$LAB_STATE/kube/encryption.yaml"
  calico_yaml >"$LAB_STATE/kube/calico.yaml"
  admin_conf "${addresses[0]}" >"$LAB_STATE/kube/admin.conf"
  cp "$LAB_STATE/kube/pki/ca.pem" "$LAB_STATE/kube/ca.pem"
}

# Bare hosts have docker installed, stopped and disabled, with the images already in it: there is no registry to pull from.
seed_kube() {
  local host=$1 role=$2 seed=$3
  fill_docker_volume "$LAB_CACHE/volumes/$host"
  case $role in
    master) seed_kube_master "$host" "$seed/root" ;;
    worker) seed_kube_worker "$host" "$seed/root" ;;
    bare) return ;;
  esac
  printf '%s\n' docker.service kubelet.service >>"$seed/units"
}

lab_kubectl() { "$LAB_KUBE_BIN/kubectl" --kubeconfig "$LAB_STATE/kube/admin.conf" "$@"; }

# The API of one host, as the cluster's administrator, its certificate verified: api ADDRESS[:PORT] PATH
api() {
  local at=$1
  [[ $at == *:* ]] || at+=:6443
  curl --silent --show-error --fail --max-time 5 --cacert "$LAB_STATE/kube/ca.pem" --cert "$LAB_STATE/kube/pki/admin.pem" \
    --key "$LAB_STATE/kube/pki/admin-key.pem" "https://$at$2"
}

node_registered() { lab_kubectl get node "$1.$LAB_DOMAIN" -o name; }
nodes_ready() { lab_kubectl wait --for=condition=Ready nodes --all --timeout=1s; }
calico_ready() { lab_kubectl -n kube-system rollout status daemonset/calico-node --timeout=1s; }

start_proxy() {
  ssh_to "$(address_of "$1")" docker run --detach --name nginx-proxy --net host --restart always \
    --volume /opt/nginx/nginx.conf:/etc/nginx/nginx.conf lab/nginx:1.22 >/dev/null
}

kube_ready() {
  load_env
  local host
  for host in $LAB_WORKERS; do
    wait_for 30 "docker on $host" ssh_to "$(address_of "$host")" docker version
    start_proxy "$host"
  done
  say "waiting for the apiservers"
  for host in $LAB_MASTERS; do
    wait_for 180 "the apiserver on $host" api "$(address_of "$host")" /healthz || kube_failed "$host"
  done
  for host in $LAB_MASTERS $LAB_WORKERS; do
    wait_for 120 "node $host" node_registered "$host" || kube_failed "$host"
  done
  say "every node is registered"
  for host in $LAB_MASTERS; do
    lab_kubectl label --overwrite node "$host.$LAB_DOMAIN" node-role.kubernetes.io/master= >/dev/null
    lab_kubectl taint --overwrite node "$host.$LAB_DOMAIN" node-role.kubernetes.io/master=:NoSchedule >/dev/null
    lab_kubectl cordon "$host.$LAB_DOMAIN" >/dev/null
  done
  for host in $LAB_WORKERS; do
    lab_kubectl label --overwrite node "$host.$LAB_DOMAIN" node-role.kubernetes.io/node= >/dev/null
  done
  lab_kubectl apply -f "$LAB_STATE/kube/calico.yaml" >/dev/null
  wait_for 120 'every node to be ready' nodes_ready || kube_failed "$LAB_MASTERS"
  wait_for 120 'the calico pods' calico_ready || kube_failed "$LAB_MASTERS"
}

kube_failed() {
  local host
  for host in $1; do
    say "kubelet and containers on $host"
    # shellcheck disable=SC2016  # expanded over there
    ssh_to "$(address_of "$host")" 'journalctl --no-pager --lines 40 --unit kubelet.service; docker ps --all
      for id in $(docker ps --all --quiet --filter name=kube-apiserver_ | head -n 1); do docker logs --tail 30 "$id"; done' >&2 2>&1 || true
  done
  die "Kubernetes did not come up"
}

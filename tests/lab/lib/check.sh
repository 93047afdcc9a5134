# shellcheck shell=bash
# The end-state checks: one line each, and a bad one makes the command fail.

CHECK_BAD=0

# check WHAT GOT WANT
check() {
  if [[ $2 == "$3" ]]; then
    printf 'ok    %s: %s\n' "$1" "${2//$'\n'/ }"
  else
    printf 'FAIL  %s: %s, should be %s\n' "$1" "${2:-nothing}" "$3"
    CHECK_BAD=1
  fi
}

# Words, one a line or apart by commas, as one sorted line.
sorted() { tr ',' '\n' | tr ' ' '\n' | grep . | sort | tr '\n' ' '; }

# The masters of a cluster of N: the first N of those that were there and those that join.
masters_of() {
  local all
  read -ra all <<<"$LAB_MASTERS $LAB_BARE"
  ((${#all[@]} >= $1)) || die "this lab has no $1 masters: ${all[*]}"
  echo "${all[@]:0:$1}"
}

# for_masters FORMAT: the addresses of CHECK_MASTERS, each through a printf format, sorted.
for_masters() {
  local host
  # shellcheck disable=SC2059  # a format is what it is
  for host in $CHECK_MASTERS; do printf "$1\n" "$(address_of "$host")"; done | sorted
}

# What every host knows of itself, asked once and all at the same time: facts.sh's "key value" lines.
gather_facts() {
  local host
  FACTS=$(mktemp -d)
  trap 'rm -rf "$FACTS"' EXIT
  for host in $LAB_HOSTS; do
    ssh_to "$(address_of "$host")" bash -s <"$LAB_HOME/facts.sh" >"$FACTS/$host" 2>/dev/null &
  done
  wait
}

# One host's into the array FACT.
declare -gA FACT=()
facts_of() {
  local key value
  FACT=()
  while read -r key value; do FACT[$key]=$value; done <"$FACTS/$1"
}

cmd_check_etcd() {
  load_env
  CHECK_MASTERS=$(masters_of "$1")
  gather_facts
  check_etcd "$1"
  return "$CHECK_BAD"
}

check_etcd() {
  local want=$1 members host address name
  members=$(lab_etcdctl member list -w json) || members='{"members":[]}'
  # 3.3 leaves the name out of a member that never started.
  check 'members' "$(jq -r '.members[] | .name // "unstarted"' <<<"$members" | sorted)" "$(sorted <<<"$CHECK_MASTERS")"
  check 'voters' "$(jq '[.members[] | select(.isLearner != true)] | length' <<<"$members")" "$want"
  check 'peer URLs' "$(jq -r '.members[].peerURLs[]' <<<"$members" | sorted)" "$(for_masters 'https://%s:2380')"
  check 'alarms' "$(lab_etcdctl alarm list | sorted)" ''
  for host in $CHECK_MASTERS; do
    address=$(address_of "$host")
    facts_of "$host"
    check "$host etcd health" "$(lab_etcdctl --endpoints "https://$address:2379" endpoint health 2>&1 | grep -c 'is healthy')" 1
    check "$host seed keys" "$(lab_etcdctl --endpoints "https://$address:2379" get --prefix /seed/ --keys-only | grep -c /seed/)" 400
    check "$host hostname and member name" "${FACT[hostname]:-} ${FACT[etcd-name]:-}" "$host $host"
    check "$host initial cluster" "$(sorted <<<"${FACT[etcd-initial-cluster]:-}")" \
      "$(for name in $CHECK_MASTERS; do echo "$name=https://$(address_of "$name"):2380"; done | sorted)"
    check "$host etcd data directory" "${FACT[etcd-data]:-}" '700 etcd:etcd'
    check "$host etcd key modes" "${FACT[etcd-keys]:-}" '600 etcd'
    check "$host etcd unit" "${FACT[unit-etcd]:-}" 'active enabled'
    for name in server peer client; do
      check "$host etcd $name certificate" "$(base64 -d <<<"${FACT[etcd-$name.crt]:-}" | sans_under "$LAB_STATE/etcd/ca.crt")" "$(for_masters %s)"
    done
    for name in 2379 2380; do
      check "$host served on $name" "$(served "$address:$name" | sans_under "$LAB_STATE/etcd/ca.crt")" "$(for_masters %s)"
    done
  done
  check_left_out
}

# The lab's addresses among a certificate's SANs, the certificate on stdin verified against a CA.
sans_under() {
  local certificate
  certificate=$(cat)
  openssl verify -CAfile "$1" <(printf '%s\n' "$certificate") >/dev/null 2>&1 || printf 'unverified '
  openssl x509 -noout -ext subjectAltName <<<"$certificate" 2>/dev/null | grep -o "$LAB_NET\.[0-9]*" | sorted
}

served() {
  openssl s_client -connect "$1" -cert "$LAB_STATE/etcd/client.crt" -key "$LAB_STATE/etcd/client.key" </dev/null 2>/dev/null |
    openssl x509 2>/dev/null || true
}

# Hosts that are not masters of this cluster, or not any more: nothing of it runs there.
check_left_out() {
  local host
  for host in $LAB_MASTERS $LAB_BARE; do
    [[ " $CHECK_MASTERS " != *" $host "* ]] || continue
    facts_of "$host"
    check "$host is no master" "${FACT[unit-etcd]:-} ${FACT[unit-kubelet]:-} ${FACT[etcd-files]:-}" 'inactive inactive 0'
  done
}

cmd_check() {
  load_env
  ((LAB_KUBE)) || die "this lab has no Kubernetes: lab up --kube"
  CHECK_MASTERS=$(masters_of "$1")
  gather_facts
  check_etcd "$1"
  check_nodes
  check_control_planes
  check_same
  check_calico
  check_workers
  return "$CHECK_BAD"
}

check_nodes() {
  local host nodes
  nodes=$(lab_kubectl get nodes -o json) || nodes='{"items":[]}'
  check 'nodes' "$(jq -r '.items[].metadata.name' <<<"$nodes" | sorted)" \
    "$(for host in $CHECK_MASTERS $LAB_WORKERS; do echo "$host.$LAB_DOMAIN"; done | sorted)"
  while IFS=$'\t' read -r host ready version address role cordoned taints; do
    local short=${host%%.*} want_role='master' want_cordoned=true want_taints='node-role.kubernetes.io/master:NoSchedule,node.kubernetes.io/unschedulable:NoSchedule'
    [[ " $LAB_WORKERS " != *" $short "* ]] || want_role=node want_cordoned=false want_taints='-'
    check "node $host" "$ready $version $address $role cordoned=$cordoned $taints" \
      "Ready=True v$KUBE_VERSION $(address_of "$short") $want_role cordoned=$want_cordoned $want_taints"
  done < <(jq -r '.items[] | [
      .metadata.name,
      ("Ready=" + (.status.conditions[] | select(.type == "Ready") | .status)),
      .status.nodeInfo.kubeletVersion,
      (.status.addresses[] | select(.type == "InternalIP") | .address),
      ([.metadata.labels | keys[] | select(startswith("node-role.kubernetes.io/")) | ltrimstr("node-role.kubernetes.io/")] | join(",")),
      (.spec.unschedulable // false),
      ([.spec.taints[]? | "\(.key):\(.effect)"] | sort | join(",") | if . == "" then "-" else . end)
    ] | @tsv' <<<"$nodes")
  check 'apiservers in endpoints/kubernetes' "$(lab_kubectl get endpoints kubernetes -o json | jq -r '.subsets[].addresses[].ip' | sorted)" "$(for_masters %s)"
}

check_control_planes() {
  local host address token
  token=$(lab_kubectl -n kube-system get secrets -o json |
    jq -r '[.items[] | select(.metadata.name | startswith("default-token-"))][0].data.token // "" | @base64d')
  for host in $CHECK_MASTERS; do
    address=$(address_of "$host")
    facts_of "$host"
    check "$host units" "${FACT[unit-docker]:-}, ${FACT[unit-kubelet]:-}" 'active enabled, active enabled'
    check "$host manifests" "${FACT[manifests]:-}" 'kube-apiserver.json kube-controller-manager.json kube-scheduler.json'
    check "$host control plane processes" "${FACT[processes]:-}" '1 1 1'
    check "$host apiserver's etcd servers" "$(sorted <<<"${FACT[running-etcd-servers]:-}")" "$(for_masters 'https://%s:2379')"
    check "$host manifest's etcd servers" "${FACT[manifest-etcd-servers]:-}" "${FACT[running-etcd-servers]:-}"
    check "$host advertised address" "${FACT[advertise]:-}" "$address"
    check "$host masters of its clients" "${FACT[client-masters]:-}" "https://$address:6443"
    check "$host servers in kubeconfigs" "${FACT[servers]:-}" "https://$address:6443"
    check "$host kubelet's name" "${FACT[kubelet-name]:-}" "$host.$LAB_DOMAIN"
    check "$host apiserver health" "$(api "$address" /healthz 2>&1)" ok
    check "$host apiserver's SANs" "$(served "$address:6443" | sans_under "$LAB_STATE/kube/ca.pem")" "$(for_masters %s)"
    check "$host accepts a token" "$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 5 \
      --cacert "$LAB_STATE/kube/ca.pem" --header "Authorization: Bearer $token" "https://$address:6443/api/v1/")" 200
    check "$host pki modes" "${FACT[pki-modes]:-}" '600 root'
    check "$host calico nodename" "${FACT[nodename]:-}" "$(printf '%s' "$host.$LAB_DOMAIN" | base64)"
  done
}

# Compared by content, not by presence.
check_same() {
  local host first=''
  for host in $CHECK_MASTERS; do
    facts_of "$host"
    first=${first:-${FACT[same]:-something}}
    check "$host CA, service-account key, front-proxy CA, encryption, apiserver certificate" "${FACT[same]:-}" "$first"
  done
}

check_calico() {
  local secret host name
  secret=$(lab_kubectl -n kube-system get secret calico-etcd-secrets -o json) || secret='{}'
  for name in ca:ca.crt cert:client.crt key:client.key; do
    for host in $CHECK_MASTERS; do
      facts_of "$host"
      check "calico Secret etcd-${name%:*} as on $host" "$(jq -r --arg key "etcd-${name%:*}" '.data[$key] // ""' <<<"$secret" | base64 -d | sha256sum | cut -c1-16)" \
        "${FACT[sha-${name#*:}]:-}"
    done
  done
  check 'calico endpoints' "$(lab_kubectl -n kube-system get configmap calico-config -o json | jq -r .data.etcd_endpoints | sorted)" "$(for_masters 'https://%s:2379')"
  check 'calico pods' "$(lab_kubectl -n kube-system get daemonset calico-node -o json | jq -r '.status | "\(.desiredNumberScheduled) \(.numberReady) \(.updatedNumberScheduled)"')" \
    "$(wc -w <<<"$CHECK_MASTERS $LAB_WORKERS" | awk '{ print $1, $1, $1 }')"
  # A pod keeps the endpoints it was started with: this shows that it was rolled.
  for host in $CHECK_MASTERS $LAB_WORKERS; do
    facts_of "$host"
    check "calico pod on $host" "$(sorted <<<"${FACT[calico-endpoints]:-}")" "$(for_masters 'https://%s:2379')"
  done
}

check_workers() {
  local host
  for host in $LAB_WORKERS; do
    facts_of "$host"
    check "$host units" "${FACT[unit-docker]:-}, ${FACT[unit-kubelet]:-}" 'active enabled, active enabled'
    check "$host upstreams" "$(sorted <<<"${FACT[upstreams]:-}")" "$(for_masters '%s:6443')"
    check "$host proxy reads that file" "${FACT[proxy-conf]:-}" "${FACT[nginx-conf]:-}"
    check "$host API through its proxy" "${FACT[proxy-health]:-}" ok
  done
}

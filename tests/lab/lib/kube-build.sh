# shellcheck shell=bash
# Kubernetes 1.20.2, built once from Debian's source package, and the images its static pods need.

KUBE_VERSION=1.20.2
KUBE_BUILD_PACKAGES=(golang-go dpkg-dev make rsync gcc libc6-dev)
KUBE_BUILD_PROGRAMS=(go dpkg-source make rsync gcc)

kube_hash() {
  {
    declare -f build_kube
    cat "$LAB_HOME/pause.c"
  } | hash_of
}

# Sets LAB_KUBE_BIN.
kube_binaries() {
  LAB_KUBE_BIN=$LAB_CACHE/kube-$KUBE_VERSION-$(kube_hash)
  [[ ! -d $LAB_KUBE_BIN ]] || return 0
  local program missing=()
  for program in "${KUBE_BUILD_PROGRAMS[@]}"; do command -v "$program" >/dev/null || missing+=("$program"); done
  if ((${#missing[@]})); then
    say "installing what builds Kubernetes (missing: ${missing[*]})"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${KUBE_BUILD_PACKAGES[@]}" >/dev/null 2>&1 ||
      die "apt-get install ${KUBE_BUILD_PACKAGES[*]} failed"
  fi
  say "building Kubernetes $KUBE_VERSION (about ten minutes, once)"
  build_kube "$LAB_KUBE_BIN"
  drop_older kube "${LAB_KUBE_BIN##*/}"
}

build_kube() {
  local tmp tree what=cmd/kube-apiserver
  what+=' cmd/kube-controller-manager cmd/kube-scheduler cmd/kubelet cmd/kubectl'
  tmp=$(mktemp -d "$LAB_CACHE/tmp.XXXXXX")
  tree=$tmp/go/src/k8s.io/kubernetes
  (
    trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
    mkdir -p "$tmp/source" "${tree%/*}"
    private_apt bookworm apt-get update >/dev/null
    cd "$tmp/source" || exit
    private_apt bookworm apt-get source kubernetes >"$tmp/log" 2>&1 || { tail "$tmp/log" >&2; die "apt-get source kubernetes failed"; }
    mv kubernetes-*/ "$tree"
    # The vendored reflect2 walks maps as Go did before 1.18: with this Go it breaks memory whenever JSON is written, and
    # the apiserver dies of it sooner or later.
    private_apt bookworm apt-get download golang-github-modern-go-reflect2-dev >"$tmp/log" 2>&1 ||
      { tail "$tmp/log" >&2; die "apt-get download golang-github-modern-go-reflect2-dev failed"; }
    dpkg-deb -x golang-github-modern-go-reflect2-dev_*.deb reflect2
    rm "$tree"/vendor/github.com/modern-go/reflect2/*.{go,s}
    cp reflect2/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$tree/vendor/github.com/modern-go/reflect2/"
    cat >"$tmp/version" <<TEXT
KUBE_GIT_COMMIT=faecb196815e248d3ecfb03c680a4507229c2a56
KUBE_GIT_TREE_STATE=clean
KUBE_GIT_VERSION=v$KUBE_VERSION
KUBE_GIT_MAJOR=1
KUBE_GIT_MINOR=20
TEXT
    cd "$tree" || exit
    GOPATH=$tmp/go GOCACHE=$tmp/gocache GO111MODULE=off GOFLAGS='' CGO_ENABLED=0 KUBE_GIT_VERSION_FILE=$tmp/version \
      nice -n 10 make WHAT="$what" GOLDFLAGS='-s -w' >"$tmp/log" 2>&1 || { tail -n 30 "$tmp/log" >&2; die "building Kubernetes failed"; }
    mkdir "$tmp/bin"
    cp _output/bin/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kubectl} "$tmp/bin/"
    gcc -static -Os -o "$tmp/bin/pause" "$LAB_HOME/pause.c"
    strip "$tmp/bin/pause"
    mv "$tmp/bin" "$1"
  )
}

# shellcheck shell=bash
# What is built once and kept in the cache, each under the hash of what it is built from.

LAB_PACKAGES=(docker.io debootstrap jq openssh-client openssl ca-certificates debian-archive-keyring iproute2)
LAB_PROGRAMS=(dockerd debootstrap jq ssh ssh-keygen openssl ip)
HOST_PACKAGES=(systemd systemd-sysv dbus openssh-server iproute2 iptables nftables procps openssl curl sudo kmod jq
  firewalld ca-certificates docker.io tar gzip)

etcd_package() {
  case $1 in
    3.3.25) echo bullseye 3.3.25 ;;
    3.4.23) echo bookworm 3.4.23 ;;
    3.5.16) echo trixie 3.5.16 ;;
    *) die "no etcd $1 here: 3.3.25, 3.4.23 or 3.5.16" ;;
  esac
}

# The mirror this machine's apt uses, else Debian's.
debian_mirror() {
  local uri=${BANISTER_LAB_MIRROR:-}
  # shellcheck disable=SC2016  # apt's own placeholders
  [[ -n $uri ]] || uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 2>/dev/null |
    grep -E '/debian/?$' | head -n 1) || true
  uri=${uri:-http://deb.debian.org/debian}
  echo "${uri%/}"
}

cmd_prepare() {
  local versions=() kube=0
  while (($#)); do
    case $1 in
      --etcd) versions+=("${2:?--etcd wants a version}"); shift 2 ;;
      --kube) kube=1; shift ;;
      *) die "prepare: unknown argument $1" ;;
    esac
  done
  ((${#versions[@]})) || versions=(3.4.23 3.3.25 3.5.16)
  rm -rf "$LAB_CACHE"/tmp.*
  install_packages
  start_dockerd
  local version
  for version in "${versions[@]}"; do fetch_etcd "$version"; done
  host_image
  if ((kube)); then
    kube_binaries
    nginx_root
    cni_plugins
    docker_seed
  fi
}

install_packages() {
  local program missing=()
  for program in "${LAB_PROGRAMS[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("$program")
  done
  ((${#missing[@]})) || return 0
  say "installing packages (missing: ${missing[*]})"
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${LAB_PACKAGES[@]}" >/dev/null 2>&1 ||
    die "apt-get install ${LAB_PACKAGES[*]} failed"
}

# drop_older KIND CURRENT: what an older version of these scripts built.
drop_older() {
  find "$LAB_CACHE" -maxdepth 1 -name "$1-*" ! -name "$2" -exec rm -rf {} +
}

hash_of() { sha256sum | cut -c1-12; }

# apt with lists of its own, so that this machine's sources stay as they are. private_apt SUITE COMMAND...
private_apt() {
  local suite=$1 root=$LAB_CACHE/apt/$1
  shift
  mkdir -p "$root/lists/partial" "$root/archives/partial"
  printf '%s [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
    deb "$(debian_mirror)" "$suite" deb-src "$(debian_mirror)" "$suite" >"$root/sources.list"
  "$1" -o "Dir::Etc::sourcelist=$root/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o "Dir::State::lists=$root/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$root" -o APT::Sandbox::User=root -o Acquire::Retries=3 \
    -o 'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false' -o Acquire::Languages=none -q "${@:2}"
}

etcd_dir() { echo "$LAB_CACHE/etcd-$1"; }

fetch_etcd() {
  local version=$1 suite upstream dir tmp package exact
  dir=$(etcd_dir "$version")
  [[ ! -d $dir ]] || return 0
  read -r suite upstream < <(etcd_package "$version")
  say "fetching etcd $version from Debian $suite"
  tmp=$(mktemp -d "$LAB_CACHE/tmp.XXXXXX")
  (
    trap 'rm -rf "$tmp"' EXIT
    private_apt "$suite" apt-get update >/dev/null
    cd "$tmp" || exit
    for package in etcd-server etcd-client; do
      exact=$(private_apt "$suite" apt-cache madison "$package" | awk -v want="$upstream" 'index($3, want) == 1 { print $3; exit }')
      [[ -n $exact ]] || die "Debian $suite has no $package $upstream any more"
      private_apt "$suite" apt-get download "$package=$exact" >/dev/null
    done
    for package in *.deb; do dpkg-deb -x "$package" root; done
    mkdir bin
    install -m 0755 root/usr/bin/etcd* bin/
    mv bin "$dir"
  )
}

host_hash() {
  {
    printf '%s\n' "${HOST_PACKAGES[@]}"
    declare -f build_host_root
    cd "$LAB_HOME/image" && find . -type f -print0 | sort -z | xargs -0 sha256sum
  } | hash_of
}

# The image every host starts from; prints nothing, sets LAB_IMAGE.
host_image() {
  local hash tar
  hash=$(host_hash)
  LAB_IMAGE=banister-lab-host:$hash
  ! in_docker image inspect "$LAB_IMAGE" >/dev/null 2>&1 || return 0
  tar=$LAB_CACHE/host-$hash.tar
  if [[ ! -f $tar ]]; then
    say "building the host image (a few minutes, once)"
    build_host_root "$tar"
    drop_older host "host-$hash.tar"
  fi
  say "importing the host image"
  in_docker import --change 'CMD ["/usr/local/sbin/lab-init"]' --change 'ENV container=docker' \
    "$tar" "$LAB_IMAGE" >/dev/null
}

drop_older_images() {
  local old
  for old in $(in_docker images --format '{{.Repository}}:{{.Tag}}' banister-lab-host); do
    [[ $old == "$LAB_IMAGE" ]] || in_docker rmi "$old" >/dev/null
  done
}

build_host_root() {
  local tmp root log
  tmp=$(mktemp -d "$LAB_CACHE/tmp.XXXXXX")
  root=$tmp/root log=$tmp/log
  (
    trap 'umount -l "$root/proc" 2>/dev/null || true; rm -rf --one-file-system "$tmp"' EXIT
    nice -n 10 debootstrap --variant=minbase bookworm "$root" "$(debian_mirror)" >"$log" 2>&1 || { tail "$log" >&2; die "debootstrap failed"; }
    mount -t proc proc "$root/proc"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    printf 'path-exclude=/usr/share/%s/*\n' doc man locale info >"$root/etc/dpkg/dpkg.cfg.d/lab"
    nice -n 10 chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get install -qy --no-install-recommends \
      "${HOST_PACKAGES[@]}" >"$log" 2>&1 || { tail "$log" >&2; die "installing the host's packages failed"; }
    chroot "$root" systemctl disable -q docker.service docker.socket containerd.service firewalld.service
    chroot "$root" systemctl mask -q systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
      apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
    chroot "$root" useradd --create-home --shell /bin/bash ops
    echo 'ops ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/ops"
    chmod 0440 "$root/etc/sudoers.d/ops"
    cp -a "$LAB_HOME/image/." "$root/"
    umount "$root/proc"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/{doc,man,locale,info}/* \
      "$root"/etc/ssh/ssh_host_* "$root/usr/sbin/policy-rc.d" "$root"/var/log/*.log "$root/etc/machine-id"
    : >"$root/etc/machine-id"
    tar --create --file "$tmp/tar" --numeric-owner --directory "$root" .
    mv "$tmp/tar" "$1"
  )
}

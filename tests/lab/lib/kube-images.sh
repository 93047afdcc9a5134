# shellcheck shell=bash
# The images of the static pods, of the workers' proxy and of the pod sandbox, loaded into a /var/lib/docker that
# every host starts from: there is no registry in the lab.

KUBE_COMPONENTS=(kube-apiserver kube-controller-manager kube-scheduler)
NGINX_PACKAGES=(nginx libnginx-mod-stream libpcre2-8-0 libssl3 zlib1g libcrypt1 libc6 busybox-static)
CNI_PLUGINS=(loopback portmap host-local bandwidth tuning)

# Sets LAB_NGINX, the tar of an image's root: Debian's nginx with its stream module, its libraries and a shell.
nginx_root() {
  LAB_NGINX=$LAB_CACHE/nginx-$({ printf '%s\n' "${NGINX_PACKAGES[@]}"; declare -f build_nginx; } | hash_of).tar
  [[ ! -f $LAB_NGINX ]] || return 0
  build_nginx "$LAB_NGINX"
  drop_older nginx "${LAB_NGINX##*/}"
}

build_nginx() {
  local tmp package name
  say "making the nginx image"
  tmp=$(mktemp -d "$LAB_CACHE/tmp.XXXXXX")
  (
    trap 'rm -rf "$tmp"' EXIT
    private_apt bookworm apt-get update >/dev/null
    cd "$tmp" || exit
    private_apt bookworm apt-get download "${NGINX_PACKAGES[@]}" >/dev/null
    mkdir -p root/{run,tmp,dev,proc,sys,etc,bin} root/var/log/nginx root/var/lib/nginx
    for package in *.deb; do dpkg-deb -x "$package" root; done
    rm -rf root/usr/share root/etc/nginx/{sites-*,conf.d,snippets,modules-*} root/etc/init.d
    for name in sh cat ls grep sleep; do ln -sf busybox "root/bin/$name"; done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >root/etc/passwd
    printf 'root:x:0:\nnobody:x:65534:\nnogroup:x:65534:\n' >root/etc/group
    tar --create --file tar --numeric-owner --owner 0 --group 0 --directory root .
    mv tar "$1"
  )
}

# Sets LAB_CNI: a directory for /opt/cni/bin. The small plugins are real; calico's only tell their version, as the
# kubelet asks for it before it calls a node ready.
cni_plugins() {
  LAB_CNI=$LAB_CACHE/cni-$({ printf '%s\n' "${CNI_PLUGINS[@]}"; declare -f build_cni; } | hash_of)
  [[ ! -d $LAB_CNI ]] || return 0
  build_cni "$LAB_CNI"
  drop_older cni "${LAB_CNI##*/}"
}

build_cni() {
  local tmp name
  tmp=$(mktemp -d "$LAB_CACHE/tmp.XXXXXX")
  (
    trap 'rm -rf "$tmp"' EXIT
    private_apt bookworm apt-get update >/dev/null
    cd "$tmp" || exit
    private_apt bookworm apt-get download containernetworking-plugins >/dev/null
    dpkg-deb -x containernetworking-plugins_*.deb root
    mkdir bin
    for name in "${CNI_PLUGINS[@]}"; do install -m 0755 "root/usr/lib/cni/$name" bin/; done
    for name in calico calico-ipam; do
      cat >"bin/$name" <<'TEXT'
#!/bin/sh
# A stand-in: it tells its version and refuses everything else.
if [ "$CNI_COMMAND" = VERSION ]; then
  echo '{"cniVersion":"0.4.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0"]}'
  exit 0
fi
echo '{"cniVersion":"0.4.0","code":100,"msg":"there is no calico in the lab"}'
exit 1
TEXT
      chmod 755 "bin/$name"
    done
    mv bin "$1"
  )
}

# Sets LAB_DOCKER_SEED: a /var/lib/docker with the images in it, made by a host's own docker.
docker_seed() {
  local hash
  hash=$({
    echo "$LAB_IMAGE" "${LAB_KUBE_BIN##*/}" "${LAB_NGINX##*/}"
    declare -f build_docker_seed load_images component_image
  } | hash_of)
  LAB_DOCKER_SEED=$LAB_CACHE/docker-seed-$hash
  if [[ ! -d $LAB_DOCKER_SEED ]]; then
    build_docker_seed "$LAB_DOCKER_SEED"
    drop_older docker-seed "docker-seed-$hash"
  fi
}

build_docker_seed() {
  local tmp builder=banister-lab-builder
  say "loading the images"
  tmp=$(mktemp -d "$LAB_CACHE/tmp.XXXXXX")
  (
    trap 'in_docker rm --force "$builder" >/dev/null 2>&1 || true; rm -rf "$tmp"' EXIT
    mkdir "$tmp/docker"
    in_docker rm --force "$builder" >/dev/null 2>&1 || true
    in_docker run --detach --name "$builder" --network none "${HOST_OPTIONS[@]}" --volume "$tmp/docker:/var/lib/docker" "$LAB_IMAGE" >/dev/null
    wait_for 60 "docker in the builder" in_docker exec "$builder" systemctl start docker
    load_images "$builder"
    in_docker exec "$builder" systemctl stop docker.socket docker containerd
    in_docker rm --force "$builder" >/dev/null
    mv "$tmp/docker" "$1"
  )
}

load_images() {
  local component
  for component in "${KUBE_COMPONENTS[@]}"; do
    component_image "usr/local/bin/$component" | in_docker exec -i "$1" docker import - "lab/$component:v$KUBE_VERSION" >/dev/null
  done
  component_image pause | in_docker exec -i "$1" docker import --change 'ENTRYPOINT ["/pause"]' - lab/pause:3.2 >/dev/null
  in_docker exec -i "$1" docker import --change 'CMD ["/usr/sbin/nginx","-g","daemon off;"]' - lab/nginx:1.22 <"$LAB_NGINX" >/dev/null
}

# An image's root as a tar on stdout: one static binary at the path given.
component_image() {
  local root
  root=$(mktemp -d "$LAB_CACHE/tmp.XXXXXX")
  mkdir -p "$root/$(dirname "$1")" "$root/etc" "$root/var/run"
  mkdir -m 1777 "$root/tmp"
  echo 'root:x:0:0:root:/root:/bin/false' >"$root/etc/passwd"
  cp "$LAB_KUBE_BIN/$(basename "$1")" "$root/$1"
  tar --create --owner 0 --group 0 --directory "$root" .
  rm -rf "$root"
}

# A host's own /var/lib/docker: image layers are never written to and may be links, everything else is copied.
fill_docker_volume() {
  local entry
  for entry in "$LAB_DOCKER_SEED"/*; do
    if [[ ${entry##*/} == overlay2 ]]; then cp -al "$entry" "$1/"; else cp -a "$entry" "$1/"; fi
  done
}

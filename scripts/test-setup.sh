#!/bin/bash
# Installs the Debian packages that tests need, by name, when run by root. Says which are missing otherwise.
set -euo pipefail
declare -A packages=(
  [musl-gcc]=musl-tools [runc]=runc [nft]=nftables [busybox]=busybox-static [nc]=netcat-openbsd [ip]=iproute2 [mount]=mount [gcc]=gcc
  [docker]=docker.io [python3]=python3 [iptables-legacy]=iptables [zstd]=zstd
  [openssl]=openssl [docker-registry]=docker-registry
)
wanted=()
for program in "${!packages[@]}"; do
  PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$program" >/dev/null || wanted+=("${packages[$program]}")
done
ldconfig -p 2>/dev/null | grep -q 'libseccomp\.so\.2' || PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q 'libseccomp\.so\.2' || wanted+=(libseccomp2)
# The dynamic busybox has no place in a root file system without a libc.
if command -v busybox >/dev/null && grep -q '/ld-linux' "$(command -v busybox)"; then wanted+=(busybox-static); fi
[ ${#wanted[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "missing Debian packages, tests that need them are skipped: ${wanted[*]}" >&2
  exit 0
fi
echo "installing: ${wanted[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# The client alone where Debian has it by itself. Else its daemon comes with it, and must not start: it would change this machine's network.
if apt-cache show docker-cli >/dev/null 2>&1; then wanted=("${wanted[@]/docker.io/docker-cli}"); fi
if [ ! -e /usr/sbin/policy-rc.d ]; then
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
fi
apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null

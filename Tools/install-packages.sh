#!/bin/sh
# Checks for Swift and for the C libraries that Fewstep links, and installs libraries that are missing.
# Usage: Tools/install-packages.sh [--dry-run]
set -eu

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

dry_run=false
case "${1:-}" in
  '') ;;
  --dry-run) dry_run=true ;;
  *) fail "unknown argument: $1; the only one there is is --dry-run" ;;
esac

run() {
  say "+ $*"
  if ! $dry_run; then "$@" >&2; fi
}

check_swift() {
  has swift || fail "there is no 'swift' in PATH: Fewstep needs Swift 6.2 or newer, from https://www.swift.org/install"
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1)
  [ -n "$version" ] || fail "'swift --version' does not tell its version; Fewstep needs Swift 6.2 or newer"
  major=${version%%.*}
  rest=${version#*.}
  [ "$rest" != "$version" ] || rest=0
  minor=${rest%%.*}
  if [ "$major" -lt 6 ] || { [ "$major" -eq 6 ] && [ "${minor:-0}" -lt 2 ]; }; then
    fail "Swift is $version here; Fewstep needs 6.2 or newer, from https://www.swift.org/install"
  fi
}

# The pkg-config modules that are not there, with pkg-config itself in front where it is not either.
missing_modules() {
  if ! has pkg-config; then
    echo "pkg-config openblas lapacke libpng"
    return
  fi
  for module in openblas lapacke libpng; do
    pkg-config --exists "$module" || echo "$module"
  done
}

apt_package() {
  case "$1" in
    pkg-config) echo pkg-config ;;
    openblas) echo libopenblas-dev ;;
    lapacke) echo liblapacke-dev ;;
    libpng) echo libpng-dev ;;
  esac
}

brew_package() {
  case "$1" in
    pkg-config) echo pkgconf ;;
    lapacke) echo lapack ;;
    *) echo "$1" ;;
  esac
}

install_with_apt() {
  packages=$(for module in "$@"; do apt_package "$module"; done)
  as_root=''
  if [ "$(id -u)" -ne 0 ]; then
    has sudo || fail "only root can install $(echo $packages), and there is no sudo: run 'apt-get install' as root"
    as_root=sudo
    say "Installing $(echo $packages) with apt-get, through sudo, which may ask for your password."
  else
    say "Installing $(echo $packages) with apt-get."
  fi
  # Through env, because sudo drops the caller's variables.
  run $as_root env DEBIAN_FRONTEND=noninteractive apt-get update
  run $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $packages
}

install_with_brew() {
  packages=$(for module in "$@"; do brew_package "$module"; done)
  say "Installing $(echo $packages) with brew."
  run brew install $packages
}

check_swift

# Homebrew keeps openblas and lapack apart from the system's own; SwiftPM looks in the same places.
if has brew; then
  for package in openblas lapack libpng; do
    PKG_CONFIG_PATH="$(brew --prefix)/opt/$package/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
  done
  export PKG_CONFIG_PATH
fi

missing=$(missing_modules)
[ -n "$missing" ] || exit 0
say "Missing, says pkg-config: $(echo $missing)"

if has apt-get; then
  install_with_apt $missing
elif has brew; then
  install_with_brew $missing
else
  fail "there is neither apt-get nor brew here to install them with: install OpenBLAS, LAPACKE and libpng with their" \
    "headers, and pkg-config, and try again"
fi

$dry_run && exit 0
missing=$(missing_modules)
[ -z "$missing" ] || fail "still missing after the installation: $(echo $missing)"

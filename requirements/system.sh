#!/bin/sh
# Install packages of the system: system.sh WHAT PACKAGE...
#
# WHAT is what they are for, in words. Only apt-get is known here; elsewhere, and where it fails, the sentence says what to install.
set -eu

what=$1
shift
if ! command -v apt-get > /dev/null; then
  echo "Missing: $what. There is no apt-get here; install what Debian calls $* with your system's package manager, and try again." >&2
  exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo > /dev/null; then
    echo "Missing: $what. As root: apt-get install $*" >&2
    exit 1
  fi
  sudo=sudo
fi
echo "Installing $what with the system's package manager ($*) ..."
# The lists may be old and still good; only what cannot be installed is an error.
$sudo apt-get update -qq || true
if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null; then
  echo "Missing: $what. This did not work: apt-get install $*" >&2
  exit 1
fi

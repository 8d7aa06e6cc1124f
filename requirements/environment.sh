#!/bin/sh
# Make a virtual environment hold what a lock file says: environment.sh FOLDER LOCK [--editable]
#
# Run from the project's folder. With --editable the project itself is installed too. An environment that is complete is left
# alone, which takes a moment. Its file `.installed` says what it holds: it is removed before anything is changed and written when
# everything is there, so whatever ends an installation in the middle, the next one begins anew. Anew too: an environment whose
# Python is gone or was upgraded, one without pip, one that was moved.
#
# PYTHON: the Python to make it with. CHOSEN: not empty where somebody has named that Python; an environment of another one is then
# made anew. Otherwise the Python that it has is as good as any.
set -eu

here=$(dirname "$0")
folder=$1
lock=$2
editable=${3:-}
python=${PYTHON:-python3}
own="$folder/bin/python"

give_up() {
  echo "$1" >&2
  exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; }

# The version and the real file, which are the same for a Python and for the environments that it has made.
identity_of() {
  "$1" -c 'import os, sys; print("%d.%d.%d" % sys.version_info[:3], os.path.realpath(getattr(sys, "_base_executable", sys.executable)))'
}

wanted="$(cat "$lock" ${editable:+pyproject.toml} | cksum) $(pwd -P)"

what_is_wrong() {
  if [ ! -e "$folder/.installed" ]; then
    echo "its installation was not finished"
  elif ! "$own" -c 'import pip' 2> /dev/null; then
    echo "its Python or its pip is gone"
  elif ! is_new_enough "$own"; then
    echo "its Python is older than 3.11"
  elif [ -n "${CHOSEN:-}" ] && [ "$(identity_of "$own")" != "$(identity_of "$python")" ]; then
    echo "it is not of $python"
  else
    case $(cat "$folder/.installed") in
      '' | *" $(pwd -P)") ;;
      *) echo "it was made in another folder" ;;
    esac
  fi
}

check_python() {
  command -v "$python" > /dev/null || give_up "There is no $python. Install Python 3.11 or newer, or set PYTHON=/path/to/it."
  is_new_enough "$python" || give_up "Telvend needs Python 3.11 or newer, and $python is older or does not start; set PYTHON=/path/to/it."
}

# Debian keeps these two out of its python3: `python3 -m venv` fails half-way, with the folder made and no pip in it.
check_venv() {
  "$python" -c 'import venv, ensurepip' 2> /dev/null && return
  identity=$(identity_of "$python")
  version=$(echo "$identity" | cut -d . -f 1,2)
  case $identity in
    *" /usr/bin/"*) "$here/system.sh" "the modules venv and ensurepip of Python" "python$version-venv" || exit 1 ;;
    *) give_up "The Python at ${identity#* } has no modules venv and ensurepip. Add them, or set PYTHON=/path/to/another one." ;;
  esac
  "$python" -c 'import venv, ensurepip' || give_up "$python has no modules venv and ensurepip still; set PYTHON=/path/to/another one."
}

if [ -e "$folder" ] || [ -h "$folder" ]; then
  wrong=$(what_is_wrong)
  if [ -z "$wrong" ] && [ "$(cat "$folder/.installed")" = "$wanted" ]; then
    exit 0
  fi
  if [ -n "$wrong" ]; then
    check_python
    # Where the environment is active, `python3` is its own, which is about to go.
    if "$python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'; then
      python=$(identity_of "$python" | cut -d ' ' -f 2-)
    fi
    check_venv
    echo "Making $folder anew: $wrong."
    rm -rf "$folder"
  fi
else
  check_python
  check_venv
fi

echo "Installing into $folder (about half a minute, once) ..."
if [ ! -e "$folder" ]; then
  "$python" -m venv "$folder"
fi
rm -f "$folder/.installed"
install() { "$own" -m pip install --quiet --disable-pip-version-check "$@"; }
install --require-hashes -r "$lock"
if [ -n "$editable" ]; then
  install --no-deps --no-build-isolation --editable .
fi
echo "$wanted" > "$folder/.new"
mv "$folder/.new" "$folder/.installed"

#!/bin/sh
# Makes .venv with everything the project needs to run, test and build, from locked versions, and this project in it.
# Needs only Python 3.11+; where the distribution left out pip and venv (Debian and Ubuntu do), it borrows pip's wheel
# from the distribution's package archive without installing anything on the system.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ]; then
    echo "error: no Python 3.11 or newer found" >&2
    echo "remedy: install one (apt-get install python3), or name it: make PYTHON=/path/to/python3 ..." >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch" .venv.part' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Prints the path of a pip wheel out of the distribution's python3-pip-whl package, fetched as an ordinary user.
borrow_pip() {
    command -v apt-get >/dev/null 2>&1 || return 1
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$scratch/deb"
    (
        cd "$scratch/deb"
        apt-get -qq download python3-pip-whl >/dev/null 2>&1 || {
            options="-o Dir::State::Lists=$scratch/lists -o Dir::Cache=$scratch/cache -o APT::Sandbox::User="
            # shellcheck disable=SC2086  # options are words
            apt-get -qq $options update >/dev/null 2>&1 && apt-get -qq $options download python3-pip-whl >/dev/null 2>&1
        } || exit 1
        dpkg-deb -x python3-pip-whl*.deb .
    ) || return 1
    find "$scratch/deb" -name 'pip-*.whl' | head -n 1
}

echo "making .venv with $($python --version)" >&2
rm -rf .venv.part
if "$python" -c 'import venv, ensurepip' 2>/dev/null && "$python" -m venv .venv.part >/dev/null 2>&1; then
    :
else
    rm -rf .venv.part
    wheel=$(borrow_pip || true)
    if [ -z "$wheel" ]; then
        echo "error: this Python has neither pip nor venv, and no pip could be fetched" >&2
        echo "remedy: apt-get install python3-venv (as root), then the same command again" >&2
        exit 1
    fi
    "$python" -m venv --without-pip .venv.part
    .venv.part/bin/python "$wheel/pip" install --quiet --no-index --no-deps "$wheel"
fi
# Scripts in a virtual environment name their interpreter by its path: move it into place before filling it.
rm -rf .venv
mv .venv.part .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
touch .venv/ready

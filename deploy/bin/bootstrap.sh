# Shared by ./run and ./test: finds Python, makes .venv, installs the locked packages. Sourced from the repository's root.
# shellcheck shell=bash

# Compiled bytecode is what makes the second start fast; some environments switch it off.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$0: $*"
    exit 1
}

# apt_install PACKAGE... : installs Debian packages as root or with sudo; prints the command where neither is possible.
apt_install() {
    local as_root=()
    command -v apt-get >/dev/null || fail "this needs: $*. Install them, then start again."
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null && ! [ -t 0 ]; then
            fail "missing packages; run as root:  apt-get install -y $*"
        fi
        as_root=(sudo)
    fi
    say "installing Debian packages: $*"
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@")
    # The package lists may be current already, so they are fetched only when the first attempt fails.
    "${as_root[@]}" "${install[@]}" >/dev/null 2>&1 ||
        { "${as_root[@]}" apt-get update -q >&2 && "${as_root[@]}" "${install[@]}" >&2; } ||
        fail "could not install; run as root:  apt-get update && apt-get install -y $*"
}

# find_python : prints the first Python of at least 3.11.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local python
    python=$(find_python) || { apt_install python3 python3-venv && python=$(find_python); } ||
        fail "Python 3.11 or newer is needed, and this system's packages do not have it."
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install python3-venv
        # A Python that does not come from Debian may still lack it; Debian's own has it now.
        "$python" -c 'import ensurepip, venv' 2>/dev/null || python=/usr/bin/python3
    fi
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
    # uv installs five times faster than pip; where it has no wheel or cannot reach the index, pip does it all.
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes \
        -r deploy/requirements/bootstrap.txt 2>/dev/null || say "uv is not available; pip takes longer"
}

# install_locked base|dev : makes .venv hold exactly what the lock names; does nothing when it already does.
install_locked() {
    local lock=deploy/requirements/$1.txt stamp=.venv/.installed-$1 wanted
    wanted=$(cat deploy/requirements/bootstrap.txt "$lock" | sha256sum)
    # The interpreter is tried too: a directory that was moved, or a system upgrade, leaves a venv that cannot start.
    .venv/bin/python -c '' 2>/dev/null || make_venv
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing $(grep -c '==' "$lock") locked packages"
    if ! { [ -x .venv/bin/uv ] && VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install -q --require-hashes \
        --compile-bytecode -r "$lock" 2>/dev/null; }; then
        .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
    fi
    printf '%s\n' "$wanted" >"$stamp"
}

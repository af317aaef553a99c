#!/bin/sh
# Makes .venv from the locks of this folder. Quick when nothing changed; needs Python 3.11 or 3.12.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }

find_python() {
    for candidate in ${PYTHON:-} python3.11 python3.12 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
            >/dev/null 2>&1; then
            found=$candidate
            # Debian's own Python lacks the module that makes environments with pip.
            if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
                return 0
            fi
        fi
    done
    if [ -n "${found:-}" ]; then
        say "$found has no ensurepip: install its venv package (on Debian and Ubuntu: python3-venv)"
    else
        say "Python 3.11 or 3.12 is needed, and none is on PATH (or set PYTHON=/path/to/python)"
    fi
    exit 2
}

if ! .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
    find_python
    say "making .venv with $candidate"
    "$candidate" -m venv --clear .venv
fi
pip=".venv/bin/python -m pip --disable-pip-version-check install --quiet"
uv=".venv/bin/uv pip install --quiet --python .venv/bin/python --build-constraints setup/build.txt"

install_with_uv() {
    $pip --require-hashes -r setup/uv.txt &&
        $uv --require-hashes -r setup/requirements.txt &&
        $uv --no-deps --editable .
}

# Without isolation, so that nothing is built with what is not locked. hatchling goes again before
# the packages come, because some of them hold back a package that it needs.
install_with_pip() {
    $pip --require-hashes -r setup/build.txt
    $pip --no-deps --no-build-isolation --editable .
    .venv/bin/python -m pip uninstall --quiet --yes hatchling
    $pip --no-build-isolation --require-hashes -r setup/requirements.txt
}

say "installing locked packages"
if [ -n "${PLIMSOLL_NO_UV:-}" ] || ! install_with_uv; then
    # uv knows neither pip's mirrors nor its certificates.
    say "going on with pip instead of uv, which takes some minutes"
    install_with_pip
fi

.venv/bin/python -m sim.chain.install

say "compiling the contracts"
.venv/bin/python -m sim.protocol.artifacts

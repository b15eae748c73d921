#!/usr/bin/env bash
# Installs what is missing of the Debian 12 packages that asyncdump needs. Does nothing, and needs no rights, when all
# of them are there.
#
#   scripts/install-dependencies.sh            for building, and for all tests
#   scripts/install-dependencies.sh --build    for building asyncdump and the examples only
#   scripts/install-dependencies.sh --bench    for the benchmarks as well
set -euo pipefail

build_packages=(
    cmake ninja-build pkg-config g++-12
    libunwind-dev libc++abi-19-dev libdw-dev libelf-dev libdebuginfod-dev libzydis-dev
    libcli11-dev libfmt-dev libexpected-dev libtomlplusplus-dev
    libboost1.81-dev
)
# The tests' targets come from several compilers and libraries; elfutils and gdb are what the benchmarks compare with.
test_packages=(
    catch2 nlohmann-json3-dev libbenchmark-dev python3 python3-jsonschema
    clang-14 clang-16 clang-19 libclang-rt-16-dev clang-format clang-tidy-16
    qcoro-qt6-dev libjemalloc2 libtcmalloc-minimal4
    binutils elfutils gdb git util-linux
)

case "${1:-}" in
    "") packages=("${build_packages[@]}" "${test_packages[@]}") ;;
    --build) packages=("${build_packages[@]}") ;;
    --bench) packages=("${build_packages[@]}" "${test_packages[@]}" lldb-16) ;;
    *)
        echo "usage: scripts/install-dependencies.sh [--build | --bench]" >&2
        exit 64
        ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system. Install what these packages contain, then build with cmake --preset release:" >&2
    echo "  ${packages[*]}" >&2
    exit 1
fi

# The headers of libc++ and libunwind-dev exclude each other as packages: they are only unpacked, for the tests. Without
# them, those tests are skipped.
unpack_libcxx() {
    local folder
    folder="$(dirname "${BASH_SOURCE[0]}")/../build/packages/libcxx-19"
    if [[ -e "$folder/complete" ]]; then
        return
    fi
    rm -rf "$folder"
    mkdir -p "$folder"
    (
        cd "$folder"
        apt-get download --quiet libc++-19-dev libc++abi-19-dev &&
            for package in ./*.deb; do dpkg-deb --extract "$package" . && rm "$package" || exit 1; done && touch complete
    ) || echo "libc++ could not be fetched: its tests are skipped" >&2
}

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ "$status" == *installed* && "$status" != *not-installed* ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    [[ "${1:-}" == --build ]] || unpack_libcxx
    exit 0
fi

as_root=()
if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
        echo "These packages are missing, and there is no sudo to install them with. As root:" >&2
        echo "  apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "Installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update --quiet
"${as_root[@]}" apt-get install --yes --quiet --no-install-recommends "${missing[@]}"
[[ "${1:-}" == --build ]] || unpack_libcxx

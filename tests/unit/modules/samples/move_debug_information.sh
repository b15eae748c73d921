#!/bin/sh
# usage: move_debug_information.sh PROGRAM FOLDER
# Makes FOLDER/by-link, FOLDER/by-build-id, FOLDER/mini and FOLDER/none: the program without its debug information, which is
# found by a debug link, by build id, as compressed symbols inside it, and not at all.
set -eu
program=$1
folder=$2
build_id=$(readelf -n "$program" | sed -n 's/.*Build ID: //p')
rm -rf "$folder"
mkdir -p "$folder/by-link" "$folder/by-build-id/.build-id/$(echo "$build_id" | cut -c1-2)" "$folder/mini" "$folder/none"

# A debug link alone: without a build id nothing else can find the file.
objcopy --remove-section .note.gnu.build-id "$program" "$folder/without-build-id"
objcopy --only-keep-debug "$folder/without-build-id" "$folder/by-link/calls.debug"
objcopy --strip-all --add-gnu-debuglink="$folder/by-link/calls.debug" "$folder/without-build-id" "$folder/by-link/calls"

objcopy --only-keep-debug "$program" \
    "$folder/by-build-id/.build-id/$(echo "$build_id" | cut -c1-2)/$(echo "$build_id" | cut -c3-).debug"
objcopy --strip-all "$program" "$folder/by-build-id/calls"

if command -v xz >/dev/null; then
    objcopy --strip-debug "$program" "$folder/mini/symbols"
    xz --keep "$folder/mini/symbols"
    objcopy --strip-all --add-section .gnu_debugdata="$folder/mini/symbols.xz" "$folder/without-build-id" \
        "$folder/mini/calls"
fi

objcopy --strip-all "$folder/without-build-id" "$folder/none/calls"
touch "$folder/done"

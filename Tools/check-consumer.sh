#!/usr/bin/env bash
# Builds and runs a package in a temporary folder that depends on this one by path: Tests/Consumer.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$root/Tests/Consumer/Sources" "$folder/"
sed "s|@FEWSTEP@|$root|" "$root/Tests/Consumer/Package.swift.in" >"$folder/Package.swift"
cd "$folder"
swift run --quiet SamplingOnly
swift run --quiet WithGlyphs
echo "consumer: a package that depends on Fewstep builds and samples"

#!/usr/bin/env bash
# Makes the pictures that README.md shows.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
swift build --configuration release --product fewstep
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
number=0
for prompt in "a bold red letter A on a white background, serif" "a yellow letter Q on a purple background, sans" \
  "a white digit 7 on blue" "an italic green letter R on black, serif"; do
  number=$((number + 1))
  .build/release/fewstep generate "$prompt" --solver dpm++2m --steps 10 --guidance 4 --seed 1 --count 8 \
    --output "$folder/image.png" --sheet "Documents/pictures/row$number.png"
done

#!/usr/bin/env bash
# Opens one backup without Forestay. Needs bash 4, GNU coreutils, sed, openssl 1.1.1 or newer, and zstd.
#
#   restore-without-forestay.sh FOLDER [KEY_FILE] > plaintext
#
# FOLDER holds manifest.json and the data object beside it, as they lie in the store. KEY_FILE holds the encryption key
# in its first line; without it the script asks. Nothing is written to stdout before the signature of the manifest and
# every digest of the data were found right. What was written is whole only if the script exits 0. The format is
# described in stored-format.md.
set -euo pipefail
export LC_ALL=C

die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit "${2:-1}"
}

# Bytes given in hex, as escapes that printf '%b' writes.
escapes() {
  sed 's/../\\x&/g' <<<"$1"
}

# HMAC-SHA-256 of stdin; the key in hex, at most 64 bytes. Written out so that no key is ever a program's argument.
hmac_sha256() {
  local key=$1 inner='' outer='' at
  while ((${#key} < 128)); do key+=00; done
  for ((at = 0; at < 128; at += 2)); do
    printf -v inner '%s\\x%02x' "$inner" $((16#${key:at:2} ^ 0x36))
    printf -v outer '%s\\x%02x' "$outer" $((16#${key:at:2} ^ 0x5c))
  done
  inner=$({ printf '%b' "$inner"; cat; } | sha256sum | cut -c1-64)
  printf '%b' "$outer$(escapes "$inner")" | sha256sum | cut -c1-64
}

# The part of the manifest that a pattern of `sed -E` catches as its first group. The manifest is canonical JSON, so
# there is one way to write it, and a quote inside of a text always has a backslash before it.
field() {
  local found
  found=$(sed -nE "s/^.*[{,]$1.*\$/\\1/p" <<<"$manifest")
  [[ -n $found ]] || die "the manifest is damaged, or of a format that this script does not know" 2
  printf '%s' "$found"
}

[[ $# -ge 1 && $# -le 2 && -d $1 ]] || die "usage: ${0##*/} FOLDER [KEY_FILE] > plaintext" 64
for tool in openssl sha256sum split sed; do
  command -v "$tool" >/dev/null || die "$tool is not installed" 69
done
folder=$1
[[ -r $folder/manifest.json ]] || die "there is no manifest.json in $folder" 66

if [[ $# -eq 2 ]]; then
  IFS= read -r passphrase <"$2" || [[ -n $passphrase ]] || die "there is no encryption key in $2" 66
else
  IFS= read -rsp 'Encryption key: ' passphrase </dev/tty
  echo >&2
fi

manifest=$(cat "$folder/manifest.json")
mac=$(field '"mac":"([0-9a-f]{64})","media_type":')
field '("format":1),"id":' >/dev/null
compression=$(field '"compression":"(zstd|none)","data":')
rounds=$(field '"encryption":\{"rounds":([0-9]+),"salt":"[0-9a-f]{16}","scheme":"openssl-pbkdf2"\}')
salt=$(field '"encryption":\{"rounds":[0-9]+,"salt":"([0-9a-f]{16})","scheme":"openssl-pbkdf2"\}')
data='"data":\{"chunk_size":([0-9]+),"chunks":\[([^]]*)\],"name":"(data(-[0-9]+)?)","sha256":"([0-9a-f]{64})","size":([0-9]+)\}'
chunk_size=$(field "$data")
part() { sed -nE "s/^.*[{,]$data.*\$/\\$1/p" <<<"$manifest"; }
chunks=$(part 2 | tr -d '"' | tr ',' '\n')
object=$folder/$(part 3)
sha256=$(part 5)
size=$(part 6)

cipher=(-aes-256-ctr -pbkdf2 -iter "$rounds" -md sha256 -pass fd:3)
derived=$(openssl enc "${cipher[@]}" -S "$salt" -P 3< <(printf '%s\n' "$passphrase") |
  sed -nE 's/^(key|iv ) ?= ?([0-9A-Fa-f]+)$/\2/p' | tr -d '\n')
[[ ${#derived} -eq 96 ]] || die 'openssl could not derive the key'
mac_key=$(printf 'forestay manifest v1' | hmac_sha256 "$derived")
unsigned=$(sed -E 's/,"mac":"[0-9a-f]{64}","media_type":/,"media_type":/' <<<"$manifest")
[[ $(printf '%s' "$unsigned" | hmac_sha256 "$mac_key") == "$mac" ]] ||
  die 'the encryption key is not the one of this backup, or the manifest was changed' 3

[[ -r $object ]] || die "the data object $object is missing" 66
[[ $(wc -c <"$object") -eq $size ]] || die "the data is damaged: its size is not $size bytes" 4
found=$(split --bytes="$chunk_size" --filter='sha256sum | cut -c1-64' "$object")
[[ $found == "$chunks" ]] ||
  die "the data is damaged in chunk $(diff <(echo "$found") <(echo "$chunks") | sed -nE '1s/^([0-9]+).*/\1/p')" 4
[[ $(sha256sum <"$object" | cut -c1-64) == "$sha256" ]] || die 'the data is damaged' 4

decompress=(cat)
if [[ $compression == zstd ]]; then
  command -v zstd >/dev/null || die 'zstd is not installed' 69
  decompress=(zstd -d -q -c)
fi
openssl enc -d "${cipher[@]}" -in "$object" 3< <(printf '%s\n' "$passphrase") | "${decompress[@]}"

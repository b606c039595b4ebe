#!/bin/sh
# Makes an ACL file for Redis (`aclfile`) and a password for each of its users:
#
#   deploy/redis/make-users.sh [--stream KEY] [--waitaof] DIR
#
# DIR/users.acl holds the SHA-256 of each password alone, DIR/<user>.password the password, for
# `redis.password__FILE` of the service (ORDERFLOW__REDIS__PASSWORD__FILE) beside `redis.username`. Passwords that are
# there are kept, so that running it again after a change of the rules changes no password: to rotate one, remove its
# file, run this, and tell the server: ACL LOAD. The services read their file again when they are refused.
#
# With --waitaof, for Redis 7.2 and newer, producer-api may wait for the disk (`Prefer: durability=fsync`). Redis 7.0 does
# not know the command, and refuses a file that names it.
#
# The user `default` is off: whoever presents no name gets nothing. DIR/admin.password is the one of `admin`, who may
# do everything and is for people.
set -eu

usage() {
  echo "usage: $0 [--stream KEY] [--waitaof] DIR" >&2
  exit 64
}

stream=events:orders
waitaof=
while :; do
  case ${1:-} in
  --stream)
    [ $# -ge 2 ] || usage
    stream=$2
    shift 2
    ;;
  --waitaof)
    waitaof=' +waitaof'
    shift
    ;;
  *) break ;;
  esac
done
[ $# -eq 1 ] || usage
dir=$1
rules=$(dirname "$0")/users.acl.in

# In a pattern these mean more than themselves, and a space ends a rule.
case $stream in
*[\*\?\[\]\\\ ]* | '')
  echo "$0: the stream's key '$stream' holds one of * ? [ ] \\ or a space, which a rule cannot tell from a pattern" >&2
  exit 64
  ;;
esac
# One slot for all keys of a stream: its own hash tag, or all of it as one.
case $stream in
*"{"?*"}"*) keys="$stream:" ;;
*[{}]*)
  echo "$0: the stream's key '$stream' has a brace but no hash tag" >&2
  exit 64
  ;;
*) keys="{$stream}:" ;;
esac

mkdir -p "$dir"
umask 077

# 256 bits, as 64 digits: nobody guesses it, so one round of SHA-256, which is what Redis keeps, is enough.
password_of() {
  if [ ! -s "$dir/$1.password" ]; then
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$dir/.$1.new"
    mv "$dir/.$1.new" "$dir/$1.password"
  fi
}

hash_of() {
  tr -d '\n' <"$dir/$1.password" | sha256sum | cut -d ' ' -f 1
}

password_of admin
{
  echo 'user default off resetpass resetkeys resetchannels -@all'
  echo "user admin on #$(hash_of admin) ~* &* +@all"
  # Each user's lines as one, without remarks: an ACL file has neither.
  awk '/^#/ || /^$/ { next } /^user / { if (line != "") print line; line = $0; next } { sub(/^ +/, ""); line = line " " $0 } END { print line }' "$rules" |
    while IFS= read -r line; do
      user=$(printf '%s\n' "$line" | cut -d ' ' -f 2)
      password_of "$user"
      printf '%s\n' "$line" | awk -v stream="$stream" -v keys="$keys" -v waitaof="$waitaof" -v hash="$(hash_of "$user")" '
        {
          gsub(/%STREAM%/, stream)
          gsub(/%KEYS%/, keys)
          sub(/ %WAITAOF%/, waitaof)
          sub(/ on /, " on #" hash " resetchannels ")
          print
        }'
    done
} >"$dir/.users.acl.new"
mv "$dir/.users.acl.new" "$dir/users.acl"
echo "$dir/users.acl: $(wc -l <"$dir/users.acl") users for the stream $stream"

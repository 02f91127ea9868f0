#!/bin/sh
# Backs up and restores one SQLite database while programs use it. Parameter DATABASE: its absolute path.
set -eu
database=$FORESTAY_PARAMETER_DATABASE
if [ "$FORESTAY_VERB" != version ] && [ ! -f "$database" ]; then
  echo "there is no file $database" >&2
  exit 69
fi
wait_for_locks='.timeout 60000'

backup() {
  copies=
  trap '[ -z "$copies" ] || rm -rf "$copies"' EXIT
  trap 'exit 143' TERM
  copies=$(mktemp -d)
  cd "$copies"
  # SQLite's own backup minds locks and write-ahead logs; cp would not. The transaction holds one moment from the first
  # page to the last: without it every write of another program would begin the copy anew.
  sqlite3 -bail -cmd "$wait_for_locks" "$database" \
    'BEGIN' 'SELECT count(*) FROM sqlite_schema' '.backup copy.sqlite' 'COMMIT' > /dev/null
  # Open and without a name: whatever ends this script from here on leaves nothing.
  exec 3< copy.sqlite
  rm -rf "$copies"
  cat <&3
}

restore() {
  cd "$(dirname "$database")"
  staged=.forestay-$FORESTAY_RESTORE_ID-$FORESTAY_ATTEMPT.sqlite
  trap 'rm -f "$staged" "$staged-journal" "$staged-wal" "$staged-shm"' EXIT
  trap 'exit 143' TERM
  # The end of the input is the permission to change something: nothing is changed before it.
  (umask 077 && cat > "$staged") || exit 73
  if [ "$(head -c 15 "$staged" | tr '\0' '?')" != 'SQLite format 3' ]; then
    echo 'the backup is no SQLite database' >&2
    exit 65
  fi
  found=$(sqlite3 -bail "$staged" 'PRAGMA integrity_check' 2>&1) || true
  if [ "$found" != ok ]; then
    echo "the backup is damaged: $found" >&2
    exit 65
  fi
  # One transaction of SQLite's own: whoever has the database open sees the old data or the new, and a crash leaves the old.
  # Renaming the file over the other would tear that one from its write-ahead log.
  if ! said=$(sqlite3 -bail -cmd "$wait_for_locks" "$database" ".restore $staged" 2>&1); then
    echo "$said" >&2
    case $said in *'disk is full'*) exit 73 ;; esac
    exit 75
  fi
}

settle() {
  rm -f "$(dirname "$database")/.forestay-$FORESTAY_RESTORE_ID-"*
  # Whether the last attempt came to its end cannot be told, and need not: restoring once more gives the same.
  echo clean
}

case $FORESTAY_VERB in
  backup | restore | settle) "$FORESTAY_VERB" ;;
  probe) sqlite3 -bail -readonly -cmd "$wait_for_locks" "$database" 'SELECT 1 FROM sqlite_schema LIMIT 1' > /dev/null ;;
  version) sqlite3 --version ;;
esac

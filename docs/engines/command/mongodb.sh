#!/bin/sh
# Backs up and restores one MongoDB database with mongodump and mongorestore (MongoDB Database Tools 100 or newer).
set -eu
# The address holds a password, and arguments are shown to every user of the machine.
config=$(mktemp)
trap 'rm -f "$config"' EXIT
trap 'exit 143' TERM
printf 'uri: "%s"\n' "$FORESTAY_PARAMETER_URI" > "$config"

case $FORESTAY_VERB in
  backup)
    mongodump --quiet --config "$config" --db "$FORESTAY_PARAMETER_DATABASE" --archive
    ;;
  restore)
    # mongorestore works while it reads, so everything is read first: damage is known before a collection is dropped.
    staged=$(mktemp)
    trap 'rm -f "$config" "$staged"' EXIT
    cat > "$staged"
    mongorestore --quiet --config "$config" --nsInclude "$FORESTAY_PARAMETER_DATABASE.*" --drop --stopOnError \
      --archive="$staged"
    ;;
esac

#!/bin/sh
# Backs up and restores all of an InfluxDB 2 server with the influx CLI, which reads the token from the environment.
set -eu
export INFLUX_HOST="$FORESTAY_PARAMETER_HOST" INFLUX_TOKEN="$FORESTAY_PARAMETER_TOKEN"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' TERM

case $FORESTAY_VERB in
  backup)
    influx backup "$folder" > /dev/null
    tar --create --file=- --directory="$folder" .
    ;;
  restore)
    # All of it is read and unpacked before the server is touched.
    tar --extract --file=- --directory="$folder"
    influx restore "$folder" --full > /dev/null
    ;;
esac

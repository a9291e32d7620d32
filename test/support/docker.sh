#!/usr/bin/env bash
# Stands in for docker where there is none: does with the built program what `docker compose` would do with containers, so
# that the guide's commands can be typed as they stand. STAND_IN is its directory, MAIN the program, PORT a free one.
set -euo pipefail
[ "${1:-}" = compose ] || { echo "docker $*: not stood in for" >&2; exit 64; }
shift
data=$STAND_IN/data

telemetry() {
  set -a
  # shellcheck disable=SC1091
  . ./.env
  set +a
  HOST=127.0.0.1 DATA_DIR=$data exec node "$MAIN" "$@"
}
# Paths of the container, as paths here.
translated() { printf '%s\n' "$@" | sed -e "s#^/data/#$data/#" -e "s#^/backup/#$PWD/#"; }

case "$1" in
  build | create) ;;
  up)
    # What `:?` in the compose file asks for.
    while read -r name; do
      grep -qE "^$name=.+" .env || { echo "$name is empty in .env" >&2; exit 1; }
    done < <(grep -ohE '\$\{[A-Z_]+:\?' docker-compose.yml | tr -d '${:?' | sort -u)
    if [ -e "$STAND_IN/pid" ] && kill -0 "$(cat "$STAND_IN/pid")" 2>/dev/null; then exit 0; fi
    (telemetry serve) >"$STAND_IN/log" 2>&1 </dev/null &
    echo $! >"$STAND_IN/pid"
    for _ in $(seq 100); do
      (telemetry healthcheck) 2>/dev/null && exit 0
      sleep 0.2
    done
    cat "$STAND_IN/log" >&2
    exit 1
    ;;
  stop)
    kill -TERM "$(cat "$STAND_IN/pid")"
    while kill -0 "$(cat "$STAND_IN/pid")" 2>/dev/null; do sleep 0.1; done
    ;;
  exec)
    shift 2
    mapfile -t words < <(translated "$@")
    if [ "${words[0]}" = telemetry ]; then telemetry "${words[@]:1}"; else "${words[@]}"; fi
    ;;
  run)
    [ "$2 $3 $4 $6" = "--rm --no-deps -v telemetry-api" ] || { echo "docker compose $*: not stood in for" >&2; exit 64; }
    mapfile -t words < <(translated "${@:7}")
    telemetry "${words[@]}"
    ;;
  cp) cp "${2/telemetry-api:\/data/$data}" "$3" ;;
  *) echo "docker compose $*: not stood in for" >&2; exit 64 ;;
esac

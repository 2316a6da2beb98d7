#!/usr/bin/env bash
# Process 1 of the collector image. USE_SUPERVISOR chooses what runs below it:
#   false  /otelcol by itself, which reports itself to FlowGate by its opampextension (extension mode)
#   true   opampsupervisor, which runs /otelcol as its child (supervisor mode)
# Checks the settings first: one line for each that is missing or wrong, exit code 78. README.md lists them all.
set -euo pipefail
set -m # a process group for each child: nothing that it leaves behind escapes, and nobody ignores SIGINT

readonly STORAGE=/var/lib/opampsupervisor STATE=/var/lib/opampsupervisor/persistent_state.yaml
readonly COLLECTOR=/otelcol SUPERVISOR=/usr/local/bin/opampsupervisor
readonly WRONG_SETTINGS=78 LOG_LIMIT=10485760 # bytes
readonly UUID='^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'

say() { printf 'flowgate-gateway: %s\n' "$*" >&2; }

wrong=0
refuse() {
  say "$*"
  wrong=1
}

# --- settings -------------------------------------------------------------------------------------------------------

one_of() { # NAME DEFAULT CHOICE…
  local name=$1 value=${!1:-$2}
  shift 2
  local choices="$*"
  [[ " $choices " == *" $value "* ]] || refuse "$name is \"$value\"; use ${choices// / or }"
  export "$name=$value"
}

check_endpoint() {
  local url=${FLOWGATE_OPAMP_ENDPOINT:-}
  if [[ -z $url ]]; then
    refuse "FLOWGATE_OPAMP_ENDPOINT is missing; set FlowGate's address for agents, such as wss://flowgate.example.com:4320/v1/opamp"
  elif [[ ! $url =~ ^(ws|wss|http|https)://([^/?#[:space:]]+)(/[^[:space:]]*)?$ ]]; then
    refuse "FLOWGATE_OPAMP_ENDPOINT is \"$url\"; it needs to be ws://, wss://, http:// or https://, a host and a path"
  else
    local scheme=${BASH_REMATCH[1]} host=${BASH_REMATCH[2]} otlp=http
    export FLOWGATE_OPAMP_TRANSPORT=ws FLOWGATE_OPAMP_PLAINTEXT=true FLOWGATE_TELEMETRY_URL
    [[ $scheme == http* ]] && FLOWGATE_OPAMP_TRANSPORT=http
    [[ $scheme == wss || $scheme == https ]] && otlp=https FLOWGATE_OPAMP_PLAINTEXT=false
    FLOWGATE_TELEMETRY_URL=${FLOWGATE_TELEMETRY_URL:-$otlp://$host}
    FLOWGATE_TELEMETRY_URL=${FLOWGATE_TELEMETRY_URL%/}
    [[ $FLOWGATE_TELEMETRY_URL =~ ^https?://[^[:space:]]+$ ]] \
      || refuse "FLOWGATE_TELEMETRY_URL is \"$FLOWGATE_TELEMETRY_URL\"; it needs to be http:// or https:// and a host, without /v1/logs"
  fi
}

check_token() {
  local file=${FLOWGATE_ENROLLMENT_TOKEN_FILE:-} token=${FLOWGATE_ENROLLMENT_TOKEN:-}
  if [[ -n $token && -n $file ]]; then
    refuse "FLOWGATE_ENROLLMENT_TOKEN and FLOWGATE_ENROLLMENT_TOKEN_FILE are both set; set one"
  elif [[ -n $file && ! -r $file ]]; then
    refuse "FLOWGATE_ENROLLMENT_TOKEN_FILE is \"$file\", which uid $(id -u) cannot read"
  else
    [[ -z $file ]] || token=$(<"$file")
    if [[ -z $token ]]; then
      refuse "FLOWGATE_ENROLLMENT_TOKEN is missing; set it, or FLOWGATE_ENROLLMENT_TOKEN_FILE to a file that holds it"
    elif [[ ! $token =~ ^[!-~]+$ ]]; then
      refuse "the enrollment token holds white space or characters that no token has"
    fi
  fi
  export FLOWGATE_ENROLLMENT_TOKEN=$token
}

check_tls() {
  local name
  for name in FLOWGATE_CA_FILE FLOWGATE_CLIENT_CERT_FILE FLOWGATE_CLIENT_KEY_FILE; do
    [[ -z ${!name:-} || -r ${!name} ]] || refuse "$name is \"${!name}\", which uid $(id -u) cannot read"
  done
  [[ -n ${FLOWGATE_CLIENT_CERT_FILE:-} && -z ${FLOWGATE_CLIENT_KEY_FILE:-} ]] \
    && refuse "FLOWGATE_CLIENT_KEY_FILE is missing; FLOWGATE_CLIENT_CERT_FILE needs it"
  [[ -z ${FLOWGATE_CLIENT_CERT_FILE:-} && -n ${FLOWGATE_CLIENT_KEY_FILE:-} ]] \
    && refuse "FLOWGATE_CLIENT_CERT_FILE is missing; FLOWGATE_CLIENT_KEY_FILE needs it"
  one_of FLOWGATE_TLS_INSECURE_SKIP_VERIFY false true false
  [[ $FLOWGATE_TLS_INSECURE_SKIP_VERIFY == false || ${FLOWGATE_ENVIRONMENT:-} == development ]] \
    || refuse "FLOWGATE_TLS_INSECURE_SKIP_VERIFY is \"true\", which is for FLOWGATE_ENVIRONMENT=development only; give FLOWGATE_CA_FILE"
}

check_settings() {
  one_of USE_SUPERVISOR false true false
  check_endpoint
  check_token
  check_tls
  one_of FLOWGATE_LOG_LEVEL info debug info warn error
  [[ ${FLOWGATE_STOP_SECONDS:=8} =~ ^[1-9][0-9]{0,3}$ ]] \
    || refuse "FLOWGATE_STOP_SECONDS is \"$FLOWGATE_STOP_SECONDS\"; it needs to be whole seconds, below the grace time of docker stop"
  [[ -z ${FLOWGATE_INSTANCE_UID:-} || $FLOWGATE_INSTANCE_UID =~ $UUID ]] \
    || refuse "FLOWGATE_INSTANCE_UID is \"$FLOWGATE_INSTANCE_UID\"; it needs to be a UUID in lower case, or nothing"
  if [[ $USE_SUPERVISOR == true ]]; then
    config=${FLOWGATE_SUPERVISOR_CONFIG:-/etc/flowgate/supervisor.yaml}
    [[ -r $config ]] || refuse "FLOWGATE_SUPERVISOR_CONFIG is \"$config\", which uid $(id -u) cannot read"
  else
    config=${FLOWGATE_COLLECTOR_CONFIG:-/etc/flowgate/collector.yaml}
    [[ -r $config ]] || refuse "FLOWGATE_COLLECTOR_CONFIG is \"$config\", which uid $(id -u) cannot read"
  fi
  if [[ ! -d $STORAGE || ! -w $STORAGE || ! -x $STORAGE ]]; then
    refuse "$STORAGE cannot be written by uid $(id -u); on the host: chown $(id -u):$(id -g) the folder that is mounted there"
  else
    exec 9>"$STORAGE/.lock"
    flock --nonblock 9 || refuse "$STORAGE is in use by another gateway; each needs a folder of its own"
  fi
}

# --- identity -------------------------------------------------------------------------------------------------------

# The same in both modes and over restarts. The supervisor's own record wins: FlowGate can give an agent another identity.
load_identity() {
  local stored='' given=${FLOWGATE_INSTANCE_UID:-} random
  [[ -r $STATE ]] && stored=$(sed -nE 's/^instance_id: *"?([0-9a-f-]{36})"? *$/\1/p' "$STATE")
  [[ -z $stored && -r $STORAGE/instance_uid ]] && stored=$(<"$STORAGE/instance_uid")
  if [[ -n $stored && ! $stored =~ $UUID ]]; then
    refuse "$STORAGE/instance_uid holds \"$stored\", which is no UUID; remove the file for a new identity"
  elif [[ -n $stored && -n $given && $stored != "$given" ]]; then
    refuse "FLOWGATE_INSTANCE_UID is \"$given\", but $STORAGE belongs to agent $stored"
  fi
  if [[ -z $stored && -z $given ]]; then # a UUID of version 7: 48 bits of milliseconds, the rest at random
    random=$(</proc/sys/kernel/random/uuid)
    given=$(printf '%012x' "$(date +%s%3N)")
    given=${given:0:8}-${given:8:4}-7${random:15}
  fi
  export FLOWGATE_INSTANCE_UID=${stored:-$given}
  printf '%s\n' "$FLOWGATE_INSTANCE_UID" >"$STORAGE/.instance_uid"
  mv "$STORAGE/.instance_uid" "$STORAGE/instance_uid"
}

# --- the last configuration -----------------------------------------------------------------------------------------

# The supervisor stores what FlowGate pushed before it knows whether it is any good, and starts with it unchecked: after
# a refused configuration the next start would be a crash loop. So the last one that was applied is kept beside it.
readonly LAST=$STORAGE/last_recv_remote_config.dat GOOD=$STORAGE/last_good_remote_config.dat

# status: 1 applied, 2 applying, 3 failed; hash: of the configuration that it is about.
read_status() {
  local found
  found=$(sed -nE 's/^ {4}(status|last_remote_config_hash): *"?([0-9a-f]+)"?$/\2/p' "$STATE" 2>/dev/null | head -n 2) || true
  status=${found%%$'\n'*} hash=${found##*$'\n'}
}

# Whether the stored configuration FILE, protobuf with the hash at its end, has this hash.
has_hash() {
  [[ -r $1 && -n $hash ]] && [[ $(tail -c $((${#hash} / 2)) "$1" | od -An -v -tx1 | tr -d ' \n') == "$hash" ]]
}

keep_good_config() {
  while sleep 1; do
    [[ $STATE -nt $STORAGE/.status_seen ]] || continue
    : >"$STORAGE/.status_seen"
    read_status
    if [[ $status == 1 ]] && cp "$LAST" "$GOOD.part" 2>/dev/null && has_hash "$GOOD.part"; then
      mv "$GOOD.part" "$GOOD"
    fi
  done
}

restore_good_config() {
  rm -f "$STORAGE/.status_seen" "$GOOD.part"
  [[ -e $LAST ]] || return 0
  read_status
  if [[ $status != 3 ]] && has_hash "$LAST"; then
    return
  elif [[ -e $GOOD ]]; then
    say "the last configuration was not applied; starting with the one before it"
    cp "$GOOD" "$GOOD.part" && mv "$GOOD.part" "$LAST"
  else
    say "the last configuration was not applied, and there is none before it; starting without one"
    rm "$LAST"
  fi
}

# --- running --------------------------------------------------------------------------------------------------------

child=0
stop_signal=TERM
stopping=false

on_stop() {
  if [[ $stopping == true ]]; then
    return
  fi
  stopping=true
  say "stopping"
  kill -s "$stop_signal" "$child" 2>/dev/null || true
  kill_when_late 9>&- &
}

# Before the engine kills all of the container.
kill_when_late() {
  sleep "$FLOWGATE_STOP_SECONDS"
  say "not stopped within $FLOWGATE_STOP_SECONDS s, killing it"
  kill -s KILL -- "-$child" 2>/dev/null
}

# Run SIGNAL COMMAND…: to its end, or to the container's, which reaches it as SIGNAL; leaves nothing of it running.
run() {
  stop_signal=$1
  shift
  trap on_stop TERM INT
  "$@" 9>&- &
  child=$!
  [[ $stopping == false ]] || kill -s "$stop_signal" "$child" || true
  local code=0
  while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" 2>/dev/null || code=$? # a trap ends the wait, and the process may go on
  done
  end_orphans
  if [[ $stopping == true ]]; then
    exit 0
  fi
  say "${1##*/} ended unasked with exit code $code"
  exit $((code == 0 ? 1 : code))
}

# A supervisor that dies leaves its collector running: it gets the time to flush what it holds.
end_orphans() {
  local tries=$((FLOWGATE_STOP_SECONDS * 10))
  kill -0 -- "-$child" 2>/dev/null || return 0
  say "${COLLECTOR##*/} was left behind, stopping it"
  kill -s TERM -- "-$child" 2>/dev/null || true
  while kill -0 -- "-$child" 2>/dev/null; do
    if ((tries-- == 0)); then
      kill -s KILL -- "-$child" 2>/dev/null || true
      return
    fi
    sleep 0.1
  done
}

healthcheck() {
  local path=/ port=13133 status
  if [[ ${USE_SUPERVISOR:-false} == true ]]; then
    path=/health port=13134
  fi
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$path" >&3
  read -r -t 2 _ status _ <&3 && [[ $status == 200 ]]
}

main() {
  if [[ ${1:-} == healthcheck ]]; then
    healthcheck 2>/dev/null
    return
  elif (($#)); then
    exec "$@" # another program of the image, such as: /otelcol components
  fi
  umask 077
  check_settings
  ((wrong)) || load_identity
  ((wrong == 0)) || exit "$WRONG_SETTINGS"
  if [[ $USE_SUPERVISOR == true ]]; then
    local log=$STORAGE/supervisor.log
    if [[ -f $log ]] && (($(stat -c %s "$log") > LOG_LIMIT)); then
      mv "$log" "$log.1"
    fi
    restore_good_config
    keep_good_config 9>&- &
    say "supervisor mode, agent $FLOWGATE_INSTANCE_UID, FlowGate at $FLOWGATE_OPAMP_ENDPOINT"
    run INT "$SUPERVISOR" --config "$config" # it handles no SIGTERM
  else
    say "extension mode, agent $FLOWGATE_INSTANCE_UID, FlowGate at $FLOWGATE_OPAMP_ENDPOINT"
    run TERM "$COLLECTOR" --config "$config"
  fi
}

main "$@"

#!/bin/sh
# Makes the .env of docker-compose.yml, with passwords and tokens of its own, readable by you alone. Keeps one that is there.
#   deploy/docker/make-env.sh [FILE]
set -eu
umask 077
file=${1:-$(dirname "$0")/../../.env}

if [ -e "$file" ]; then
  echo "$file is there already; remove it for new passwords (those of existing volumes stay as they were made)" >&2
  exit 0
fi

# 43 characters, 256 bits; letters, digits, - and _.
random() { head -c 32 /dev/urandom | base64 | tr -d '=\n' | tr '+/' '-_'; }

sha256() {
  if command -v sha256sum >/dev/null; then
    printf %s "$1" | sha256sum | cut -d ' ' -f 1
  else
    printf %s "$1" | shasum -a 256 | cut -d ' ' -f 1
  fi
}

admin=fga_$(random)
enrollment=fge_$(random)
metrics=fgm_$(random)
cat >"$file.part" <<END
# Made by deploy/docker/make-env.sh: the secrets of this installation. Keep them, and keep them private.
# One gateway in each mode: the service gateway in extension mode, gateway-supervisor by this profile.
COMPOSE_PROFILES=supervisor
# This folder, so that agents can say where on the host their logs lie.
FLOWGATE_DIRECTORY=$(cd "$(dirname "$0")/../.." && pwd)

# For people: the token of the API, the one that lets agents in, and Prometheus' one. The services know their digests only.
FLOWGATE_TOKEN=$admin
FLOWGATE_ENROLLMENT_TOKEN=$enrollment
FLOWGATE_METRICS_TOKEN=$metrics
FLOWGATE_METRICS_TOKEN_SHA256=$(sha256 "$metrics")
FLOWGATE_API_GATEWAY_ADMIN_TOKEN_SHA256=$(sha256 "$admin")
FLOWGATE_OPAMP_GATEWAY_ENROLLMENT_TOKEN_SHA256=$(sha256 "$enrollment")
FLOWGATE_OPAMP_GATEWAY_TELEMETRY_KEY=$(random)
FLOWGATE_API_GATEWAY_SESSION_KEY=$(random)

# They begin with a letter: nats-server reads what begins with a digit as a number.
FLOWGATE_NATS_PASSWORD=n$(random)
FLOWGATE_NATS_EVENTS_PASSWORD=e$(random)
POSTGRES_PASSWORD=p$(random)
FLOWGATE_DATABASE_PASSWORD_AGENT_REGISTRY=p$(random)
FLOWGATE_DATABASE_PASSWORD_CONFIG_PUSH=p$(random)
FLOWGATE_DATABASE_PASSWORD_SUPERVISOR_CONTROL=p$(random)
END
mv "$file.part" "$file"
echo "wrote $file" >&2

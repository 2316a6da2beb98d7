#!/bin/sh
# First start: a cluster with the superuser's password and the database; then the server, for everybody with a password.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?}"
  mkdir -p "$PGDATA"
  (umask 077 && printf %s "$POSTGRES_PASSWORD" >/tmp/password)
  initdb -D "$PGDATA" -U postgres --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 --no-instructions --no-sync \
    --locale-provider=builtin --locale=C --builtin-locale=C.UTF-8 >/dev/null
  rm /tmp/password
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE ${POSTGRES_DB:-postgres}" | postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"

